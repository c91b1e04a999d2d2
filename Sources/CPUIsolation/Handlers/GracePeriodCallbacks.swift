// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// Runs callbacks when a grace period is over: deferred frees, in bounded memory.
///
///     let frees = try GracePeriodCallbacks(coordinator, capacity: 1024)
///     table.unlink(node)
///     if frees.retire({ node.free() }) == .full { … }  // runs when nobody looks at the node
///
/// Each callback runs once, in the order of retirement, on a thread that is no isolated CPU: the
/// service's own, or with `runsThread` false that of whoever calls `runReady`. An isolated CPU in
/// user has passed every grace period, and is never disturbed by one.
///
/// There is room for `capacity` callbacks, taken when it is made. When that is full, `retire` says
/// so, and the caller waits (`retireWaiting`) or drops its work: an unbounded queue would turn a
/// CPU that stays in kernel into a process without memory.
///
/// Do not use it for what a CPU may still reach from a cache of its own: a grace period does not
/// flush caches. That is what `AddressSpace.Retirement` waits for.
///
/// After `call_rcu` and `rcu_barrier` (Linux; P. E. McKenney, J. D. Slingwine, 1998), and
/// liburcu's `urcu-call-rcu-impl.h`.
///
/// - Progress: as each member says
/// - Context: any thread
/// - Allocates: at creation
public final class GracePeriodCallbacks: Sendable {
  /// The room for callbacks.
  public let capacity: Int

  let coordinator: Coordinator
  let state: Lock<State>
  let bell: Bell

  /// A callback: a C function with its context, or a closure.
  @safe
  enum Callback: Sendable {
    case function(GracePeriodCallbacks.Function, UInt)
    case closure(@Sendable () -> Void)

    func run() {
      switch self {
      case .function(let function, let context):
        // Safety: the function came with this context.
        unsafe function(UnsafeMutableRawPointer(bitPattern: context))
      case .closure(let body): body()
      }
    }
  }

  /// Callbacks are numbered from 0 in the order of retirement: those below `completed` have run,
  /// those below `covered` wait for the grace period that is under way, the others for the next.
  struct State {
    var ring: [Callback?]
    var retired: UInt64 = 0
    var covered: UInt64 = 0
    var completed: UInt64 = 0
    var gracePeriod: Coordinator.GracePeriod? = nil
    /// The thread that runs what is ready; 0 is none.
    var runner: Int32 = 0
    var isClosed = false
    var hasThread = false
    /// The service's thread keeps this alive, since there is something to run.
    var isKept = false
  }

  /// What wakes the service, and outlives whoever rings.
  // Sendable: a parker is a word that every access to is atomic.
  final class Bell: @unchecked Sendable {
    let parker = Parker()
  }

  /// What became of a retirement.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public enum Outcome: Hashable, Sendable {
    /// It runs once, after a grace period that begins later.
    case accepted
    /// There is no room: nothing was done.
    case full
    /// It has been closed: nothing was done.
    case closed
  }

  /// Makes the room for so many callbacks, and starts the thread that runs them.
  ///
  /// - Throws: `threadCreationFailed`.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  public init(
    _ coordinator: Coordinator, capacity: Int, runsThread: Bool = true,
    file: StaticString = #fileID, line: UInt = #line
  ) throws(IsolationError) {
    if capacity < 1 || capacity > 1 << 24 {
      misuse("there cannot be room for \(capacity) callbacks: it takes 1 to 16777216", file, line)
    }
    self.coordinator = coordinator
    self.capacity = capacity
    bell = Bell()
    state = Lock(State(ring: Array(repeating: nil, count: capacity)))
    if runsThread { try start() }
  }

  // MARK: Retiring

  /// Has a closure run after a grace period. What was unlinked before is what that waits for.
  ///
  /// - Progress: blocking, for as long as another thread retires
  /// - Context: any thread, outside handlers; also in a kernel section
  /// - Allocates: never; the closure as the caller made it
  public func retire(_ body: @escaping @Sendable () -> Void) -> Outcome {
    append(.closure(body))
  }

  /// Has a C function run after a grace period: no allocation and no reference count.
  ///
  ///     frees.retire(context: node) { free($0) }
  ///
  /// - Progress: blocking, for as long as another thread retires
  /// - Context: any thread, outside handlers; also in a kernel section
  /// - Allocates: never
  public func retire(
    context: UnsafeMutableRawPointer?, function: GracePeriodCallbacks.Function
  ) -> Outcome {
    // Safety: an address, which nobody looks into but the function.
    unsafe append(.function(function, UInt(bitPattern: context)))
  }

  /// As `retire`, and waits for room: until the time is over, when the answer is `full`.
  ///
  /// A caller that is a CPU serves its own work meanwhile. Inside a kernel section, or a callback,
  /// the caller would wait for itself: that ends the process with a sentence. In the child of a fork
  /// nobody makes room, and the answer comes at once.
  ///
  /// - Progress: blocking
  /// - Context: any thread, outside handlers and kernel sections; in callbacks take `retire`
  /// - Allocates: never; the closure as the caller made it
  public func retireWaiting(
    timeout: Duration? = nil, file: StaticString = #fileID, line: UInt = #line,
    _ body: @escaping @Sendable () -> Void
  ) -> Outcome {
    coordinator.requireMayWait("wait for a grace period callback", file, line)
    let until = Deadline(after: timeout)
    var backoff = Backoff()
    while true {
      let outcome = append(.closure(body))
      guard outcome == .full else { return outcome }
      requireOutsideCallbacks(state.withLock { $0.runner }, file, line)
      if until.hasPassed || coordinator.isClosed || coordinator.isForked { return .full }
      step(file, line)
      backoff.wait()
    }
  }

  private func append(_ callback: Callback) -> Outcome {
    let (outcome, isFirst) = state.withLock { state -> (Outcome, Bool) in
      if state.isClosed { return (.closed, false) }
      if state.retired - state.completed == UInt64(capacity) { return (.full, false) }
      state.ring[Int(state.retired % UInt64(capacity))] = callback
      state.retired += 1
      if !state.hasThread || state.isKept { return (.accepted, false) }
      state.isKept = true
      // Safety: one reference, which the service gives back when nothing is left.
      _ = unsafe Unmanaged.passRetained(self)
      return (.accepted, true)
    }
    // Later ones are found by the looks that the first one makes the service take.
    if isFirst { bell.parker.unpark() }
    return outcome
  }

  /// How many callbacks have not run.
  ///
  /// - Progress: blocking, for as long as another thread retires
  /// - Context: any thread
  /// - Allocates: never
  public var pending: Int { state.withLock { Int($0.retired - $0.completed) } }

  // MARK: Running

  /// Runs what is ready, and begins the grace period of what is not; tells how many ran.
  ///
  /// For programs that have a loop of their own to call it from. On an isolated CPU it ends the
  /// process with a sentence. A callback may retire others.
  ///
  /// - Progress: blocking, as the callbacks
  /// - Context: any thread that is no isolated CPU, outside handlers and kernel sections
  /// - Allocates: one word per CPU that is in kernel, and as the callbacks
  @discardableResult
  public func runReady(file: StaticString = #fileID, line: UInt = #line) -> Int {
    if let cpu = coordinator.currentCPU, coordinator.isolated.contains(cpu) {
      misuse("CPU \(cpu) is isolated, and cannot run grace period callbacks", file, line)
    }
    coordinator.requireMayWait("run grace period callbacks", file, line)
    let isFirst = state.withLock { state in
      if state.runner != 0 { return false }
      state.runner = CurrentThread.knownID
      return true
    }
    guard isFirst else { return 0 }
    var ran = 0
    while let range = advance() {
      for number in range {
        let index = Int(number % UInt64(capacity))
        let callback = state.withLock { state in
          defer { state.ring[index] = nil }
          return state.ring[index]
        }
        callback?.run()
        // One by one, so that a callback may retire the next where it was.
        state.withLock { $0.completed = number + 1 }
        ran += 1
      }
    }
    state.withLock { $0.runner = 0 }
    return ran
  }

  /// The callbacks whose grace period is over, having begun the next one; nil if none is.
  private func advance() -> Range<UInt64>? {
    let gracePeriod = state.withLock { state in
      defer { state.gracePeriod = nil }
      return state.gracePeriod
    }
    if var gracePeriod {
      guard gracePeriod.poll() else {
        state.withLock { $0.gracePeriod = gracePeriod }
        return nil
      }
      return state.withLock { $0.completed..<$0.covered }
    }
    // What was retired before the grace period begins is what it covers.
    let end = state.withLock { $0.retired == $0.completed ? nil : $0.retired }
    guard let end else { return nil }
    var next = coordinator.startGracePeriod()
    let isOver = next.poll()
    return state.withLock { state in
      state.covered = end
      if isOver { return state.completed..<end }
      state.gracePeriod = next
      return nil
    }
  }

  /// Waits until every callback that was retired before has run.
  ///
  ///     frees.barrier(timeout: .seconds(1))
  ///
  /// Else the answer names the CPUs in kernel. A caller that is no isolated CPU runs what is ready
  /// itself.
  /// Inside a callback it would wait for itself; that ends the process with a sentence.
  ///
  /// - Progress: blocking
  /// - Context: any thread, outside handlers, kernel sections and callbacks
  /// - Allocates: as `runReady`
  @discardableResult
  public func barrier(
    timeout: Duration? = nil, file: StaticString = #fileID, line: UInt = #line
  ) -> WaitOutcome {
    coordinator.requireMayWait("wait for grace period callbacks", file, line)
    let (end, runner) = state.withLock { ($0.retired, $0.runner) }
    requireOutsideCallbacks(runner, file, line)
    let until = Deadline(after: timeout)
    var backoff = Backoff()
    while state.withLock({ $0.completed }) < end {
      if coordinator.isForked { return .forked }
      let holders = coordinator.othersInKernel
      if until.hasPassed { return .timedOut(holders) }
      // Of a closed coordinator the CPUs that are in kernel may never leave; others hold nothing up.
      if coordinator.isClosed, !holders.isEmpty { return .closed(holders) }
      step(file, line)
      backoff.wait()
    }
    return .settled
  }

  private func requireOutsideCallbacks(_ runner: Int32, _ file: StaticString, _ line: UInt) {
    if runner == CurrentThread.knownID {
      misuse(
        "a grace period callback waited for grace period callbacks: it would wait for itself", file,
        line)
    }
  }

  /// One step of a waiting loop.
  private func step(_ file: StaticString, _ line: UInt) {
    Coordinator.serveOwnCPU()
    if let cpu = coordinator.currentCPU {
      if coordinator.isolated.contains(cpu) {
        if coordinator.context(of: cpu) == .kernel {
          misuse(
            "CPU \(cpu) waited for grace period callbacks in kernel: it would wait for itself",
            file,
            line)
        }
        return bell.parker.unpark()
      }
      // A housekeeper holds nothing while it waits: it would hold up its own callbacks.
      if let slot = coordinator.ownSlot, coordinator.context(of: cpu) == .kernel {
        OwnerTransitions.quiescent(slot)
      }
    }
    runReady(file: file, line: line)
  }

  /// Takes no more callbacks, and waits until those that there are have run.
  ///
  /// What has not run when the time is over runs on the service's thread later; where there is none,
  /// `runReady` runs it. What nobody runs before the last reference has gone never runs.
  ///
  /// - Progress: blocking
  /// - Context: any thread, outside handlers, kernel sections and callbacks
  /// - Allocates: as `runReady`
  @discardableResult
  public func close(
    timeout: Duration? = nil, file: StaticString = #fileID, line: UInt = #line
  ) -> WaitOutcome {
    state.withLock { $0.isClosed = true }
    defer { bell.parker.unpark() }
    return barrier(timeout: timeout, file: file, line: line)
  }

  deinit {
    // The service holds a reference while there is anything to run.
    bell.parker.unpark()
  }
}

extension GracePeriodCallbacks {
  /// The C function of a callback: its context.
  public typealias Function = @convention(c) (UnsafeMutableRawPointer?) -> Void
}
