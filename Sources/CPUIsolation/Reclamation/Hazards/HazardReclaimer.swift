// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// The thread that runs the reclaimers of domains which leave that to it: one for the process,
/// started when it is needed first.
///
/// A domain is looked at when its `maximumAge` has passed since the first retirement into it, and
/// earlier where much has been retired. Whoever begins a batch rings if nobody looks after the domain
/// (`HazardAlarm`); the thread looks until it finds nothing, and sleeps while nothing is due.
///
/// What isolated CPUs retire rings no bell: once there may be some, the thread looks at the alarms of
/// all domains as often as the least `maximumAge` says.
///
/// The child of a fork has one of its own: what it inherits has no thread.
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

  private struct State: Sendable {
    var schedule = HazardSchedule()
    /// The processors that the thread keeps off, and for how many coordinators.
    var isolating: [Int32: Int] = [:]

    var avoided: ProcessorSet { ProcessorSet(isolating.keys) }
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

  /// The reclaimer of the child, with the domains that this one had to look at.
  private func successor(since forks: UInt32) -> HazardReclaimer {
    // Acquire — hazardReclaimer:N. Whoever finds the successor finds its state. Pairs with
    // hazardReclaimer:S.
    let known = next.load(ordering: .acquiring)
    if known != 0 { return Self.reclaimer(at: known) }
    let made = HazardReclaimer(since: forks)
    // A domain that the thread was looking at is known again when it rings.
    if let inherited = state.withLockIfAvailable({ $0 }) {
      made.state.withLock { state in
        state.schedule = inherited.schedule
        state.isolating = inherited.isolating
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

  // MARK: What others ask of it

  /// A pass of this domain is due, now or when its objects are old enough.
  func ring(_ domain: HazardDomain, _ reason: HazardSchedule.Reason) {
    let isNews = state.withLock { state in
      let isNews = state.schedule.note(domain, reason, at: cpi_monotonic_nanoseconds())
      return isNews || !state.isRunning
    }
    // Without a thread everything waits, and nothing is lost: the next batch rings again.
    if isNews, !start() { state.withLock { _ in domain.core.scan.alarm.setWatched(false) } }
  }

  /// Knows of a domain, which may be retired into by threads that do not ring.
  func watch(_ domain: HazardDomain) {
    let mustLook = state.withLock { state in
      state.schedule.add(domain)
      return state.schedule.looksUnasked
    }
    if mustLook { _ = start() }
  }

  /// Forgets a domain, which ends.
  func forget(_ domain: ObjectIdentifier) {
    state.withLock { $0.schedule.remove(domain) }
  }

  /// There may be isolated CPUs from now on: they ring no bell.
  func expectIsolatedCPUs() {
    let mustLook = state.withLock { state in
      state.schedule.looksUnasked = true
      return !state.schedule.isEmpty
    }
    if mustLook { _ = start() }
  }

  /// Keeps off the processors of a coordinator's isolated CPUs, until that ends: an objects' domain may
  /// have nothing to do with the coordinator, and its reclaimers run there all the same.
  func avoid(_ processors: ProcessorSet) {
    move { for processor in processors { $0[processor, default: 0] += 1 } }
  }

  /// A coordinator has ended, for which it kept off these processors.
  func admit(_ processors: ProcessorSet) {
    move { isolating in
      for processor in processors {
        // In the child of a fork it may know nothing of the coordinator.
        guard let count = isolating[processor] else { continue }
        isolating[processor] = count > 1 ? count - 1 : nil
      }
    }
  }

  private func move(_ change: (inout [Int32: Int]) -> Void) {
    let isRunning = state.withLock { state in
      change(&state.isolating)
      return state.isRunning
    }
    if isRunning { parker.value.unpark() }
  }

  /// Wakes the thread, and starts it where there is none; false where the system refuses one.
  private func start() -> Bool {
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
        state.withLock { $0.isRunning = false }
        return false
      }
    }
    parker.value.unpark()
    return true
  }

  /// Its thread, if it has one: the system's number, and why it is not placed as it should be.
  var serviceThread: (id: Int32, placement: Int32)? {
    state.withLock { $0.threadID == 0 ? nil : ($0.threadID, $0.placement) }
  }

  // MARK: Its thread

  private func run() {
    _ = unsafe cpi_set_thread_name("hazard-reclaim")
    state.withLock { $0.threadID = CurrentThread.id }
    var avoided = state.withLock { $0.avoided }
    while true {
      place(&avoided)
      listen()
      let now = cpi_monotonic_nanoseconds()
      for number in state.withLock({ $0.schedule.due(at: now) }) { look(at: number) }
      let pause = state.withLock { $0.schedule.pause(at: cpi_monotonic_nanoseconds()) }
      if pause != .zero { parker.value.park(until: Deadline(after: pause)) }
    }
  }

  private func place(_ avoided: inout ProcessorSet) {
    let processors = state.withLock { $0.avoided }
    if processors == avoided { return }
    avoided = processors
    let placement = ServiceThread.place(avoiding: processors)
    state.withLock { $0.placement = placement }
  }

  /// Finds out where isolated CPUs have retired something.
  private func listen() {
    // A domain may end with the reference that we let go of, outside the lock.
    let domains = state.withLock { $0.schedule.looksUnasked ? $0.schedule.domains : [] }
    for domain in domains {
      state.withLock { $0.schedule.listen(to: domain, at: cpi_monotonic_nanoseconds()) }
    }
  }

  /// Makes a pass of a domain. Holds no domain when it returns: it may have been the last to.
  private func look(at number: ObjectIdentifier) {
    let begun = state.withLock {
      $0.schedule.begin(number, at: cpi_monotonic_nanoseconds())
    }
    guard let (domain, takesAll) = begun else { return }
    // Before the pass, which finds what has been begun until here.
    let batches = domain.core.scan.alarm.batches
    let isUnfinished = domain.scanner.withLock {
      _ = domain.scanner.scanLocked(everything: takesAll)
      return domain.scanner.isUnfinished
    }
    let outcome = HazardSchedule.Outcome(
      tookAll: takesAll, isUnfinished: isUnfinished ?? true,
      hasRetired: domain.core.ownLine.batch.value.load(ordering: .relaxed) != 0, batches: batches)
    state.withLock { $0.schedule.end(domain, outcome, at: cpi_monotonic_nanoseconds()) }
  }
}
