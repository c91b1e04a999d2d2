// SPDX-License-Identifier: Apache-2.0

/// One row to be: an operation of the library, what it is held against, and by how much it may be
/// dearer.
struct Benchmark: Sendable {
  /// Runs an operation so often, and tells the nanoseconds that one took.
  typealias Sample = @Sendable (borrowing Stage, _ count: Int) -> Double

  let name: String
  /// The most that the ratio may be.
  let budget: Double
  let ours: Sample
  /// The same thing done otherwise. Where there are several ways, the row shows the fastest.
  let peers: [(name: String, sample: Sample)]
  /// What a row needs that not every machine has.
  var requirement = Requirement.none
  /// The operations of one sample; nil takes as many as `sampleNanoseconds` hold.
  var count: Int? = nil

  enum Requirement: Sendable {
    case none
    /// Another processor to run the other thread on.
    case secondProcessor
    /// Counters of allocations and reference counts.
    case counters
    /// A tracefs that can be written.
    case kernelProbes
  }

  init(
    _ name: String, budget: Double, peers: [(name: String, sample: Sample)],
    ours: @escaping Sample
  ) {
    self.name = name
    self.budget = budget
    self.peers = peers
    self.ours = ours
  }

  init(
    _ name: String, budget: Double, against peer: String, _ theirs: @escaping Sample,
    ours: @escaping Sample
  ) {
    self.init(name, budget: budget, peers: [(peer, theirs)], ours: ours)
  }

  func needing(_ requirement: Requirement, count: Int? = nil) -> Benchmark {
    var copy = self
    copy.requirement = requirement
    copy.count = count
    return copy
  }
}

extension Benchmark {
  /// How often each side is sampled. The rounds are interleaved, so that a slower minute of a
  /// shared machine is slow for both sides, and the median forgets the samples that somebody else
  /// interrupted.
  static let rounds = 301
  /// How long one sample takes: long beside reading the clock, and short beside a scheduler's
  /// slice, so that on a busy machine most samples still have the processor to themselves.
  static let sampleNanoseconds = 200_000.0

  func run(on stage: borrowing Stage) -> BenchmarkRow {
    let ownCount = count ?? Self.calibrate(ours, stage)
    let peerCounts = peers.map { count ?? Self.calibrate($0.sample, stage) }
    var own: [Double] = []
    var others: [[Double]] = peers.map { _ in [] }
    for round in 0..<Self.rounds {
      // Each side comes first as often as the other.
      if round.isMultiple(of: 2) { own.append(ours(stage, ownCount)) }
      for (index, peer) in peers.enumerated() {
        others[index].append(peer.sample(stage, peerCounts[index]))
      }
      if !round.isMultiple(of: 2) { own.append(ours(stage, ownCount)) }
    }
    let medians = others.map { Spread($0).median }
    let best = medians.indices.min { medians[$0] < medians[$1] } ?? 0
    return BenchmarkRow(
      name: name, ours: own, peer: peers[best].name, theirs: others[best], budget: budget)
  }

  private static func calibrate(_ sample: Sample, _ stage: borrowing Stage) -> Int {
    var count = 64
    // What is made at the first use is made here, or a sample would have a lookup or two.
    _ = sample(stage, count)
    while count < 1 << 24 {
      let nanoseconds = sample(stage, count) * Double(count)
      if nanoseconds >= sampleNanoseconds / 4 {
        return max(1, Int(Double(count) * sampleNanoseconds / nanoseconds))
      }
      count *= 4
    }
    return count
  }
}
