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
  /// The CPUs below 128.
  @usableFromInline var low: OutcomePlanes
  @usableFromInline var high: OutcomePlanes
  /// The other CPUs.
  @usableFromInline var wide: Wide

  /// Masks by place, from the first CPU above 127 on. Beside a case with a number the end of a report looks at
  /// which it is, and releases nothing.
  @usableFromInline
  enum Wide: Sendable {
    case none(UInt8)
    case masks([CPUMask])
  }

  /// Why nothing was sent to anybody; nil if it was. The targets before a coordinator was closed
  /// keep their outcomes.
  public var refusal: Outcome? { refused }
  @usableFromInline var refused: Outcome?

  @inlinable @inline(__always)
  init() {
    low = OutcomePlanes()
    high = OutcomePlanes()
    wide = .none(0)
    refused = nil
  }

  /// Whether the same became of the same targets.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public static func == (left: Report, right: Report) -> Bool {
    left.refusal == right.refusal
      && Self.places.allSatisfy { left.mask(at: $0) == right.mask(at: $0) }
  }

  /// Feeds the masks to a hasher.
  ///
  /// - Parameter hasher: what they are fed to.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public func hash(into hasher: inout Hasher) {
    for place in Self.places { hasher.combine(mask(at: place)) }
    hasher.combine(refusal)
  }

  public var description: String {
    let kind = Outcome.self as? any TargetOutcome.Type
    if let refusal { return (refusal as? any TargetOutcome)?.refusalText ?? "\(refusal)" }
    let parts = (kind?.names ?? []).enumerated().filter { !mask(at: $0.offset).isEmpty }
    let text = parts.map { "\($0.element) \(mask(at: $0.offset))" }
    return text.isEmpty ? "no target" : text.joined(separator: ", ")
  }

  private static var places: Range<Int> { 0..<8 }

  fileprivate func mask(at place: Int) -> CPUMask {
    let mask = CPUMask(low: low.targets(at: place), high: high.targets(at: place))
    guard case .masks(let wide) = wide else { return mask }
    return mask.union(wide[place])
  }

  /// Files the members of a mask, of which no one is filed yet.
  fileprivate mutating func fill(_ place: Int, with mask: CPUMask) {
    low.file(mask.word(at: 0), at: place)
    high.file(mask.word(at: 1), at: place)
    if mask.wordCount > 2 {
      widen { $0[place] = mask.subtracting(CPUMask(low: .max, high: .max)) }
    }
  }

  /// Files the CPUs of one word of a mask: `first` is 0 or 64.
  @inline(__always)
  fileprivate mutating func fill(_ place: Int, _ targets: UInt64, from first: Int) {
    if first == 0 { low.file(targets, at: place) } else { high.file(targets, at: place) }
  }

  fileprivate mutating func insert(_ cpu: Int, at place: Int) {
    let bit: UInt64 = 1 &<< UInt64(truncatingIfNeeded: cpu)
    if cpu < 64 {
      low.file(bit, at: place)
    } else if cpu < 128 {
      high.file(bit, at: place)
    } else {
      widen { $0[place].insert(cpu) }
    }
  }

  @inline(never)
  private mutating func widen(_ change: (inout [CPUMask]) -> Void) {
    var masks = Array(repeating: CPUMask(), count: Self.places.count)
    if case .masks(let before) = wide { masks = before }
    wide = .none(0)
    change(&masks)
    wide = .masks(masks)
  }
}

extension Report where Outcome: TargetOutcome {
  /// A report in which all targets have one outcome.
  init(_ outcome: Outcome, of targets: CPUMask) {
    self.init()
    if let place = outcome.place { fill(place, with: targets) } else { refused = outcome }
  }

  /// Files the outcome of one target, or a refusal.
  mutating func record(_ outcome: Outcome, for cpu: Int) {
    if let place = outcome.place { insert(cpu, at: place) } else { refused = outcome }
  }

  /// Files the CPUs of one word of a mask that have an outcome.
  @inline(__always)
  mutating func file(_ outcome: Outcome, _ targets: UInt64, from first: Int) {
    if let place = outcome.place { fill(place, targets, from: first) }
  }

  fileprivate func targets(_ outcome: Outcome) -> CPUMask {
    guard let place = outcome.place else { return CPUMask() }
    return mask(at: place)
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
    var mask = CPUMask()
    for place in 0..<6 { mask.formUnion(self.mask(at: place)) }
    return mask
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
