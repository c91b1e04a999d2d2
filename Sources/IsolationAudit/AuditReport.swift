// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// What an audit found, and what was counted after it, for people and for programs.
struct AuditReport {
  let audit: Audit
  /// The rows of every second that was watched.
  var seconds: [[InterferenceLedger.Row]] = []

  init(_ audit: Audit) { self.audit = audit }

  /// How many files of one finding the text shows.
  private static let shownEvidence = 8

  var text: String {
    let machine = audit.machine
    var text =
      "Processors \(machine.processors) of \(machine.online) (\(machine.choice.rawValue))"
      + (machine.process.map { ", process \($0)" } ?? "") + "\n\n"
    for finding in audit.findings {
      text += "\(finding.check): \(finding.summary) [\(finding.certainty.rawValue)]\n"
      for evidence in finding.evidence.prefix(Self.shownEvidence) {
        text += "  read    \(evidence.path): \(evidence.value.isEmpty ? "empty" : evidence.value)\n"
      }
      if finding.evidence.count > Self.shownEvidence {
        text += "          and \(finding.evidence.count - Self.shownEvidence) more (--json)\n"
      }
      text += "  why     \(finding.why)\n"
      for change in finding.changes {
        text += "  change  \(change.means.rawValue): \(change.what)\n"
      }
      text += "\n"
    }
    for unseen in audit.unseen { text += "not visible: \(unseen.check): \(unseen.reason)\n" }
    let counts = Finding.Certainty.allCases.map { certainty in
      "\(audit.findings.filter { $0.certainty == certainty }.count) \(certainty.rawValue)"
    }
    text +=
      audit.findings.isEmpty
      ? "nothing found" : "\(audit.findings.count) found: " + counts.joined(separator: ", ")
    return text + (audit.unseen.isEmpty ? "" : ", \(audit.unseen.count) not visible") + "\n"
  }

  /// The rows of one second. What is not visible is explained once.
  static func text(_ rows: [InterferenceLedger.Row], isFirst: Bool) -> String {
    var text = isFirst ? "\n" : ""
    for row in rows {
      let figures = InterferenceLedger.Column.allCases.compactMap { column -> String? in
        guard let count = row[column] else { return nil }
        return "\(column.rawValue) \(count)\(column.isTime ? " ns" : "")"
      }
      let names = ((row.devices ?? []) + (row.others ?? [])).map { "\($0.name) \($0.count)" }
      text += "processor \(row.cpu)" + (row.thread.map { ", thread \($0)" } ?? "") + ": "
      text += figures.joined(separator: ", ")
      text += names.isEmpty ? "\n" : " (\(names.joined(separator: ", ")))\n"
      if isFirst {
        for column in InterferenceLedger.Column.allCases {
          guard let reason = row.reason(column) else { continue }
          text += "  not visible: \(column.rawValue): \(reason)\n"
        }
      }
    }
    return text
  }
}
