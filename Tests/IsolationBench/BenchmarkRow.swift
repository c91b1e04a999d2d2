// SPDX-License-Identifier: Apache-2.0

/// The least, the median and the most of some samples.
struct Spread: Equatable {
  let least: Double
  let median: Double
  let most: Double

  init(least: Double, median: Double, most: Double) {
    self.least = least
    self.median = median
    self.most = most
  }

  /// The spread of at least one sample.
  init(_ samples: [Double]) {
    let sorted = samples.sorted()
    let middle = sorted.count / 2
    let median =
      sorted.count.isMultiple(of: 2) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle]
    self.init(least: sorted[0], median: median, most: sorted[sorted.count - 1])
  }
}

/// A budget line, measured.
struct BenchmarkRow: Equatable {
  let name: String
  let ours: Spread
  let peer: String
  let theirs: Spread
  let budget: Double

  /// Ours over the peer's: the median of the rounds. A machine that is slow for a while is slow for
  /// both sides of a round, and a row's two medians may be of different whiles. 0 where the peer has
  /// nothing to compare with.
  let ratio: Double

  /// The row of these samples, one of either side per round.
  init(name: String, ours: [Double], peer: String, theirs: [Double], budget: Double) {
    self.name = name
    self.ours = Spread(ours)
    self.peer = peer
    self.theirs = Spread(theirs)
    self.budget = budget
    let ratios = zip(ours, theirs).filter { $0.1 > 0 }.map { max(0, $0.0) / $0.1 }
    ratio = ratios.isEmpty ? 0 : Spread(ratios).median
  }

  /// Whether the ratio keeps within the budget. A side that measured nothing proves nothing.
  var isOK: Bool { ours.median.isFinite && theirs.median > 0 && ratio <= budget }

  func write(to json: inout JSONWriter) {
    json.object { json in
      json.member("name", name)
      json.member("ours_ns", ours)
      json.member("peer", peer)
      json.member("peer_ns", theirs)
      json.member("ratio", ratio)
      json.member("budget", budget)
      json.member("ok", isOK)
    }
  }
}

extension JSONWriter {
  mutating func member(_ name: String, _ spread: Spread) {
    member(name) { json in
      json.array { json in
        json.value(spread.least)
        json.value(spread.median)
        json.value(spread.most)
      }
    }
  }
}
