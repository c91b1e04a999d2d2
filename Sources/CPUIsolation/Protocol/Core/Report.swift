// SPDX-License-Identifier: Apache-2.0

/// What became of a send or a call, per CPU: each target is in the mask of exactly one outcome.
///
///     let report = coordinator.send(flush, to: coordinator.isolated)
///     report[.deferred]  // those run it before they can see anything stale
///     print(report)      // deferred 2-3, merged 4
///
/// Never one Bool: the kernel's sixth version of this protocol had the meaning of its Bool
/// inverted, lost all deferred work, and had perfect statistics.
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: never for CPUs below 128
public struct Report<Outcome: Hashable & Sendable>: Hashable, Sendable, CustomStringConvertible {
  /// One mask for each outcome that a target can have, by its place.
  private var masks = [8 of CPUMask](repeating: CPUMask())

  /// Why nothing was sent to anybody; nil if it was. The targets before a coordinator was closed
  /// keep their outcomes.
  public private(set) var refusal: Outcome? = nil

  init() {}

  /// Whether the same became of the same targets.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public static func == (left: Report, right: Report) -> Bool {
    left.refusal == right.refusal
      && left.masks.indices.allSatisfy { left.masks[$0] == right.masks[$0] }
  }

  /// Feeds the masks to a hasher.
  ///
  /// - Parameter hasher: what they are fed to.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public func hash(into hasher: inout Hasher) {
    for index in masks.indices { hasher.combine(masks[index]) }
    hasher.combine(refusal)
  }

  public var description: String {
    let kind = Outcome.self as? any TargetOutcome.Type
    if let refusal { return (refusal as? any TargetOutcome)?.refusalText ?? "\(refusal)" }
    let parts = (kind?.names ?? []).enumerated().filter { !masks[$0.offset].isEmpty }
    let text = parts.map { "\($0.element) \(masks[$0.offset])" }
    return text.isEmpty ? "no target" : text.joined(separator: ", ")
  }
}

extension Report where Outcome: TargetOutcome {
  /// A report in which all targets have one outcome.
  init(_ outcome: Outcome, of targets: CPUMask) {
    if let place = outcome.place { masks[place] = targets } else { refusal = outcome }
  }

  /// Files the outcome of one target, or a refusal.
  mutating func record(_ outcome: Outcome, for cpu: Int) {
    if let place = outcome.place { masks[place].insert(cpu) } else { refusal = outcome }
  }

  /// Files an outcome that no target had before.
  mutating func file(_ outcome: Outcome, of targets: CPUMask) {
    if let place = outcome.place { masks[place] = targets }
  }

  fileprivate func targets(_ outcome: Outcome) -> CPUMask {
    outcome.place.map { masks[$0] } ?? CPUMask()
  }
}

extension Report where Outcome == SendOutcome {
  /// The CPUs of which the send had this outcome; none of a refusal.
  ///
  ///     if !report[.gone].isEmpty { forget(report[.gone]) }
  ///
  /// - Parameter outcome: what became of the send; `.rejected` has no CPUs.
  /// - Returns: those CPUs, in a mask that may be empty.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public subscript(outcome: SendOutcome) -> CPUMask { targets(outcome) }

  /// The CPUs that run the work, or have run it.
  public var covered: CPUMask {
    masks[0].union(masks[1]).union(masks[2]).union(masks[3]).union(masks[4]).union(masks[5])
  }
}

extension Report where Outcome == CallOutcome {
  /// The CPUs of which the call had this outcome; none of a refusal.
  ///
  ///     if !report[.timedOut].isEmpty { … }  // will not run there any more
  ///
  /// - Parameter outcome: what became of the call; `.closed` has no CPUs.
  /// - Returns: those CPUs, in a mask that may be empty.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public subscript(outcome: CallOutcome) -> CPUMask { targets(outcome) }
}
