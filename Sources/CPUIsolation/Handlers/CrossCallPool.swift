// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// Immediate calls that carry a message each, with their records out of an ``ObjectPool``: to be
/// posted from paths that must not allocate, several to one CPU at a time.
///
///     let orders = try CrossCallPool(coordinator, of: Order.self, capacity: 256) { order, cpu in
///       book(order, on: cpu)
///     }
///     orders.post(order, on: 3)  // .queued, or .busy while all 256 are under way
///
/// The closure runs on the target, in kernel and outside signal handlers, in the order in which one
/// thread posted to one CPU. After it the record goes back to the pool by itself, wherever it is.
/// A call that is taken back unrun, since its CPU's thread has left, takes its message along: that
/// is destroyed, by the thread that left, the next one, or whoever posts out of a pool there. Some
/// of them are in kernel then: a message that ends must not wait for CPUs.
///
/// When the pool goes out of scope, calls that are under way are delivered still, and the memory
/// goes with the last of them. Use a `CrossCall` for a call without a message, which can be merged
/// with the one before; use `send` where nobody needs to be disturbed.
///
/// - Progress: as each member says
/// - Context: any thread
/// - Allocates: once, when it is made
public final class CrossCallPool<Message: Sendable>: Sendable {
  @usableFromInline let coordinator: Coordinator
  @usableFromInline let calls: ObjectPool<PooledCall<Message>>

  /// So many records.
  ///
  /// - Parameters:
  ///   - coordinator: Whose CPUs are called.
  ///   - _: The type of the messages, where the body does not say it.
  ///   - capacity: How many calls can be under way at once, at most 16 777 216.
  ///   - body: Runs on the target, whose number it gets.
  /// - Throws: `outOfMemory`.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: the pool
  @inlinable
  public init(
    _ coordinator: Coordinator, of _: Message.Type = Message.self, capacity: Int,
    _ body: @escaping @Sendable (Message, Int) -> Void
  ) throws(IsolationError) {
    let route = CallRoute { call, cpu in
      // Safety: the route is that of this pool's calls.
      let call = unsafe Place<PooledCall<Message>>(call)
      guard let message = call.value.message.take() else { return }
      if cpu >= 0 { body(message, cpu) }
    }
    self.coordinator = coordinator
    calls = try ObjectPool(capacity: capacity, rings: 1) { _ in PooledCall(route) }
  }

  /// Posts a message to a CPU.
  ///
  /// - Parameters:
  ///   - message: moved into the call's record; it is gone for the caller, also where the answer is
  ///     `.busy`.
  ///   - cpu: the number of a CPU of the coordinator; any other ends the process with a sentence.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: `.queued`; `.busy` where no record was found; `.gone` where nobody is attached, or
  ///   threads changed meanwhile, of which one may have run the call, or may yet; `.closed`.
  /// - Progress: lock-free while a thread is attached, else it waits for one on its way in or out; a
  ///   kick may make a system call
  /// - Context: any thread, also inside a handler, but not in a signal handler, where it traps. Where
  ///   nobody is attached, messages that others posted there end here.
  /// - Allocates: never
  @discardableResult @inlinable
  public func post(
    _ message: consuming Message, on cpu: Int, file: StaticString = #fileID, line: UInt = #line
  ) -> CallOutcome {
    guard var call = calls.pop() else { return .busy }
    call.element.message = message
    let home = call.core
    return coordinator.post(pooled: call.release(), home, on: cpu, CallSite(file, line))
  }

  /// How many records there are.
  public var capacity: Int { calls.capacity }

  /// What has been done with the records: those that are not free are under way.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the table
  public var statistics: RawObjectPool.Counts { calls.statistics }
}

extension Coordinator {
  /// Puts a call that came out of a pool into a CPU's queue. Whoever ends it, by running it or by
  /// taking it back, sends it home.
  @usableFromInline
  func post(
    pooled call: Address, _ home: PoolCore, on cpu: Int, _ site: CallSite
  ) -> CallOutcome {
    core.requireCPU(cpu, site)
    requireNoSignalHandler(site)
    // Safety: the call came out of a pool, and begins with its header and the record.
    unsafe Place<PooledCallHeader>(call).value.home = home
    if isClosed || isForked {
      unsafe PooledCallHeader.end(call.pointer, -1)
      return isClosed ? .closed : .gone
    }
    // What a queue holds is the address of both.
    // Safety: as above; the call is its own context until it ends.
    let record = unsafe Place<CallRecord>(call)
    let isClaimed = unsafe CallRecord.claim(
      record, CPUHandler(PooledCallHeader.end, call.pointer), isWaitedFor: false, isPooled: true,
      site: site)
    if !isClaimed { misuse("a call that is under way came out of its pool") }
    return CallPath(core, path).enqueue(
      record, on: cpu, isInterruptSafe: false, isPooled: true, from: site)
  }

  /// What a message does when it ends is not known, and not meant for a signal handler.
  private func requireNoSignalHandler(_ site: CallSite) {
    guard let slot = CurrentThread.slot else { return }
    if slot.owner.special.load(ordering: .relaxed) & OwnerFlags.interrupted != 0 {
      misuse(
        "CPU \(OwnerTransitions.number(slot)) must not post a call out of a pool in a signal handler",
        site.file, site.line)
    }
  }
}
