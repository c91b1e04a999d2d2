// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// The thread that runs the reclaimers of domains which leave that to it: one for the process,
/// started when it is needed first.
///
/// It sleeps while nothing is due. What isolated CPUs retire rings no bell: a domain that belongs to
/// a coordinator is looked at now and then for as long as it exists.
///
/// The child of a fork has one of its own. What it inherits has no thread, and may be locked by one
/// that the child does not have.
// Sendable: a lock, and a parker that any thread may ring and the one thread sleeps on.
@safe
final class HazardReclaimer: @unchecked Sendable {
  /// This process's.
  static var shared: HazardReclaimer {
    let forks = cpi_fork_generation()
    var found = first
    while found.forks != forks { found = found.successor(since: forks) }
    return found
  }

  private static let first = HazardReclaimer(since: cpi_fork_generation())

  private struct Watched { weak var domain: HazardDomain? }

  private struct State: Sendable {
    var due: [HazardDomain] = []
    var watched: [Watched] = []
    /// The processors that the thread keeps off.
    var avoided = ProcessorSet()
    /// Whether there is a thread, which, and how it was placed.
    var isRunning = false
    var threadID: Int32 = 0
    var placement: Int32 = 0
  }

  /// The fork since which it is there.
  private let forks: UInt32
  /// The one after the next fork that anybody noticed; never freed, like all of them.
  private let next = SharedAddress(0)
  private let state = Lock(State())
  private let parker: Place<Parker>

  private init(since forks: UInt32) {
    self.forks = forks
    // Safety: new memory, until `deinit`.
    parker = unsafe Place(UnsafeMutablePointer.allocate(capacity: 1))
    parker.initialize(to: Parker())
  }

  /// The reclaimer of the child, with the domains that this one had to look at, but for those that
  /// its thread was looking at: they are looked at again when more is retired into them.
  private func successor(since forks: UInt32) -> HazardReclaimer {
    // Acquire — hazardReclaimer:N. Whoever finds the successor finds its state. Pairs with
    // hazardReclaimer:S.
    let known = next.load(ordering: .acquiring)
    if known != 0 { return Self.reclaimer(at: known) }
    let made = HazardReclaimer(since: forks)
    // Where somebody held the lock at the fork, the state may be half changed: it is left behind, as
    // what the thread was looking at.
    if let inherited = state.withLockIfAvailable({ $0 }) {
      made.state.withLock { state in
        state.due = inherited.due
        state.watched = inherited.watched
        state.avoided = inherited.avoided
      }
    }
    // Safety: one reference, for good, or given back where another thread was faster.
    let kept = unsafe Unmanaged.passRetained(made)
    let (isOurs, earlier) = next.compareExchange(
      expected: 0, desired: unsafe UInt(bitPattern: kept.toOpaque()),
      // Release — hazardReclaimer:S. Pairs with hazardReclaimer:N.
      successOrdering: .releasing,
      // Acquire — hazardReclaimer:N. Another thread of the child was faster. Pairs with
      // hazardReclaimer:S.
      failureOrdering: .acquiring)
    if !isOurs {
      unsafe kept.release()
      return Self.reclaimer(at: earlier)
    }
    // Nobody looks here any more: what stayed would never be let go. It goes after the lock, since a
    // domain may end with it.
    _ = state.withLockIfAvailable { state in
      defer { state.due = [] }
      return state.due
    }
    return made
  }

  private static func reclaimer(at address: UInt) -> HazardReclaimer {
    // Safety: the address of a reclaimer, which is there for good.
    let pointer = unsafe UnsafeRawPointer(bitPattern: address).unsafelyUnwrapped
    return unsafe Unmanaged<HazardReclaimer>.fromOpaque(pointer).takeUnretainedValue()
  }

  // Safety: nobody rings any more.
  deinit { unsafe parker.pointer.deallocate() }

  /// Runs the body while nobody else can look or ring: what a test forks inside.
  func withLock<Result>(_ body: () -> Result) -> Result { state.withLock { _ in body() } }

  /// How long a domain of isolated CPUs may wait for somebody to look.
  private static let interval = Duration.milliseconds(20)
  /// How long it waits for readers that still protect something; twice as long each time.
  private static let retryInterval = Duration.milliseconds(1)

  /// A pass of this domain is due.
  func ring(_ domain: HazardDomain) {
    let mustStart = state.withLock { state in
      // The thread has the domain before it already, if there is a thread.
      if state.due.contains(where: { $0 === domain }) { return !state.isRunning }
      state.due.append(domain)
      return true
    }
    if mustStart { return start() }
    // It may be asleep for a while, since readers held back what it has of this domain: what is due
    // now need not wait for them.
    parker.value.unpark()
  }

  /// Looks at the domain now and then, and keeps off these processors.
  func watch(_ domain: HazardDomain, avoiding processors: ProcessorSet) {
    state.withLock { state in
      state.watched.append(Watched(domain: domain))
      state.avoided.formUnion(processors)
    }
    start()
  }

  private func start() {
    let mustStart = state.withLock { state in
      defer { state.isRunning = true }
      return !state.isRunning
    }
    if mustStart {
      do throws(SystemError) {
        // Safety: a reclaimer whose thread runs is there for good.
        let thread = try unsafe ServiceThread.start(
          "hazard-reclaim", avoiding: state.withLock { $0.avoided },
          Unmanaged.passUnretained(self).toOpaque()
        ) { HazardReclaimer.reclaimer(at: UInt(bitPattern: $0)).run() }
        state.withLock { $0.placement = thread.placement }
        _ = cpi_detach_thread(thread.handle)
      } catch {
        // The next ring tries again; until then everything waits, and nothing is lost.
        return state.withLock { $0.isRunning = false }
      }
    }
    parker.value.unpark()
  }

  /// Its thread, if it has one: the system's number, and why it is not placed as it should be.
  var serviceThread: (id: Int32, placement: Int32)? {
    state.withLock { $0.threadID == 0 ? nil : ($0.threadID, $0.placement) }
  }

  private func run() {
    _ = unsafe cpi_set_thread_name("hazard-reclaim")
    state.withLock { $0.threadID = CurrentThread.id }
    var avoided = state.withLock { $0.avoided }
    var retry = Self.retryInterval
    while true {
      let pause = look(&avoided, &retry)
      parker.value.park(until: Deadline(after: pause))
    }
  }

  /// Looks at what is due, and says how long nothing will be; nil until somebody rings. Holds no
  /// domain when it returns: it may have been the last to.
  private func look(_ avoided: inout ProcessorSet, _ retry: inout Duration) -> Duration? {
    let (due, processors, isWatching) = state.withLock { state in
      state.watched.removeAll { $0.domain == nil }
      var due = state.due
      state.due = []
      for watched in state.watched {
        if let domain = watched.domain, !due.contains(where: { $0 === domain }), domain.isPassDue {
          due.append(domain)
        }
      }
      return (due, state.avoided, !state.watched.isEmpty)
    }
    if processors != avoided {
      avoided = processors
      let placement = ServiceThread.place(avoiding: processors)
      state.withLock { $0.placement = placement }
    }
    for domain in due { domain.scanner.scan(everything: false) }
    let unfinished = due.filter { $0.scanner.hasUnfinished }
    state.withLock { state in
      for domain in unfinished where !state.due.contains(where: { $0 === domain }) {
        state.due.append(domain)
      }
    }
    if unfinished.isEmpty {
      retry = Self.retryInterval
      return isWatching ? Self.interval : nil
    }
    defer { retry = min(retry * 2, Self.interval) }
    return retry
  }
}

extension HazardDomain {
  /// Whether full batches wait that no pass has taken.
  var isPassDue: Bool { core.scan.due.load(ordering: .relaxed) > 0 }
}
