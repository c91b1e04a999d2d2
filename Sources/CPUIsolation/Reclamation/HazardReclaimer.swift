// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// The thread that runs the reclaimers of domains which leave that to it: one for the process,
/// started when it is needed first.
///
/// It sleeps while nothing is due. What isolated CPUs retire rings no bell: a domain that belongs to
/// a coordinator is looked at now and then for as long as it exists.
// Sendable: a lock, and a parker that any thread may ring and the one thread sleeps on.
@safe
final class HazardReclaimer: @unchecked Sendable {
  static let shared = HazardReclaimer()

  private struct Watched { weak var domain: HazardDomain? }

  private struct State: Sendable {
    var due: [HazardDomain] = []
    var watched: [Watched] = []
    /// The processors that the thread keeps off.
    var avoided: Set<Int32> = []
    /// The fork since which it runs; nil before it does.
    var runsSince: UInt32? = nil
  }

  private let state = Lock(State())
  private let parker: UnsafeMutablePointer<Parker>

  private init() {
    unsafe parker = .allocate(capacity: 1)
    unsafe parker.initialize(to: Parker())
  }

  /// How long a domain of isolated CPUs may wait for somebody to look.
  private static let interval = Duration.milliseconds(20)
  /// How long it waits for readers that still protect something; twice as long each time.
  private static let retryInterval = Duration.milliseconds(1)

  /// A pass of this domain is due.
  func ring(_ domain: HazardDomain) {
    let forks = cpi_fork_generation()
    let mustStart = state.withLock { state in
      // The thread has the domain before it already, if there is a thread.
      if state.due.contains(where: { $0 === domain }) { return state.runsSince != forks }
      state.due.append(domain)
      return true
    }
    if mustStart { return start() }
    // It may be asleep for a while, since readers held back what it has of this domain: what is due
    // now need not wait for them.
    unsafe parker.pointee.unpark()
  }

  /// Looks at the domain now and then, and keeps off these processors.
  func watch(_ domain: HazardDomain, avoiding processors: [Int32]) {
    state.withLock { state in
      state.watched.append(Watched(domain: domain))
      state.avoided.formUnion(processors)
    }
    start()
  }

  private func start() {
    let forks = cpi_fork_generation()
    let mustStart = state.withLock { state in
      if state.runsSince == forks { return false }
      state.runsSince = forks
      return true
    }
    if mustStart {
      var handle: UInt64 = 0
      let error = unsafe cpi_start_thread(
        0, { _ in HazardReclaimer.shared.run() }, nil, &handle)
      // The next ring tries again; until then everything waits, and nothing is lost.
      if error != 0 { return state.withLock { $0.runsSince = nil } }
      _ = cpi_detach_thread(handle)
    }
    unsafe parker.pointee.unpark()
  }

  private func run() {
    _ = unsafe cpi_set_thread_name("hazard-reclaim")
    var avoided: Set<Int32> = []
    var retry = Self.retryInterval
    while true {
      let (due, processors, isWatching) = state.withLock { state in
        state.watched.removeAll { $0.domain == nil }
        var due = state.due
        state.due = []
        for watched in state.watched {
          if let domain = watched.domain, !due.contains(where: { $0 === domain }),
            domain.isPassDue
          {
            due.append(domain)
          }
        }
        return (due, state.avoided, !state.watched.isEmpty)
      }
      if processors != avoided {
        avoided = processors
        let list = Array(processors)
        _ = unsafe list.withUnsafeBufferPointer {
          unsafe cpi_avoid_processors($0.baseAddress, Int32(list.count))
        }
      }
      for domain in due { domain.scanner.pass(everything: false) }
      let unfinished = due.filter { $0.scanner.hasUnfinished }
      state.withLock { state in
        for domain in unfinished where !state.due.contains(where: { $0 === domain }) {
          state.due.append(domain)
        }
      }
      var pause: Duration? = isWatching ? Self.interval : nil
      if unfinished.isEmpty {
        retry = Self.retryInterval
      } else {
        pause = retry
        retry = min(retry * 2, Self.interval)
      }
      unsafe parker.pointee.park(until: Deadline(after: pause))
    }
  }
}

extension HazardDomain {
  /// Whether full batches wait that no pass has taken.
  var isPassDue: Bool { unsafe core.scan.pointee.due.load(ordering: .relaxed) > 0 }
}
