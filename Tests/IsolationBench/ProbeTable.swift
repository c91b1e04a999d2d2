// SPDX-License-Identifier: Apache-2.0

internal import CBenchmarkPeers
internal import CPUIsolation
internal import Synchronization

/// The experiments of the proposals that probes are after, in their columns: how long it takes to turn on
/// 20 000 of 40 000 probes, and how lookups of regions scale.
///
/// - Source: M. Hiramatsu, "kprobes: Introduce kprobe cache to reduce cache misshits", 2014: the
///   number, the time and the name of the last probe that was turned on; A. Nakryiko's lockless
///   lookup of uprobes, 2024: millions a second, of all and of each.
enum ProbeTable {
  private static let probes = 40_000
  private static let stepSize = 2000
  private static let steps = 10

  /// The tables, measured now.
  static func measure() throws(IsolationError) -> String {
    try enabling() + "\n" + lookups()
  }

  // MARK: Turning on

  private static func enabling() throws(IsolationError) -> String {
    let registry = try ProbeRegistry(capacity: probes)
    let points = (0..<probes).map { ProbePoint<UInt64>("point_\($0)", "number", in: registry) }
    let attached = try registry.attach(.count, toAll: "point_*")
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1])
    configuration.pinning = .none
    let coordinator = try Coordinator(configuration)
    // An isolated thread hits them all meanwhile.
    let stop = Stop()
    let thread = try coordinator.launch(on: 1) { cpu in
      cpu.inUser {
        var place = 0
        while !stop.word.load(ordering: .relaxed) {
          place = (place &+ 127) % points.count
          points[place].hit(UInt64(place))
        }
      }
    }
    var text = ""
    for isSingle in [true, false] {
      registry.setEnabled(attached, false)
      text +=
        "Enabling \(steps * stepSize) of \(probes) probes, \(stepSize) a step"
        + (isSingle ? ", one call each\n" : ", one call for all of a step\n")
      var lines = [["probe", "at ms", "step ms", "name"]]
      let begin = ContinuousClock.now
      var last = begin
      for step in 0..<steps {
        let batch = attached[step * stepSize..<(step + 1) * stepSize]
        if isSingle {
          for probe in batch { registry.setEnabled([probe], true) }
        } else {
          registry.setEnabled(Array(batch), true)
        }
        let now = ContinuousClock.now
        let number = (step + 1) * stepSize - 1
        lines.append([
          "\(number)", BenchmarkTable.number((now - begin) / .milliseconds(1)),
          BenchmarkTable.number((now - last) / .milliseconds(1)), attached[number].point,
        ])
        last = now
      }
      text += aligned(lines) + "\n"
    }
    stop.word.store(true, ordering: .relaxed)
    thread.join()
    let hits = attached.reduce(0) { $0 + $1.hits }
    text += "\(hits) hits of probes by an isolated thread meanwhile\n"
    registry.close()
    coordinator.close()
    return text
  }

  private final class Stop: Sendable {
    let word = Atomic(false)
  }

  // MARK: Looking up

  private static func lookups() -> String {
    var text = ""
    for way in [RegionCrowd.Way.locked, .speculative] {
      for changes in [0, 10, 10_000] as [UInt64] {
        text +=
          "region lookups, \(way == .locked ? "under the lock" : "speculative"), "
          + "\(changes) changes a second\n"
        for threads in [1, 2, 4, 8] {
          let crowd = RegionCrowd(
            threads: threads, changes: changes, processors: PoolCrowd.allowed)
          // Under the lock a lookup is a switch of threads where several want one.
          let count = way == .locked ? 2000 : 20_000
          let rates = (0..<5).map { _ in 1000 / crowd.run(way, count) }
          let spread = Spread(rates)
          let half = (spread.most - spread.least) / 2
          text +=
            "region-lookup    (\(padded("\(threads)", 2)) cpus): "
            + "\(padded(BenchmarkTable.number(spread.median), 8)) ± "
            + "\(BenchmarkTable.number(half))M/s  "
            + "(\(padded(BenchmarkTable.number(spread.median / Double(threads)), 8))M/s/cpu)\n"
        }
      }
    }
    return text
  }

  private static func padded(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }

  private static func aligned(_ lines: [[String]]) -> String {
    let widths = lines[0].indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
    return lines.map { line in
      line.indices.map { column in
        column == line.count - 1 ? line[column] : padded(line[column], widths[column])
      }.joined(separator: "  ") + "\n"
    }.joined()
  }
}
