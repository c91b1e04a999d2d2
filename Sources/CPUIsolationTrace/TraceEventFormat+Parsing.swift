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
  /// - Throws: ``TraceFormatError``, with the line.
  /// - Source: `f_show` (kernel/trace/trace_events.c, Linux).
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: yes
  public init(parsing text: String, system: String) throws(TraceFormatError) {
    try self.init(parsing: Array(text.utf8), system: system)
  }

  /// A kernel has two thousand formats: they are read byte by byte.
  init(parsing text: [UInt8], system: String) throws(TraceFormatError) {
    var name: String?
    var number: Int?
    var fields: [TraceEventFormat.Field] = []
    var print: String?
    var position = 0
    var line = 0
    while position < text.count, print == nil {
      line += 1
      let end = text[position...].firstIndex(where: \.isLineBreak) ?? text.count
      let content = text[position..<end].withoutBlanks
      if let value = content.value(after: "name:") {
        name = String(decoding: value, as: UTF8.self)
      } else if let digits = content.value(after: "ID:") {
        guard let value = digits.decimal, value <= 0xffff else {
          throw TraceFormatError(line: line, reason: "no event number")
        }
        number = value
      } else if content.starts(with: "field:".utf8) {
        fields.append(try TraceEventFormat.Field(line: content, at: line))
      } else if content.starts(with: "print fmt:".utf8) {
        // The rest: what is printed may go over several lines.
        let start = text[position...].firstIndex(of: UInt8(ascii: ":"))! + 1
        print = String(decoding: text[start...].withoutBlanks, as: UTF8.self)
      }
      position = end + 1
    }
    guard let name, !name.isEmpty else { throw TraceFormatError(line: line, reason: "no name") }
    guard let number else { throw TraceFormatError(line: line, reason: "no ID") }
    self.init(
      system: system, name: name, id: number, fields: fields, printFormat: print ?? "")
  }
}

extension TraceEventFormat.Field {
  /// `field:char prev_comm[16];	offset:8;	size:16;	signed:0;`
  fileprivate init(line: ArraySlice<UInt8>, at number: Int) throws(TraceFormatError) {
    var offset: Int?
    var size: Int?
    var isSigned = false
    var type: ArraySlice<UInt8> = []
    for part in line.split(separator: UInt8(ascii: ";")) {
      let part = part.withoutBlanks
      if let value = part.value(after: "field:") {
        type = value
      } else if let value = part.value(after: "offset:") {
        offset = value.decimal
      } else if let value = part.value(after: "size:") {
        size = value.decimal
      } else if let value = part.value(after: "signed:") {
        isSigned = value.decimal == 1
      }
    }
    // A record is shorter than a page; a number beyond any page is damage.
    guard let offset, let size, offset <= 0xffff, size <= 0xffff else {
      throw TraceFormatError(line: number, reason: "a field without a place")
    }
    let blank = UInt8(ascii: " ")
    var brackets: ArraySlice<UInt8> = []
    if type.last == UInt8(ascii: "]"), let open = type.firstIndex(of: UInt8(ascii: "[")) {
      // `char comm[16]` has its brackets after the name, `__data_loc char[] comm` before it.
      if open > type.lastIndex(of: blank) ?? type.startIndex {
        brackets = type[open...]
        type = type[..<open]
      }
    }
    let nameless = TraceFormatError(line: number, reason: "a field without a name")
    guard let last = type.lastIndex(where: { $0 == blank || $0 == UInt8(ascii: "*") }) else {
      throw nameless
    }
    let name = type[(last + 1)...].withoutBlanks
    let base = type[...last].withoutBlanks
    guard !name.isEmpty, !base.isEmpty else { throw nameless }
    self.init(
      name: String(decoding: name, as: UTF8.self),
      type: String(decoding: base + brackets, as: UTF8.self),
      offset: offset, size: size, isSigned: isSigned)
  }
}

extension UInt8 {
  fileprivate var isLineBreak: Bool { (0x0a...0x0d).contains(self) }
  fileprivate var isBlank: Bool { self == 0x20 || (0x09...0x0d).contains(self) }
}

extension ArraySlice<UInt8> {
  /// Without the white space at both ends.
  fileprivate var withoutBlanks: ArraySlice<UInt8> {
    var result = drop(while: \.isBlank)
    while let last = result.last, last.isBlank { result.removeLast() }
    return result
  }

  /// What comes after a word, if it begins with that.
  fileprivate func value(after word: StaticString) -> ArraySlice<UInt8>? {
    guard count >= word.utf8CodeUnitCount else { return nil }
    let isEqual = word.withUTF8Buffer { unsafe elementsEqual(prefix: $0) }
    return isEqual ? dropFirst(word.utf8CodeUnitCount).withoutBlanks : nil
  }

  private func elementsEqual(prefix: UnsafeBufferPointer<UInt8>) -> Bool {
    for index in 0..<prefix.count where unsafe self[startIndex + index] != prefix[index] {
      return false
    }
    return true
  }

  /// A number of at most nine digits.
  fileprivate var decimal: Int? {
    guard !isEmpty, count <= 9 else { return nil }
    var value = 0
    for digit in self {
      guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
      value = value * 10 + Int(digit - UInt8(ascii: "0"))
    }
    return value
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
