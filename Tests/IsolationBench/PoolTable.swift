// SPDX-License-Identifier: Apache-2.0

internal import CBenchmarkPeers
internal import CPUIsolation

/// The experiment of the first proposal of an array: how many pairs of a pop and a push all threads
/// make in a second, by the way the pool is kept, with and without holding an object for 1 µs.
///
/// - Source: Matt Wu, "kretprobe scalability improvement", July 2021: columns are threads, rows the
///   kinds at a capacity.
enum PoolTable {
  private static let repetitions = 5

  /// The table, measured now.
  static func measure() -> String {
    let processors = PoolCrowd.allowed
    let clock = BenchmarkClock()
    let crowds = threads(processors.count)
    var text = ""
    for isHeld in [false, true] {
      text += isHeld ? "\npairs a second, each object kept for 1 µs\n" : "pairs a second\n"
      var lines = [[""] + crowds.map { "\($0)x" }]
      for capacity in capacities(processors.count) {
        for kind in PoolCrowd.Kind.allCases {
          lines.append(
            ["\(kind.rawValue):max=\(capacity)"]
              + crowds.map { count in
                let crowd = PoolCrowd(
                  threads: count, capacity: capacity,
                  cycles: isHeld ? PoolCrowd.microsecond(clock) : 0,
                  count: isHeld ? 5_000 : 50_000, processors: processors)
                let median = Spread((0..<repetitions).map { _ in crowd.run(kind) }).median
                return median > 0 ? "\(Int(1e9 / median))" : "-"
              })
        }
      }
      text += aligned(lines)
    }
    return text
  }

  /// 1, 2, 4 and so on, to twice the processors.
  private static func threads(_ processors: Int) -> [Int] {
    var counts = [1]
    while let last = counts.last, last * 2 <= 2 * processors { counts.append(last * 2) }
    if counts.last != 2 * processors { counts.append(2 * processors) }
    return counts
  }

  private static func capacities(_ processors: Int) -> [Int] {
    Array(Set([10, 20, 40, 4 * processors])).sorted()
  }

  static func aligned(_ lines: [[String]]) -> String {
    let widths = lines[0].indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
    return lines.map { line in
      line.indices.map { column in
        let padding = String(repeating: " ", count: widths[column] - line[column].count)
        return column == 0 ? line[column] + padding : padding + line[column]
      }.joined(separator: "  ") + "\n"
    }.joined()
  }
}
