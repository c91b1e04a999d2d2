// SPDX-License-Identifier: Apache-2.0

/// Fields for events of one's own. They stand nowhere yet: an event places them, in their order.
extension TraceEventFormat.Field {
  /// Declares a field that holds a number.
  ///
  /// `TraceEventFormat.Field.number("cpu", as: UInt32.self)`
  ///
  /// - Parameters:
  ///   - name: the name by which a filter knows it; letters, digits and `_`.
  ///   - type: a Swift integer of at most 64 bits; the field gets the C type of its size.
  ///   - file: the caller's file, for messages.
  ///   - line: the caller's line.
  /// - Returns: the field, for an event's format.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the texts
  public static func number<Number: FixedWidthInteger>(
    _ name: String, as type: Number.Type, file: StaticString = #fileID, line: UInt = #line
  ) -> TraceEventFormat.Field {
    let base: String
    switch type.bitWidth {
    case 8: base = "char"
    case 16: base = "short"
    case 32: base = "int"
    case 64: base = "long"
    default:
      misuse(
        "TraceEventFormat.Field.number: \(name) has \(type.bitWidth) bits; 8, 16, 32 or 64 will do.",
        file, line)
    }
    // A plain `char` has the sign that the machine gives it.
    let sign = type.isSigned ? (base == "char" ? "signed " : "") : "unsigned "
    return TraceEventFormat.Field(
      name: name, type: sign + base, offset: 0, size: type.bitWidth / 8, isSigned: type.isSigned)
  }

  /// Declares a field that holds an address: of code, which a symbol table names, or of data.
  ///
  /// `TraceEventFormat.Field.pointer("callsite")`
  ///
  /// - Parameter name: the name by which a filter knows it; letters, digits and `_`.
  /// - Returns: the field, of 8 bytes.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the texts
  public static func pointer(_ name: String) -> TraceEventFormat.Field {
    TraceEventFormat.Field(name: name, type: "void *", offset: 0, size: 8, isSigned: false)
  }

  /// Declares a field that holds a text within the record.
  ///
  /// `TraceEventFormat.Field.text("stage", bytes: 8)`
  ///
  /// A count below one stops the process.
  ///
  /// - Parameters:
  ///   - name: the name by which a filter knows it; letters, digits and `_`.
  ///   - bytes: how many bytes there are for it, with the zero at the end of a shorter text.
  ///   - file: the caller's file, for messages.
  ///   - line: the caller's line.
  /// - Returns: the field, of so many bytes.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the texts
  public static func text(
    _ name: String, bytes: Int, file: StaticString = #fileID, line: UInt = #line
  ) -> TraceEventFormat.Field {
    guard bytes > 0 else {
      misuse("TraceEventFormat.Field.text: \(name) has \(bytes) bytes.", file, line)
    }
    return TraceEventFormat.Field(
      name: name, type: "char[\(bytes)]", offset: 0, size: bytes, isSigned: false)
  }

  /// Declares a field that leads to a text of any length after the fixed part of the record.
  ///
  /// `TraceEventFormat.Field.dynamicText("path")`
  ///
  /// - Parameter name: the name by which a filter knows it; letters, digits and `_`.
  /// - Returns: the field, of 4 bytes, that say where the text is.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the texts
  public static func dynamicText(_ name: String) -> TraceEventFormat.Field {
    TraceEventFormat.Field(
      name: name, type: "__data_loc char[]", offset: 0, size: 4, isSigned: false)
  }

  /// Declares a field that leads to a CPU mask after the fixed part of the record.
  ///
  /// `TraceEventFormat.Field.cpuMask("cpumask")`
  ///
  /// - Parameter name: the name by which a filter knows it; letters, digits and `_`.
  /// - Returns: the field, of 4 bytes, that say where the mask is.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the texts
  public static func cpuMask(_ name: String) -> TraceEventFormat.Field {
    TraceEventFormat.Field(
      name: name, type: "__data_loc cpumask_t", offset: 0, size: 4, isSigned: false)
  }

  /// The boundary on which the field starts: its size for what a processor loads at once, one byte
  /// for a text.
  var alignment: Int { kind == .text ? 1 : max(1, min(8, size)) }
}
