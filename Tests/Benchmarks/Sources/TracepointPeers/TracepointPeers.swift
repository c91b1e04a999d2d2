// SPDX-License-Identifier: Apache-2.0
//
// What a tracepoint costs, beside one of LTTng-UST with the same fields: interleaved in one run.

import CLTTngPeer
import CPUIsolation
import Glibc

@main
struct TracepointPeers {
  private static let format = TraceEventFormat(
    system: "peers", name: "turn", id: 2001,
    declaring: [.number("count", as: UInt32.self), .number("version", as: UInt32.self)],
    printFormat: #""count=%u version=%u", REC->count, REC->version"#)
  private static let rounds = 301
  private static let count = 20_000

  static func main() throws {
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1])
    configuration.pinning = .none
    let coordinator = try Coordinator(configuration)
    let tracepoint = try coordinator.tracer.declare(format)
    let isOn = lttng_peer_is_on()
    if isOn { try coordinator.tracer.start(format) }
    let cpu = try coordinator.attach(to: 1)
    print("a tracepoint of two fields, \(isOn ? "on" : "off"): ns over the bare loop")
    compare("a CPU in kernel") { records(tracepoint) }
    cpu.detach()
    if isOn { compare("a thread that is no CPU") { records(tracepoint) } }
  }

  private static func compare(_ name: String, _ ours: () -> Void) {
    var own: [Double] = []
    var theirs: [Double] = []
    for _ in 0..<rounds {
      own.append(nanoseconds(ours))
      theirs.append(nanoseconds { lttng_peer_records(UInt64(count)) })
    }
    let (mine, peer) = (Spread(own), Spread(theirs))
    let ratio = peer.median > 0 ? "\(rounded(max(0, mine.median) / peer.median))" : "none"
    print("  \(name): \(mine.text); LTTng-UST: \(peer.text); ratio \(ratio)")
  }

  /// The rate of the counter, measured over 50 ms.
  private static let cyclesPerSecond: Double = {
    let clock = ContinuousClock()
    let (start, first) = (clock.now, lttng_peer_cycles())
    var took = Duration.zero
    while took < .milliseconds(50) { took = start.duration(to: clock.now) }
    let cycles = Double(lttng_peer_cycles() &- first)
    return cycles / (Double(took.components.attoseconds) * 1e-18 + Double(took.components.seconds))
  }()

  /// What `body` takes per turn, less what a bare loop takes.
  private static func nanoseconds(_ body: () -> Void) -> Double {
    let start = lttng_peer_cycles()
    turns()
    let middle = lttng_peer_cycles()
    body()
    let end = lttng_peer_cycles()
    let cycles = Double(end &- middle) - Double(middle &- start)
    return cycles * 1e9 / cyclesPerSecond / Double(count)
  }

  @inline(never)
  private static func turns() {
    for turn in 0..<count { lttng_peer_turn(UInt64(turn)) }
  }

  @inline(never)
  private static func records(_ tracepoint: Tracepoint) {
    for turn in 0..<count {
      lttng_peer_turn(UInt64(turn))
      tracepoint.record((UInt32(truncatingIfNeeded: turn) | 1, 7 as UInt32))
    }
  }

  private static func rounded(_ value: Double) -> Double { (value * 100).rounded() / 100 }

  private struct Spread {
    let sorted: [Double]

    init(_ samples: [Double]) { sorted = samples.sorted() }

    var median: Double { sorted[sorted.count / 2] }
    var text: String {
      "\(rounded(median)) (\(rounded(sorted[0]))–\(rounded(sorted[sorted.count - 1])))"
    }
  }
}
