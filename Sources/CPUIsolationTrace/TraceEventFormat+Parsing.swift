// SPDX-License-Identifier: Apache-2.0

public import CPUIsolation

/// Why a text is no event format, and in which line.
///
/// ```swift
/// do { _ = try TraceEventFormat(parsing: text, system: "ipi") } catch { print(error) }
/// ```
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: for the text
public struct TraceFormatError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The line, counted from 1.
  public let line: Int
  /// What is wrong with it.
  public let reason: String

  public var description: String { "line \(line) of the event format: \(reason)" }
}

extension TraceEventFormat {
  /// Reads an event's `format` file, as tracefs has it.
  ///
  /// ```swift
  /// let format = try TraceEventFormat(parsing: text, system: "ipi")
  /// ```
  ///
  /// - Parameters:
  ///   - text: the file's text.
  ///   - system: the folder it is from.
  /// - Throws: `TraceFormatError`, with the line.
  /// - Source: `f_show` (kernel/trace/trace_events.c, Linux).
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: yes
  public init(parsing text: String, system: String) throws(TraceFormatError) {
    var name: String?
    var number: Int?
    var fields: [TraceEventFormat.Field] = []
    var print: String?
    var position = text.startIndex
    var line = 0
    while position < text.endIndex, print == nil {
      line += 1
      let end = text[position...].firstIndex(where: \.isNewline) ?? text.endIndex
      let content = text[position..<end].trimmed
      if content.hasPrefix("name:") {
        name = String(content.dropFirst(5).trimmed)
      } else if content.hasPrefix("ID:") {
        guard let value = Int(content.dropFirst(3).trimmed), (0...0xffff).contains(value) else {
          throw TraceFormatError(line: line, reason: "no event number")
        }
        number = value
      } else if content.hasPrefix("field:") {
        fields.append(try TraceEventFormat.Field(line: content, at: line))
      } else if content.hasPrefix("print fmt:") {
        // The rest: what is printed may go over several lines.
        let start = text[position...].firstIndex(of: ":")!
        print = String(text[text.index(after: start)...].trimmed)
      }
      position = end < text.endIndex ? text.index(after: end) : end
    }
    guard let name, !name.isEmpty else { throw TraceFormatError(line: line, reason: "no name") }
    guard let number else { throw TraceFormatError(line: line, reason: "no ID") }
    self.init(
      system: system, name: name, id: number, fields: fields, printFormat: print ?? "")
  }
}

extension TraceEventFormat.Field {
  /// `field:char prev_comm[16];	offset:8;	size:16;	signed:0;`
  fileprivate init(line: Substring, at number: Int) throws(TraceFormatError) {
    var values: [String: Int] = [:]
    var declaration = ""
    for part in line.split(separator: ";") {
      guard let colon = part.firstIndex(of: ":") else { continue }
      let key = part[..<colon].trimmed
      let value = part[part.index(after: colon)...].trimmed
      if key == "field" { declaration = String(value) } else { values[String(key)] = Int(value) }
    }
    // A record is shorter than a page; a number beyond any page is damage.
    guard let offset = values["offset"], let size = values["size"],
      (0...0xffff).contains(offset), (0...0xffff).contains(size)
    else { throw TraceFormatError(line: number, reason: "a field without a place") }
    var type = declaration[...]
    var brackets: Substring = ""
    if type.hasSuffix("]"), let open = type.firstIndex(of: "[") {
      let blank = type.lastIndex(of: " ") ?? type.startIndex
      // `char comm[16]` has its brackets behind the name, `__data_loc char[] comm` before it.
      if open > blank {
        brackets = type[open...]
        type = type[..<open]
      }
    }
    guard let blank = type.lastIndex(where: { $0 == " " || $0 == "*" }) else {
      throw TraceFormatError(line: number, reason: "a field without a name")
    }
    let name = type[type.index(after: blank)...].trimmed
    let base = type[...blank].trimmed
    guard !name.isEmpty, !base.isEmpty else {
      throw TraceFormatError(line: number, reason: "a field without a name")
    }
    self.init(
      name: String(name), type: String(base) + brackets, offset: offset, size: size,
      isSigned: values["signed"] == 1)
  }
}

extension StringProtocol {
  /// Without the white space at both ends.
  var trimmed: SubSequence {
    var result = self[...]
    while let last = result.last, last.isWhitespace { result.removeLast() }
    return result.drop { $0.isWhitespace }
  }
}
