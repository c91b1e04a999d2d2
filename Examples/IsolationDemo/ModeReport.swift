// SPDX-License-Identifier: Apache-2.0

/// What one half of the experiment found out.
struct ModeReport: Equatable, Sendable {
  var mode: Mode
  /// The order that was wrong on purpose.
  var broken: BrokenOrder?
  var callbacks: [CallbackCounts]
  /// Sends that no run covered, according to the witness.
  var lost: UInt64
  /// Whether what isolated CPUs executed and read was legal.
  var legality: LegalityReport
  /// The greatest age of pending work that anybody met, exact to the watchdog's interval.
  var oldestPending: Duration
  /// One per isolated CPU.
  var noise: [Noise]
  /// Entries and exits of the isolated CPUs.
  var transitions: UInt64
  /// The IPIs once more, counted from the trace.
  var traced: IPICounts
  /// What the kernel counts, if it was asked.
  var kernel: KernelAccount?
  /// What the system refused to do for memory that interrupts nobody.
  var quietRefusals: [String] = []

  var ipis: UInt64 { callbacks.reduce(0) { $0 + $1.ipis } }
  var isBalanced: Bool { callbacks.allSatisfy(\.isBalanced) }
  var agreement: IPICounts.Agreement { traced.agreement(with: callbacks) }
  /// The same for the kernel's count of signals; nil if it was not asked.
  var kernelAgreement: IPICounts.Agreement? { kernel?.agreement(with: ipis) }

  /// What was seen that must not be; nil if nothing was.
  var violation: String? {
    guard let first = legality.first else { return nil }
    let order = broken.map { " (\($0.sentence))" } ?? ""
    return "\(mode.rawValue): \(legality.violations) violations\(order); the first: \(first)"
  }

  /// What the trace, the kernel and the statistics disagree about; nil if they do not, or nobody can
  /// tell.
  var disagreement: String? {
    let sentences = [("trace", agreement), ("kernel", kernelAgreement)].compactMap {
      source, agreement -> String? in
      guard case .different(let counts) = agreement else { return nil }
      return "\(mode.rawValue): the \(source) and the statistics count different IPIs ("
        + counts.joined(separator: "; ") + ")"
    }
    return sentences.isEmpty ? nil : sentences.joined(separator: "; ")
  }
}

/// What isolated CPUs executed and read, and what of it was illegal at that moment.
struct LegalityReport: Equatable, Sendable {
  var violations: UInt64
  /// The first violation, in a sentence.
  var first: String?
  var checked: Checked
  /// Why no code was patched; nil if it was.
  var refusal: String?
}
