// SPDX-License-Identifier: Apache-2.0

/// One figure beside a peer's.
struct Row {
  let name: String
  /// Median of the runs, in the unit that the name ends with.
  let ours: Double
  let peer: String
  let theirs: Double
  let budget: Double

  init(_ name: String, _ ours: [Double], against peer: String, _ theirs: [Double], budget: Double) {
    self.name = name
    self.ours = ours.median
    self.peer = peer
    self.theirs = theirs.median
    self.budget = budget
  }

  /// Ours over the peer's, by the medians.
  var ratio: Double { theirs > 0 ? ours / theirs : .infinity }
  /// A peer that measured nothing proves nothing.
  var isOK: Bool { ratio <= budget }

  static func json(_ rows: [Row]) -> String {
    let objects = rows.map { row in
      """
      {"name":"\(row.name)","ours":\(number(row.ours)),"peer":"\(row.peer)",\
      "peer_value":\(number(row.theirs)),"ratio":\(number(row.ratio)),\
      "budget":\(number(row.budget)),"ok":\(row.isOK)}
      """
    }
    return "{\"rows\":[\(objects.joined(separator: ","))]}"
  }

  static func table(_ rows: [Row]) -> String {
    rows.map { row in
      "\(row.isOK ? "ok  " : "OVER") \(row.name): \(number(row.ours)), "
        + "\(row.peer) \(number(row.theirs)); ratio \(number(row.ratio)), budget \(number(row.budget))"
    }.joined(separator: "\n")
  }

  /// Four decimals at most. JSON has no infinity.
  private static func number(_ value: Double) -> String {
    value.isFinite ? "\((value * 1e4).rounded() / 1e4)" : "null"
  }
}

extension [Double] {
  /// The middle of the sorted values; not a number if there are none.
  var median: Double { quantile(0.5) }

  /// The least value that so large a part does not exceed.
  func quantile(_ part: Double) -> Double {
    if isEmpty { return .nan }
    let rank = Int((Double(count) * part).rounded(.up)) - 1
    return sorted()[Swift.max(0, Swift.min(count - 1, rank))]
  }
}
