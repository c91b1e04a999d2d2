// SPDX-License-Identifier: Apache-2.0

public import CPUIsolation
internal import CPlatform
internal import Synchronization

/// A CPU of a `ScriptedMachine`: a thread that makes the steps that a test asks for, one at a time.
///
///     machine[2].enterUser()
///     machine[2].run { cpu in cpu.poll() }
///
/// - Progress: blocking, until the step is done
/// - Context: the test's thread
/// - Allocates: yes
public final class ScriptedCPU: Sendable {
  /// Its number.
  public let number: Int

  private struct Script {
    var step: (@Sendable (CPUHandle) -> Void)? = nil
    var isEnding = false
    var isAttached = false
    var failure: CoordinatorError? = nil
  }
  private let script = Lock(Script())
  private let coordinator: Coordinator

  init(_ number: Int, of coordinator: Coordinator) throws(CoordinatorError) {
    self.number = number
    self.coordinator = coordinator
    var handle: UInt64 = 0
    let context = unsafe Unmanaged.passRetained(self)
    let error = unsafe cpi_start_thread(
      0, { unsafe Unmanaged<ScriptedCPU>.fromOpaque($0!).takeRetainedValue().follow() },
      context.toOpaque(), &handle)
    if error != 0 { fatalError("no thread for CPU \(number): errno \(error)") }
    var backoff = Backoff()
    while true {
      let state = script.withLock { ($0.isAttached, $0.failure) }
      if let failure = state.1 { throw failure }
      if state.0 { return }
      backoff.wait()
    }
  }

  private func follow() {
    let handle: CPUHandle
    do {
      handle = try coordinator.attachHandle(to: number)
    } catch {
      return script.withLock { $0.failure = error }
    }
    script.withLock { $0.isAttached = true }
    var backoff = Backoff()
    while true {
      let (step, isEnding) = script.withLock { ($0.step, $0.isEnding) }
      if let step {
        step(handle)
        script.withLock { $0.step = nil }
        backoff = Backoff()
      } else if isEnding {
        break
      } else {
        backoff.wait()
      }
    }
    if handle.context == .user { handle.enterKernel() }
    handle.detach()
    script.withLock { $0.isAttached = false }
  }

  /// Lets the thread go, and waits until it has.
  func end() {
    script.withLock { $0.isEnding = true }
    coordinator.wake(number)
    var backoff = Backoff()
    while script.withLock({ $0.isAttached }) { backoff.wait() }
  }

  /// Runs a step on the CPU's thread and returns its result.
  @discardableResult
  public func run<Result: Sendable>(_ step: @escaping @Sendable (CPUHandle) -> Result) -> Result {
    let result = Lock<Result?>(nil)
    begin { handle in
      let value = step(handle)
      result.withLock { $0 = value }
    }
    var backoff = Backoff()
    while script.withLock({ $0.step != nil }) { backoff.wait() }
    return result.withLock { $0! }
  }

  private func begin(_ step: @escaping @Sendable (CPUHandle) -> Void) {
    var backoff = Backoff()
    while !script.withLock({ script in
      if script.step != nil { return false }
      script.step = step
      return true
    }) {
      // The CPU sleeps in an idle step: the next step is what ends it.
      coordinator.wake(number)
      backoff.wait()
    }
  }

  /// Leaves kernel; see `CPUHandle.enterUser()`.
  public func enterUser() { run { $0.enterUser() } }

  /// Enters kernel; everything that was deferred has run when this returns.
  public func enterKernel() { run { $0.enterKernel() } }

  /// Serves what cannot wait, if there is any.
  public func poll() { run { $0.poll() } }

  /// Runs what is pending, in kernel.
  public func safePoint() { run { $0.safePoint() } }

  /// Declares a quiescent state.
  public func quiescent() { run { $0.quiescent() } }

  /// Becomes idle, and returns when it is: the CPU sleeps until something wakes it, or its next
  /// step.
  public func beginIdle() {
    begin { $0.idle() }
    var backoff = Backoff()
    while coordinator.context(of: number) != .idle, script.withLock({ $0.step != nil }) {
      backoff.wait()
    }
  }

  /// Where it is.
  public var context: CPUContext { coordinator.context(of: number) }
}
