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
/// flush caches. That is what ``AddressSpace/Retirement`` waits for.
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
  /// - Parameters:
  ///   - coordinator: whose grace periods are waited for.
  ///   - capacity: how many callbacks can wait at once, 1 to 16 777 216.
  ///   - runsThread: whether a thread of the service's runs them; else the program calls
  ///     `runReady`.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
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
  /// - Parameter body: runs once, on the service's thread or that of `runReady`.
  /// - Returns: `.accepted`; `.full` or `.closed` if nothing was done.
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
  /// - Parameters:
  ///   - context: handed on to the function.
  ///   - function: a C function; it runs once.
  /// - Returns: `.accepted`; `.full` or `.closed` if nothing was done.
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
  /// - Parameters:
  ///   - timeout: how long to wait at most; nil waits for ever, and zero looks once.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  ///   - body: runs once, on the service's thread or that of `runReady`.
  /// - Returns: `.accepted`; `.full` if the time was over first; `.closed`.
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

  deinit {
    // The service holds a reference while there is anything to run.
    bell.parker.unpark()
  }
}

extension GracePeriodCallbacks {
  /// The C function of a callback: its context.
  public typealias Function = @convention(c) (UnsafeMutableRawPointer?) -> Void
}
