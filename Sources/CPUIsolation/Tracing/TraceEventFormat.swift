// SPDX-License-Identifier: Apache-2.0

/// What the records of a trace event look like: its fields, and how they are printed.
///
/// ```swift
/// let refreshed = TraceEventFormat(
///   system: "routes", name: "refreshed", id: 2001,
///   declaring: [.number("count", as: UInt32.self), .text("table", bytes: 16)],
///   printFormat: #""count=%u table=%s", REC->count, REC->table"#)
/// refreshed.field(named: "count")?.offset  // 8
/// let filter = try TraceFilter("count > 100 && table ~ \"v6*\"", for: refreshed)
/// ```
///
/// Every record begins with the common fields, 8 bytes: the event's number, flags, a preemption
/// count and the thread.
///
/// - Source: an event's `format` file in tracefs (Linux).
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: the list of fields, when it is made
public struct TraceEventFormat: Hashable, Sendable, CustomStringConvertible {
  /// The group the event belongs to, as `ipi`.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public let system: String

  /// The name of the event within its system, as `ipi_send_cpu`.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public let name: String

  /// The number that stands in `common_type` of the event's records.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public let id: Int

  /// All fields, the common ones first.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public let fields: [TraceEventFormat.Field]

  /// The text after `print fmt: ` in the format file: a C format in quotes, then its arguments.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public let printFormat: String

  /// Makes the format of an event whose fields are placed already, as a format file has them.
  ///
  /// - Parameters:
  ///   - system: the group the event belongs to.
  ///   - name: its name.
  ///   - id: the number in `common_type`.
  ///   - fields: all of them, with the common ones, which come first.
  ///   - printFormat: the text after `print fmt: `.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public init(
    system: String, name: String, id: Int, fields: [TraceEventFormat.Field], printFormat: String
  ) {
    self.system = system
    self.name = name
    self.id = id
    self.fields = fields
    self.printFormat = printFormat
  }

  /// Makes the format of an event of one's own: the common fields, then the declared ones, in
  /// their order and each on its natural boundary.
  ///
  /// Two fields of one name, or a name that is not made of letters, digits and `_`, stop the
  /// process: no filter could tell them.
  ///
  /// - Parameters:
  ///   - system: the group the event belongs to.
  ///   - name: its name.
  ///   - id: the number in `common_type`, which no other event may have; at most 65535.
  ///   - declared: fields as `TraceEventFormat.Field.number("cpu", as: UInt32.self)` makes them.
  ///   - printFormat: a C format in quotes, then its arguments as `REC->cpu`.
  ///   - file: the caller's file, for messages.
  ///   - line: the caller's line.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the list of fields
  public init(
    system: String, name: String, id: Int, declaring declared: [TraceEventFormat.Field],
    printFormat: String, file: StaticString = #fileID, line: UInt = #line
  ) {
    guard (1...0xffff).contains(id) else {
      misuse(
        "TraceEventFormat: the number \(id) of the event \(name) is outside 1...65535.", file, line)
    }
    var fields = Self.commonFields
    var end = Self.commonSize
    for field in declared {
      guard Self.isName(field.name) else {
        misuse("TraceEventFormat: \(name) has a field of the name \"\(field.name)\".", file, line)
      }
      guard !fields.contains(where: { $0.name == field.name }) else {
        misuse("TraceEventFormat: \(name) has two fields of the name \(field.name).", file, line)
      }
      let boundary = field.alignment
      let offset = (end + boundary - 1) / boundary * boundary
      fields.append(field.placed(at: offset))
      end = offset + field.size
    }
    self.init(system: system, name: name, id: id, fields: fields, printFormat: printFormat)
  }

  /// The bytes of the common fields.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public static var commonSize: Int { 8 }

  /// The fields with which every record begins.
  ///
  /// - Source: `struct trace_entry` (include/linux/trace_events.h, Linux).
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the list
  public static var commonFields: [TraceEventFormat.Field] {
    [
      TraceEventFormat.Field(
        name: "common_type", type: "unsigned short", offset: 0, size: 2, isSigned: false),
      TraceEventFormat.Field(
        name: "common_flags", type: "unsigned char", offset: 2, size: 1, isSigned: false),
      TraceEventFormat.Field(
        name: "common_preempt_count", type: "unsigned char", offset: 3, size: 1, isSigned: false),
      TraceEventFormat.Field(name: "common_pid", type: "int", offset: 4, size: 4, isSigned: true),
    ]
  }

  /// Returns the field of a name, or `nil`.
  ///
  /// - Parameter name: the name of one of the event's own fields.
  /// - Returns: the field.
  /// - Complexity: linear in the number of fields.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public func field(named name: String) -> TraceEventFormat.Field? {
    fields.first { $0.name == name }
  }

  /// The bytes of the fixed part of a record: up to the end of the last field.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public var fixedSize: Int { fields.reduce(0) { max($0, $1.end) } }

  /// The text of the event's format file.
  ///
  /// - Source: `f_show` (kernel/trace/trace_events.c, Linux).
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the text
  public var description: String {
    var text = "name: \(name)\nID: \(id)\nformat:\n"
    for (index, field) in fields.enumerated() {
      if index == Self.commonFields.count { text += "\n" }
      text += "\t\(field)\n"
    }
    return text + "\nprint fmt: \(printFormat)\n"
  }

  private static func isName(_ name: String) -> Bool {
    !name.isEmpty
      && name.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
          return true
        default: return false
        }
      }
  }
}
