// SPDX-License-Identifier: Apache-2.0

internal import CBenchmarkPeers
internal import CPUIsolation
internal import Synchronization

/// What it costs to ask whether something is on, in a loop that does nothing else: a static key, a
/// word in memory, and a relaxed atomic.
enum StaticKeyBenchmarks {
  static let all: [Benchmark] = [
    Benchmark(
      "static-key", budget: 1.1, against: "a plain load and branch",
      { _, count in KeyStage.run { stage, _ in stage.plain(count) } }
    ) { _, count in KeyStage.run { stage, cpu in stage.key(cpu, count) } },
    Benchmark(
      "static-key:atomic", budget: 1.1, against: "a relaxed atomic and branch",
      { _, count in KeyStage.run { stage, _ in stage.atomic(count) } }
    ) { _, count in KeyStage.run { stage, cpu in stage.key(cpu, count) } },
  ]
}

/// A coordinator of its own, since the stage's has no work type left.
@safe
private struct KeyStage: Sendable {
  private let coordinator: Coordinator
  private let key: StaticKey
  // Sendable: never written.
  nonisolated(unsafe) private let word: UnsafeMutablePointer<UInt64>
  private let flag = SharedFlag()
  private let clock = BenchmarkClock()

  private static let shared = try? KeyStage()

  private init() throws(IsolationError) {
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1])
    configuration.pinning = .none  // the thread has its processor already
    coordinator = try Coordinator(configuration)
    key = try StaticKeys(coordinator).makeKey("benchmark")
    unsafe word = .allocate(capacity: 1)
    unsafe word.initialize(to: 0)
  }

  /// Runs `body` on a thread that is a CPU in user. Not a number if there is none to be had.
  static func run(
    _ body: @escaping @Sendable (KeyStage, borrowing LocalCPU) -> Double
  ) -> Double {
    guard let stage = shared else { return .nan }
    return OtherThread.run {
      guard let cpu = try? stage.coordinator.attach(to: 1) else { return .nan }
      return cpu.inUser { body(stage, cpu) }
    }
  }

  func key(_ cpu: borrowing LocalCPU, _ count: Int) -> Double {
    clock.time(count) { Self.keys(key, cpu, count) }
  }

  func plain(_ count: Int) -> Double {
    clock.time(count) { unsafe Self.plains(word, count) }
  }

  func atomic(_ count: Int) -> Double { clock.time(count) { Self.atomics(flag, count) } }

  // Functions of their own, so that nothing is known of what they read.

  @inline(never)
  private static func keys(_ key: StaticKey, _ cpu: borrowing LocalCPU, _ count: Int) {
    repeated(count) { key.isEnabled(on: cpu) }
  }

  @inline(never)
  private static func plains(_ word: UnsafePointer<UInt64>, _ count: Int) {
    repeated(count) { unsafe peer_plain_load(word) != 0 }
  }

  @inline(never)
  private static func atomics(_ flag: SharedFlag, _ count: Int) {
    repeated(count) { flag.value.load(ordering: .relaxed) != 0 }
  }

  /// Sixteen looks a turn: a turn of one takes two cycles in place of one where the linker happens to
  /// put it across two cache lines.
  @inline(__always)
  private static func repeated(_ count: Int, _ isOn: () -> Bool) {
    for turn in 0..<UInt64(count + 15) / 16 {
      four(turn, isOn)
      four(turn, isOn)
      four(turn, isOn)
      four(turn, isOn)
    }
  }

  @inline(__always)
  private static func four(_ turn: UInt64, _ isOn: () -> Bool) {
    if isOn() { peer_turn(turn) }
    if isOn() { peer_turn(turn) }
    if isOn() { peer_turn(turn) }
    if isOn() { peer_turn(turn) }
  }
}

private final class SharedFlag: Sendable {
  let value = Atomic<UInt64>(0)
}

/// Whether the `StaticKey` at `key` is on for the `LocalCPU` at `cpu`, as a C function: see the
/// other probes.
@c(cpuisolation_probe_key)
public func probeKey(_ cpu: UnsafeMutableRawPointer, _ key: UnsafeRawPointer) -> Bool {
  // Safety: the caller's promise.
  unsafe key.assumingMemoryBound(to: StaticKey.self).pointee.isEnabled(
    on: cpu.assumingMemoryBound(to: LocalCPU.self).pointee)
}
