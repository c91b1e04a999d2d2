// SPDX-License-Identifier: Apache-2.0

internal import CHandlerWitness
public import CPUIsolation
internal import CPlatform
internal import Synchronization

/// A CPU of a `ScriptedMachine`: a thread that makes the steps that a test asks for, one at a time.
///
///     machine[2].enterUser()
///     machine[2].run { cpu in cpu.poll() }
///
/// A step that does not return (a handler that is stuck, a sleep) is begun with `begin` and awaited
/// with `finish`; in between the test goes on.
///
/// - Progress: blocking, until the step is done
/// - Context: the test's thread
/// - Allocates: yes
public final class ScriptedCPU: Sendable {
  /// Its number.
  public let number: Int

  private enum Step {
    case act(@Sendable (CPUHandle) -> Void)
    case attach
    case detach
  }

  private struct Script {
    var step: Step? = nil
    var isEnding = false
    var isAttached = false
    var failure: IsolationError? = nil
    var threadID: Int32 = 0
  }
  private let script = Lock(Script(step: .attach))
  private let bell = StepBell()
  private let coordinator: Coordinator
  private let thread = Lock<UInt64>(0)

  init(_ number: Int, of coordinator: Coordinator) throws(IsolationError) {
    self.number = number
    self.coordinator = coordinator
    var handle: UInt64 = 0
    let context = unsafe Unmanaged.passRetained(self)
    let error = unsafe cpi_start_thread(
      0, { unsafe Unmanaged<ScriptedCPU>.fromOpaque($0!).takeRetainedValue().follow() }, { _ in },
      context.toOpaque(), &handle)
    if error != 0 { fatalError("no thread for CPU \(number): errno \(error)") }
    thread.withLock { [handle] in $0 = handle }
    finish()
    if let failure = takeFailure() {
      end()
      throw failure
    }
  }

  // MARK: The thread

  private func follow() {
    script.withLock { $0.threadID = cpi_thread_id() }
    var handle: CPUHandle? = nil
    while true {
      let seen = bell.rings
      let (step, isEnding) = script.withLock { ($0.step, $0.isEnding) }
      if let step {
        make(step, &handle)
        script.withLock { $0.step = nil }
        bell.ring()
      } else if isEnding {
        break
      } else {
        bell.wait(after: seen)
      }
    }
    leave(&handle)
  }

  private func make(_ step: Step, _ handle: inout CPUHandle?) {
    switch step {
    case .act(let body): if let handle { body(handle) }
    case .detach: leave(&handle)
    case .attach:
      do {
        handle = try coordinator.attachHandle(to: number)
        script.withLock { $0.isAttached = true }
      } catch {
        script.withLock { $0.failure = error }
      }
    }
  }

  private func leave(_ handle: inout CPUHandle?) {
    guard let attached = handle else { return }
    if attached.context == .user { attached.enterKernel() }
    attached.detach()
    handle = nil
    script.withLock { $0.isAttached = false }
  }

  private func takeFailure() -> IsolationError? {
    script.withLock { script in
      defer { script.failure = nil }
      return script.failure
    }
  }

  /// Lets the thread go, and waits until it has.
  func end() {
    script.withLock { $0.isEnding = true }
    bell.ring()
    makeRoom()
    _ = cpi_join_thread(thread.withLock { $0 })
  }

  /// Gives the thread up, which is in a step that does not return: it is never joined, and runs
  /// only while no processor has anything better to do.
  func abandon() {
    let id = script.withLock { script in
      script.isEnding = true
      return script.threadID
    }
    bell.ring()
    chw_set_idle_priority(id)
  }

  /// The system's number of the thread.
  var threadID: Int32 { script.withLock { $0.threadID } }

  // MARK: Steps

  /// Runs a step on the CPU's thread and returns its result.
  ///
  /// - Parameter step: Runs once on the CPU's thread.
  /// - Returns: What the step returned.
  /// - Progress: blocking, until the step is done
  /// - Context: the test's thread
  /// - Allocates: yes
  @discardableResult
  public func run<Result: Sendable>(_ step: @escaping @Sendable (CPUHandle) -> Result) -> Result {
    let result = Lock<Result?>(nil)
    begin { handle in
      let value = step(handle)
      result.withLock { $0 = value }
    }
    finish()
    return result.withLock { $0! }
  }

  /// Begins a step and returns while it runs: for steps that sleep, or that do not end before the
  /// test does something else.
  ///
  ///     machine[2].begin { $0.enterKernel() }  // its handler waits for the test
  ///     machine.advance(by: .seconds(6))
  ///     machine.stalls.last?.kind  // .handlerRunning
  ///
  /// - Parameter step: Runs once on the CPU's thread.
  /// - Progress: blocking, until the step before is done
  /// - Context: the test's thread
  /// - Allocates: yes
  public func begin(_ step: @escaping @Sendable (CPUHandle) -> Void) {
    if !script.withLock({ $0.isAttached }) {
      fatalError("CPU \(number) has no thread attached: attach() it before its next step")
    }
    give(.act(step))
  }

  private func give(_ step: Step) {
    makeRoom()
    script.withLock { $0.step = step }
    bell.ring()
  }

  /// Waits until the step that was begun is done; false if it is not within that time, which is
  /// real time.
  ///
  /// - Parameter duration: How long to wait at most; nil waits for ever.
  /// - Returns: Whether the step is done.
  /// - Progress: blocking
  /// - Context: the test's thread
  /// - Allocates: never
  @discardableResult
  public func finish(within duration: Duration? = nil) -> Bool {
    let began = cpi_monotonic_nanoseconds()
    let limit = duration?.wholeNanoseconds ?? .max
    while true {
      let seen = bell.rings
      if !isStepping { return true }
      let passed = cpi_monotonic_nanoseconds() - began
      if passed >= limit { return false }
      bell.wait(after: seen, nanoseconds: limit == .max ? .max : limit - passed)
    }
  }

  /// Waits until the step before is done; a sleep is ended by what comes next.
  private func makeRoom() {
    while true {
      let seen = bell.rings
      if !isStepping { return }
      if context == .idle { coordinator.wake(number) }
      // Becoming idle does not ring.
      bell.wait(after: seen, nanoseconds: 1_000_000)
    }
  }

  /// Whether a step that was begun is not done yet.
  public var isStepping: Bool { script.withLock { $0.step != nil } }

  /// Leaves kernel; see `CPUHandle.enterUser()`.
  ///
  /// - Progress: blocking, until the step is done
  /// - Context: the test's thread
  /// - Allocates: yes
  public func enterUser() { run { $0.enterUser() } }

  /// Enters kernel; everything that was deferred has run when this returns.
  ///
  /// - Progress: blocking, until the step is done
  /// - Context: the test's thread
  /// - Allocates: yes
  public func enterKernel() { run { $0.enterKernel() } }

  /// Serves what cannot wait, if there is any.
  ///
  /// - Progress: blocking, until the step is done
  /// - Context: the test's thread
  /// - Allocates: yes
  public func poll() { run { $0.poll() } }

  /// Runs what is pending, in kernel.
  ///
  /// - Progress: blocking, until the step is done
  /// - Context: the test's thread
  /// - Allocates: yes
  public func safePoint() { run { $0.safePoint() } }

  /// Declares a quiescent state.
  ///
  /// - Progress: blocking, until the step is done
  /// - Context: the test's thread
  /// - Allocates: yes
  public func declareQuiescent() { run { $0.declareQuiescent() } }

  /// Becomes idle, and returns when it is: the CPU sleeps until something wakes it, or its next
  /// step.
  ///
  /// - Progress: blocking, until the CPU is idle
  /// - Context: the test's thread
  /// - Allocates: yes
  public func beginIdle() {
    begin { $0.idle() }
    var backoff = Backoff()
    while coordinator.context(of: number) != .idle, isStepping { backoff.wait() }
  }

  /// Detaches the CPU's thread: to sends, nobody is there.
  ///
  /// - Progress: blocking, until the step is done
  /// - Context: the test's thread
  /// - Allocates: yes
  public func detach() {
    give(.detach)
    finish()
  }

  /// Attaches the CPU's thread again; it is in kernel.
  ///
  /// - Throws: as `Coordinator.attach(to:)`.
  /// - Progress: blocking, until the step is done
  /// - Context: the test's thread
  /// - Allocates: yes
  public func attach() throws(IsolationError) {
    give(.attach)
    finish()
    if let failure = takeFailure() { throw failure }
  }

  /// Where it is.
  public var context: CPUContext { coordinator.context(of: number) }
}
