// SPDX-License-Identifier: Apache-2.0

internal import CBenchmarkPeers
internal import CPUIsolation
internal import CPUIsolationTextPatching
internal import Dispatch
internal import Synchronization

/// What a patch site costs its callers, and what a patch costs where a CPU in user is left in
/// peace.
enum TextPatchingBenchmarks {
  static let all: [Benchmark] = [
    Benchmark(
      "patch-site", budget: 3.1, against: "an atomic word, loaded and called",
      { stage, count in
        let clock = stage.clock
        return OtherThread.run { clock.time(count) { pointers(count) } }
      }
    ) { stage, count in
      let clock = stage.clock
      return OtherThread.run { sites(clock, count) }
    },
    Benchmark(
      "patch", budget: 1, against: "three signals to a busy thread, one for each phase",
      { stage, count in
        guard let processor = stage.secondProcessor, peer_busy_thread_start(processor) == 0 else {
          return .nan
        }
        defer { peer_busy_thread_stop() }
        return 3 * peer_busy_thread_signal(UInt64(count)) * stage.clock.nanosecondsPerCycle
      }
    ) { stage, count in
      guard let subject else { return .nan }
      return stage.time(count) { patches(subject, of: 1, count) }
    }.needing(.secondProcessor, count: 16),
    Benchmark(
      "patch:of-100", budget: 20, against: "a patch of one site",
      { stage, count in
        guard let subject else { return .nan }
        return stage.time(count) { patches(subject, of: 1, count) }
      }
    ) { stage, count in
      guard let subject else { return .nan }
      return stage.time(count) { patches(subject, of: 100, count) }
    }.needing(.none, count: 16),
  ]

  private static let add: PatchFunction = { first, second in first &+ second }
  private static let subtract: PatchFunction = { first, second in first &- second }

  /// A patcher with sites, and an isolated CPU that has called one and sleeps in user from then on.
  private final class Subject: Sendable {
    let coordinator: Coordinator
    let patcher: TextPatcher
    let sites: [PatchSite]

    init() throws(IsolationError) {
      var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1])
      configuration.pinning = .none
      coordinator = try Coordinator(configuration)
      patcher = try TextPatcher(coordinator: coordinator)
      var sites: [PatchSite] = []
      for index in 0..<100 { sites.append(try patcher.makeSite("\(index)", original: add)) }
      self.sites = sites
      let site = sites[0]
      let isInUser = DispatchSemaphore(value: 0)
      try coordinator.launch(on: 1) { cpu in
        _ = site(on: cpu, 1, 2)
        cpu.inUser {
          isInUser.signal()
          DispatchSemaphore(value: 0).wait()
        }
      }
      isInUser.wait()
    }
  }

  /// Nil where the system refuses executable memory. It stays until the program ends.
  private static let subject = try? Subject()

  private static let pointer = Atomic<UInt>(
    unsafe UInt(bitPattern: unsafeBitCast(add, to: UnsafeRawPointer.self)))

  @inline(never)
  private static func pointers(_ count: Int) {
    var sum = 0
    for _ in 0..<count {
      let word = unsafe UnsafeRawPointer(bitPattern: pointer.load(ordering: .relaxed))
      sum = unsafe unsafeBitCast(word.unsafelyUnwrapped, to: PatchFunction.self)(sum, 1)
    }
    peer_turn(UInt64(truncatingIfNeeded: sum))
  }

  private static func sites(_ clock: BenchmarkClock, _ count: Int) -> Double {
    guard let subject, let cpu = try? subject.coordinator.attach(to: 0) else { return .nan }
    let site = subject.sites[99]
    _ = site(on: cpu, 1, 2)
    return clock.time(count) { calls(site, cpu, count) }
  }

  @inline(never)
  private static func calls(_ site: PatchSite, _ cpu: borrowing LocalCPU, _ count: Int) {
    var sum = 0
    for _ in 0..<count { sum = site(on: cpu, sum, 1) }
    peer_turn(UInt64(truncatingIfNeeded: sum))
  }

  private static func patches(_ subject: Subject, of sites: Int, _ count: Int) {
    for turn in 0..<count {
      let instruction = turn % 2 == 0 ? PatchSite.Instruction.jump(to: subtract) : .nop
      let changes = subject.sites.prefix(sites).map { ($0, instruction) }
      _ = try? subject.patcher.patch(changes)
    }
  }
}
