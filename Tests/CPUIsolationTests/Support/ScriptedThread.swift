// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Dispatch

/// A CPU's thread that does what the test says, one step after the other, and nothing in between.
///
///     let cpu = try ScriptedThread(coordinator, on: 1)
///     try cpu.enterUser()
///     #expect(coordinator.send(work, to: 1) == .deferred)
///     try cpu.enterKernel()
///
/// Between two steps the thread sleeps in the context it is in: it polls nothing and passes no safe
/// point, so what a test sees is due to the steps alone.
final class ScriptedThread: Sendable {
  typealias Line = @Sendable (borrowing LocalCPU) -> Void

  private let script = Script()
  private let thread: CPUThread

  init(_ coordinator: Coordinator, on cpu: Int, options: CPUThread.Options = .init()) throws {
    let script = self.script
    thread = try coordinator.launch(on: cpu, options: options) { script.play($0) }
  }

  deinit {
    script.append(nil)
    // A thread that is stuck in a step is left to itself.
    if (try? script.ended.value()) != nil { thread.join() }
  }

  /// Whether the thread is bound to a processor.
  var isPinned: Bool { thread.isPinned }

  /// Has the thread begin a step, and goes on: for steps that block.
  func start<Result: Sendable>(
    _ line: @escaping @Sendable (borrowing LocalCPU) -> Result
  ) -> Step<Result> {
    let step = Step<Result>()
    script.append { step.finish(line($0)) }
    return step
  }

  /// Has the thread do a step, and waits for its end.
  @discardableResult
  func run<Result: Sendable>(
    _ line: @escaping @Sendable (borrowing LocalCPU) -> Result
  ) throws -> Result {
    try start(line).value()
  }

  func enterUser() throws { try run { $0.enterUser() } }
  func enterKernel() throws { try run { $0.enterKernel() } }
  func poll() throws { try run { $0.poll() } }
  func safePoint() throws { try run { $0.safePoint() } }

  /// Polls in the context it is in until told otherwise.
  func startPolling(until stop: Flag) -> Step<Void> {
    start { cpu in
      while !stop.isRaised {
        cpu.poll()
        Flag.pause()
      }
    }
  }

  /// Lets the thread detach, and waits until it has.
  func end() throws {
    script.append(nil)
    try script.ended.value()
    thread.join()
  }
}

/// The lines that a thread has still to say.
private final class Script: Sendable {
  let ended = Step<Void>()
  private let lines = Guarded<[ScriptedThread.Line?]>([])
  private let arrivals = DispatchSemaphore(value: 0)

  func append(_ line: ScriptedThread.Line?) {
    lines.withLock { $0.append(line) }
    arrivals.signal()
  }

  func play(_ cpu: borrowing LocalCPU) {
    while true {
      arrivals.wait()
      guard let line = lines.withLock({ $0.removeFirst() }) else { break }
      line(cpu)
    }
    // A test that failed half-way must not leave its thread where it cannot detach.
    if cpu.context == .user { cpu.enterKernel() }
    ended.finish(())
  }
}
