// SPDX-License-Identifier: Apache-2.0

/// Writes JSON as it is asked to, value by value: the caller sees to it that objects hold members.
///
///     var json = JSONWriter()
///     json.object { $0.member("sends", 3) }
///     print(json.text)  // {"sends":3}
struct JSONWriter {
  private(set) var text = ""
  private var needsComma = false

  mutating func object(_ members: (inout JSONWriter) -> Void) { enclosed("{", "}", members) }
  mutating func array(_ elements: (inout JSONWriter) -> Void) { enclosed("[", "]", elements) }

  mutating func member(_ name: String, _ value: (inout JSONWriter) -> Void) {
    self.value(name)
    text += ":"
    needsComma = false
    value(&self)
  }

  mutating func member(_ name: String, _ string: String) { member(name) { $0.value(string) } }
  mutating func member(_ name: String, _ number: Double) { member(name) { $0.value(number) } }
  mutating func member(_ name: String, _ integer: UInt64) { member(name) { $0.value(integer) } }
  mutating func member(_ name: String, _ flag: Bool) { member(name) { $0.value(flag) } }

  mutating func value(_ flag: Bool) { append(flag ? "true" : "false") }
  mutating func value(_ integer: UInt64) { append(String(integer)) }

  /// A number with six decimals at most. JSON has no infinity and no not-a-number: those become
  /// null.
  mutating func value(_ number: Double) {
    append(number.isFinite ? "\((number * 1e6).rounded() / 1e6)" : "null")
  }

  mutating func value(_ string: String) {
    var quoted = "\""
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": quoted += "\\\""
      case "\\": quoted += "\\\\"
      case "\n": quoted += "\\n"
      case "\t": quoted += "\\t"
      case "\r": quoted += "\\r"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: quoted.unicodeScalars.append(scalar)
      }
    }
    append(quoted + "\"")
  }

  private mutating func append(_ token: String) {
    if needsComma { text += "," }
    text += token
    needsComma = true
  }

  private mutating func enclosed(
    _ opening: String, _ closing: String, _ content: (inout JSONWriter) -> Void
  ) {
    append(opening)
    needsComma = false
    content(&self)
    text += closing
    needsComma = true
  }
}
