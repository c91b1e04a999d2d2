// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// What a coordinator changes seldom, under its lock.
struct Registry {
  /// Every sender slot that was ever made; statistics sum over them.
  var senders: [SenderMemory]
  /// The slots that nobody uses.
  var freeSenders: [SenderSlot] = []
  var freeCallMemory: [CallMemory] = []
  var registrations: [Registration?] = Array(repeating: nil, count: WorkType.capacity)
  /// Bits of types that were unregistered, oldest first: used again when there are no fresh ones.
  var retired: [Int] = []
  var freshTypes = 0
  var trace = TraceState()
  /// What every thread that attaches runs first, and the memory that its handlers work on.
  var attachWork: [WorkType] = []
  var kept: [any AnyObject & Sendable] = []
  /// The threads that serve this coordinator beside the watchdog, by the system's number: their
  /// names, and why one is not placed as it should be.
  var services: [Int32: (name: String, placement: Int32)] = [:]
  /// Types that parts of the library have registered for themselves: those alone give them back.
  var ownedWork: Set<WorkType> = []
  /// The CPUs that have a thread, and those that had one when the watchdog looked last.
  var attached = CPUMask()
  var isClosed = false
  /// Whether the part of the slots that holds copies of keys is taken.
  var hasStaticKeys = false

  init(senders: [SenderMemory]) { self.senders = senders }
}

/// A coordinator's memory and its lock, together: a watchdog whose report lets the coordinator go
/// keeps them until it is through.
final class RegistryMemory: HazardHome {
  let core: CoordinatorCore
  private let memory: MappedMemory
  private let state: Lock<Registry>

  init(cpus: Int, existing: CPUMask, senders: [SenderMemory]) throws(IsolationError) {
    memory = try MappedMemory(byteCount: CoordinatorCore.byteCount(cpus: cpus))
    core = CoordinatorCore(initializing: memory.address, cpus: cpus, existing: existing)
    state = Lock(Registry(senders: senders))
  }

  var isClosed: Bool { core.isClosed }

  func requireMayWait(_ action: String, _ file: StaticString, _ line: UInt) {
    CurrentThread.requireMayWait(action, file, line)
  }

  func serveWhileWaiting() { CurrentThread.serveOwnCPU() }

  func withLock<Result, Failure: Error>(
    _ body: (inout Registry) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try state.withLock { state throws(Failure) in try body(&state) }
  }
}

/// What the coordinator remembers of a work type.
struct Registration: Sendable {
  var name: String
  var options: WorkType.Options
  /// Keeps a closure's box alive for as long as the handler may run.
  var box: (any Sendable)?
  /// The number in the handles.
  var number: UInt64
  /// Whether a call is about to end it.
  var isUnregistering = false
  /// What the CPUs had lost of it when the first call came: what that one takes back, a later one
  /// that succeeds still has to tell.
  var lostBefore: [LostWork]? = nil
}

/// How many bits of a type a CPU's thread has lost, and which thread that is.
struct LostWork: Sendable {
  var cpu: Int
  var count: UInt64
  var owner: UInt64
}

/// A closure that serves as a handler and is told a payload.
final class PayloadHandlerBox: Sendable {
  let run: @Sendable (Int, WorkType.Payload) -> Void

  init(_ run: @escaping @Sendable (Int, WorkType.Payload) -> Void) { self.run = run }
}

/// A closure that serves as a handler.
final class HandlerBox: Sendable {
  let run: @Sendable (Int) -> Void

  init(_ run: @escaping @Sendable (Int) -> Void) { self.run = run }
}

extension Registry {
  /// Has these events recorded from now on, and no others.
  mutating func record(_ events: UInt64, in buffers: TraceBuffers, of core: CoordinatorCore) {
    trace.recorded = events
    buffers.setRecorded(events)
    trace.watched = cpi_watched_probes()
    publishTraced(in: core)
  }

  /// Has the paths hand on the events whose static probes a tool watches now. The kernel tells a
  /// process nothing of that but by a count in its memory: somebody has to look.
  mutating func followStaticProbes(in core: CoordinatorCore) {
    let watched = cpi_watched_probes()
    if watched == trace.watched { return }
    trace.watched = watched
    publishTraced(in: core)
  }

  /// Sets the words that the paths look at.
  private func publishTraced(in core: CoordinatorCore) {
    let events = trace.traced
    core.line.traced.store(events, ordering: .relaxed)
    for sender in senders { trace.mark(sender.slot) }
    if events & TraceEvent.deferredWorkDrain.bit != 0 {
      core.line.drainFlags.bitwiseOr(DrainFlags.traces, ordering: .relaxed)
    } else {
      core.line.drainFlags.bitwiseAnd(~DrainFlags.traces, ordering: .relaxed)
    }
    // A CPU in its hot loop is not disturbed: it looks at its next transition.
    let transitions =
      events & (TraceEvent.contextUserEnter.bit | TraceEvent.contextUserExit.bit)
    for cpu in core.cpus {
      core.slots[cpu].owner.traced.store(transitions, ordering: .relaxed)
    }
  }
}
