// SPDX-License-Identifier: Apache-2.0

extension TraceEventFormat {
  /// One field of a trace event: what it is called, what it holds, and where it stands in a record.
  ///
  /// ```swift
  /// let field = TraceEventFormat.Field(
  ///   name: "cpu", type: "unsigned int", offset: 8, size: 4, isSigned: false)
  /// field.kind         // .number
  /// field.declaration  // unsigned int cpu
  /// ```
  ///
  /// - Source: the `field:` lines of an event's `format` file in tracefs (Linux).
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the two texts, when it is made
  public struct Field: Hashable, Sendable, CustomStringConvertible {
    /// What the bytes of a field are, as far as filters and printing are concerned.
    ///
    /// It follows from the field's type, by the rules by which the kernel derives it:
    /// - `number`: a number of 1, 2, 4 or 8 bytes, a pointer, or anything else of a fixed size that
    ///   is no text, such as an array.
    /// - `text`: characters within the record, as `char[16]`; a zero ends them early.
    /// - `dynamicText`: `__data_loc char[]`. The field is a 32-bit word: the low half is the distance
    ///   of the characters from the start of the record, the high half their number of bytes with
    ///   the zero at the end.
    /// - `relativeText`: `__rel_loc char[]`, the same with the distance counted from the field's end.
    /// - `textPointer`: `char *`, an address.
    /// - `cpuMask`: `__data_loc cpumask_t`, a word as of `dynamicText` that leads to the words of a
    ///   CPU mask.
    ///
    /// - Source: `filter_assign_type` (kernel/trace/trace_events_filter.c, Linux).
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public enum Kind: Hashable, Sendable {
      case number, text, dynamicText, relativeText, textPointer, cpuMask
    }

    /// The name by which a filter knows the field.
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public let name: String

    /// The C type, with the brackets of an array: `unsigned int`, `void *`, `char[16]`,
    /// `__data_loc cpumask_t`.
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public let type: String

    /// The distance in bytes from the start of the record, the common fields included.
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public let offset: Int

    /// How many bytes the field has in the fixed part of the record.
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public let size: Int

    /// Whether its numbers can be negative.
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public let isSigned: Bool

    /// What its bytes are; derived from ``type``.
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public let kind: Kind

    /// Makes a field with the figures of a format file.
    ///
    /// A negative offset or size stops the process.
    ///
    /// - Parameters:
    ///   - name: the name by which a filter knows it.
    ///   - type: its C type, with the brackets of an array after it: `char[16]`.
    ///   - offset: the distance from the start of the record, in bytes.
    ///   - size: how many bytes it has there.
    ///   - isSigned: whether its numbers can be negative.
    ///   - file: the caller's file, for messages.
    ///   - line: the caller's line.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: the two texts, if they are long
    public init(
      name: String, type: String, offset: Int, size: Int, isSigned: Bool,
      file: StaticString = #fileID, line: UInt = #line
    ) {
      guard offset >= 0, size >= 0 else {
        misuse(
          "TraceEventFormat.Field: the field \(name) has the offset \(offset) and the size \(size).",
          file, line)
      }
      self.name = name
      self.type = type
      self.offset = offset
      self.size = size
      self.isSigned = isSigned
      kind = Self.kind(ofType: type)
    }

    /// Whether the field is the 32-bit word that says where its content is.
    ///
    /// `__data_loc u8[]` is such a field too, though no filter looks into it.
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public var isLocation: Bool { type.hasPrefix("__data_loc ") || type.hasPrefix("__rel_loc ") }

    /// Whether the field holds an address.
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public var isPointer: Bool { type.hasSuffix("*") }

    /// The C declaration as a format file prints it: `char prev_comm[16]`.
    ///
    /// - Source: `f_show` (kernel/trace/trace_events.c, Linux).
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: the text
    public var declaration: String {
      guard !type.hasPrefix("__data_loc"), let bracket = type.firstIndex(of: "[") else {
        return "\(type) \(name)"
      }
      return "\(type[..<bracket]) \(name)\(type[bracket...])"
    }

    /// The field's line in a format file.
    ///
    /// `field:unsigned int cpu;	offset:8;	size:4;	signed:0;`
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: the text
    public var description: String {
      "field:\(declaration);\toffset:\(offset);\tsize:\(size);\tsigned:\(isSigned ? 1 : 0);"
    }

    /// How far a record reaches that has the field; `.max` if none can, since a format file may say
    /// anything.
    var end: Int {
      let (end, isTooLarge) = offset.addingReportingOverflow(size)
      return isTooLarge ? .max : end
    }

    /// The same field elsewhere in the record.
    func placed(at offset: Int) -> TraceEventFormat.Field {
      TraceEventFormat.Field(name: name, type: type, offset: offset, size: size, isSigned: isSigned)
    }

    /// The order of the questions is the kernel's: `__rel_loc char *[]` is a `relativeText`, and
    /// `char[4][8]` a `text`.
    private static func kind(ofType type: String) -> Kind {
      if type.contains("__data_loc") {
        if type.contains("char") { return .dynamicText }
        if type.contains("cpumask_t") { return .cpuMask }
      }
      if type.contains("__rel_loc"), type.contains("char") { return .relativeText }
      if type.contains("["), type.contains("char") { return .text }
      return type == "char *" || type == "const char *" ? .textPointer : .number
    }
  }
}
