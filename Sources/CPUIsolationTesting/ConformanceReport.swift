// SPDX-License-Identifier: Apache-2.0

/// What a handler must keep to.
///
/// The rules are those of `Coordinator.register`, each in a form that can be watched.
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: never
public enum ConformanceRule: String, CaseIterable, Hashable, Sendable {
  /// After a run the state shows what was published before it.
  case catchesUp = "catches up"
  /// A second run with nothing new changes nothing.
  case idempotent
  /// A run that nobody sent, before anything was published, does no harm later.
  case harmlessUnsent = "harmless when nobody sent"
  /// One run after several changes does what a run after each would have done.
  case coalescing
  /// A run ends, within its limit of processor time.
  case bounded
  /// A run never gives the processor away to wait, nor waits for whoever is publishing.
  case nonBlocking = "non-blocking"
  /// A run allocates nothing. Checked where the handler claims it.
  case nonAllocating = "non-allocating"
  /// It does not matter where the work is drained, next to what, after which other CPU, or by whom.
  case drainOrder = "any drain order"
  /// Work that is sent inside a handler runs after the round, and comes to an end.
  case sendsFromInside = "sends from inside"
}

/// What a `HandlerConformance.check` found: one finding per rule.
///
///     let report = try HandlerConformance.check("refresh") { … }
///     #expect(report.isConforming, "\(report)")
///
/// A rule that could not be watched is `notChecked`, with the reason, and never counts as passed.
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: as its strings
public struct ConformanceReport: Hashable, Sendable, CustomStringConvertible {
  /// What became of one rule.
  public enum Verdict: String, Hashable, Sendable {
    /// It was watched, and holds.
    case passed
    /// It was seen broken.
    case failed
    /// It was not watched.
    case notChecked = "not checked"
  }

  /// One rule, and what was seen.
  public struct Finding: Hashable, Sendable, CustomStringConvertible {
    /// The rule.
    public let rule: ConformanceRule
    /// What became of it.
    public let verdict: Verdict
    /// What was seen, and for a broken rule how to mend it.
    public let detail: String

    public var description: String { "\(rule.rawValue): \(verdict.rawValue): \(detail)" }
  }

  /// The name of the handler.
  public let name: String
  /// The findings, in the order of the rules.
  public private(set) var findings: [Finding] = []

  init(_ name: String) { self.name = name }

  mutating func note(_ rule: ConformanceRule, _ verdict: Verdict, _ detail: String) {
    findings.removeAll { $0.rule == rule }
    findings.append(Finding(rule: rule, verdict: verdict, detail: detail))
    findings.sort { Self.place($0.rule) < Self.place($1.rule) }
  }

  private static func place(_ rule: ConformanceRule) -> Int {
    ConformanceRule.allCases.firstIndex(of: rule) ?? 0
  }

  /// What became of a rule.
  ///
  /// - Parameter rule: One of the rules that a handler has to keep.
  /// - Returns: Passed, failed, or not watched with these options.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public subscript(rule: ConformanceRule) -> Verdict {
    findings.first { $0.rule == rule }?.verdict ?? .notChecked
  }

  /// Whether no rule was seen broken. Look at `unchecked` for what nobody looked at.
  public var isConforming: Bool { broken.isEmpty }

  /// The rules that were seen broken.
  public var broken: [ConformanceRule] { rules(.failed) }

  /// The rules that were not watched.
  public var unchecked: [ConformanceRule] { rules(.notChecked) }

  private func rules(_ verdict: Verdict) -> [ConformanceRule] {
    findings.filter { $0.verdict == verdict }.map(\.rule)
  }

  public var description: String {
    let head =
      broken.isEmpty
      ? "handler \(name) conforms" : "handler \(name) breaks \(broken.count) of \(findings.count)"
    return ([head] + findings.map { "  \($0)" }).joined(separator: "\n")
  }
}
