// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Synchronization
import Testing

extension StressTests {
  /// A signal handler of the program's own that sends to the CPU whose thread it meets, between any
  /// two instructions: only what is interrupt-safe runs there, and every send is counted.
  @Suite struct SignalSenders {
    @Test func runNothingThatIsNotSafe() throws {
      let storm = try SignalStorm()
      try storm.run()
    }
  }
}

private final class SignalStorm: Sendable {
  // Unchecked: set before the handler is installed, and read by it alone.
  nonisolated(unsafe) private static var current: SignalStorm? = nil

  private let coordinator: Coordinator
  private let plain: WorkType
  private let safe: WorkType
  private let thread = Atomic<UInt>(0)
  private let isOver = Atomic<Bool>(false)
  private let isInSignal: SignalFlag
  private let signals = Atomic<Int>(0)
  private let sends = Atomic<Int>(0)

  init() throws {
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1])
    configuration.pinning = .none
    coordinator = try Coordinator(configuration)
    let flag = SignalFlag()
    isInSignal = flag
    plain = try coordinator.register("plain") { _ in
      if flag.isSet { flag.violations.wrappingAdd(1, ordering: .relaxed) }
    }
    var options = WorkType.Options()
    options.isInterruptSafe = true
    options.order = .late
    safe = try coordinator.register("safe", options: options) { _ in }
  }

  func run() throws {
    unsafe Self.current = self
    defer { unsafe Self.current = nil }
    var (action, before) = (sigaction(), sigaction())
    unsafe action.__sigaction_handler.sa_handler = { _ in unsafe SignalStorm.current?.handleSignal()
    }
    action.sa_flags = SA_RESTART
    #expect(unsafe sigaction(SIGUSR1, &action, &before) == 0)
    defer { _ = unsafe sigaction(SIGUSR1, &before, nil) }
    let cpu = TestThread { self.serve() }
    #expect(eventually { self.thread.load(ordering: .acquiring) != 0 })
    let until = Until(StressDuration.ofCase(0.5))
    while !until.isOver || signals.load(ordering: .relaxed) < 100 {
      pthread_kill(pthread_t(thread.load(ordering: .relaxed)), SIGUSR1)
      for _ in 0..<200 { _ = isOver.load(ordering: .relaxed) }
    }
    isOver.store(true, ordering: .releasing)
    cpu.join()
    let violations = isInSignal.violations.load(ordering: .relaxed)
    #expect(violations == 0, "handlers that are not interrupt-safe ran in a signal handler")
    let statistics = coordinator.statistics()
    for work in [plain, safe] {
      let counts = statistics[work]
      #expect(
        Int(counts.sent) == sends.load(ordering: .relaxed), "sends of \(work) were not counted")
      #expect(counts.sent == counts.executed + counts.merged + counts.pending + counts.gone)
    }
  }

  private func serve() {
    // Threads of the Swift pool block most signals, and those that they start inherit it.
    var storm = sigset_t()
    unsafe sigemptyset(&storm)
    unsafe sigaddset(&storm, SIGUSR1)
    #expect(unsafe pthread_sigmask(SIG_UNBLOCK, &storm, nil) == 0)
    guard let cpu = try? coordinator.attach(to: 1) else { return }
    var made = 0
    thread.store(UInt(pthread_self()), ordering: .releasing)
    while !isOver.load(ordering: .acquiring) {
      cpu.inUser {}
      cpu.send(plain, to: 1)
      cpu.send(safe, to: 1)
      made += 1
    }
    // No signal comes any more that this thread would be sent for.
    sends.wrappingAdd(made, ordering: .relaxed)
  }

  private func handleSignal() {
    isInSignal.set(true)
    coordinator.send(plain, to: 1)
    coordinator.send(safe, to: 1)
    isInSignal.set(false)
    signals.wrappingAdd(1, ordering: .relaxed)
    sends.wrappingAdd(1, ordering: .relaxed)
  }
}

/// Whether the CPU's thread is in its signal handler, and what ran there that must not.
private final class SignalFlag: Sendable {
  private let flag = Atomic(false)
  let violations = Atomic<Int>(0)

  var isSet: Bool { flag.load(ordering: .relaxed) }
  func set(_ value: Bool) { flag.store(value, ordering: .relaxed) }
}
