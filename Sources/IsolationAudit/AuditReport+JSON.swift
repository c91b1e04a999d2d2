// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

extension AuditReport {
  /// One JSON object on one line.
  var json: String {
    let machine = audit.machine
    let findings = audit.findings.map { finding in
      Self.object([
        ("check", Self.quoted(finding.check)), ("summary", Self.quoted(finding.summary)),
        ("certainty", Self.quoted(finding.certainty.rawValue)),
        (
          "read",
          Self.array(finding.evidence) {
            Self.object([("path", Self.quoted($0.path)), ("value", Self.quoted($0.value))])
          }
        ),
        ("why", Self.quoted(finding.why)),
        (
          "change",
          Self.array(finding.changes) {
            Self.object([
              ("means", Self.quoted($0.means.rawValue)), ("what", Self.quoted($0.what)),
            ])
          }
        ),
      ])
    }
    let unseen = Self.array(audit.unseen) {
      Self.object([("check", Self.quoted($0.check)), ("reason", Self.quoted($0.reason))])
    }
    let seconds = Self.array(seconds) { rows in Self.array(rows, Self.row) }
    return Self.object([
      ("processors", Self.quoted("\(machine.processors)")),
      ("chosen_by", Self.quoted(machine.choice.rawValue)),
      ("pid", machine.process.map { "\($0)" } ?? "null"),
      ("findings", Self.array(findings) { $0 }), ("not_visible", unseen), ("seconds", seconds),
    ]) + "\n"
  }

  private static func row(_ row: InterferenceLedger.Row) -> String {
    let columns = InterferenceLedger.Column.allCases
    func sources(_ list: [InterferenceLedger.Source]?) -> String {
      list.map { object($0.map { (name: $0.name, value: "\($0.count)") }) } ?? "null"
    }
    return object([
      ("processor", "\(row.cpu)"), ("thread", row.thread.map { "\($0)" } ?? "null"),
      ("seconds", "\(row.interval / .seconds(1))"),
      ("counts", object(columns.map { ($0.rawValue, row[$0].map { "\($0)" } ?? "null") })),
      ("devices", sources(row.devices)), ("others", sources(row.others)),
      (
        "not_visible",
        object(
          columns.compactMap { column in
            row.reason(column).map { (column.rawValue, quoted($0)) }
          })
      ),
    ])
  }

  private static func object(_ members: [(name: String, value: String)]) -> String {
    "{" + members.map { "\(quoted($0.name)):\($0.value)" }.joined(separator: ",") + "}"
  }

  private static func array<Element>(
    _ elements: [Element], _ text: (Element) -> String
  ) -> String {
    "[" + elements.map(text).joined(separator: ",") + "]"
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": result += "\\\(scalar)"
      case _ where scalar.value < 32:
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
