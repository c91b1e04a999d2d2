// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// One immediate call to one CPU: a node of its queue. The memory is the caller's, a sender's per
/// target, or a pool's.
///
/// | state | who moves it on | to |
/// |---|---|---|
/// | idle | the caller claims it | queued |
/// | queued | the target, for a call that somebody waits for | running, then done |
/// | queued | the target, for a call that nobody waits for, *before* it runs | idle |
/// | queued | a waiter whose deadline came | cancelled |
/// | queued | whoever finds the target gone | gone, or idle if nobody waits |
/// | done, gone | the waiter | idle |
/// | running | the target whose thread ends inside the function | gone |
/// | cancelled | the target, when it finds it in its queue | idle |
@usableFromInline
struct CallRecord: ~Copyable {
  /// The node's link: it has to come first.
  private let next = SharedAddress(0)
  let state = SharedWord32(0)
  private let flags = SharedWord32(0)
  private var handler = CPUHandler.none
  var site: CallSite

  enum State {
    static let idle: UInt32 = 0
    static let queued: UInt32 = 1
    static let running: UInt32 = 2
    static let done: UInt32 = 3
    static let cancelled: UInt32 = 4
    static let gone: UInt32 = 5
  }

  private static let waitedFor: UInt32 = 1
  private static let pooled: UInt32 = 2

  init() {
    site = CallSite("", 0)
  }

  /// Claims the record for one call. False: it is in flight.
  ///
  /// The function of a pooled call is called once, whatever becomes of it: with -1 for a CPU if it is
  /// taken back unrun.
  static func claim(
    _ record: Place<CallRecord>, _ handler: CPUHandler, isWaitedFor: Bool, isPooled: Bool = false,
    site: CallSite
  ) -> Bool {
    // Acquire — callRecord:C. The last run's reads of the record come before we overwrite it. Pairs
    // with callRecord:G.
    guard
      record.value.state.compareExchange(
        expected: State.idle, desired: State.queued, successOrdering: .acquiring,
        failureOrdering: .relaxed
      ).exchanged
    else { return false }
    record.value.handler = handler
    record.value.site = site
    let flags = isWaitedFor ? Self.waitedFor : isPooled ? Self.pooled : 0
    record.value.flags.store(flags, ordering: .relaxed)
    return true
  }

  var isWaitedFor: Bool { flags.load(ordering: .relaxed) == Self.waitedFor }
  var isPooled: Bool { flags.load(ordering: .relaxed) == Self.pooled }

  /// Runs the call on its target; false if its waiter had given it up.
  func run(on cpu: Int) -> Bool {
    let handler = handler
    if isWaitedFor {
      // Acquire — callRecord:R. Decides against a waiter that gives up: one of us moves the state.
      guard
        state.compareExchange(
          expected: State.queued, desired: State.running, successOrdering: .acquiring,
          failureOrdering: .relaxed
        ).exchanged
      else {
        // Release — callRecord:G. Given back: we have read what we needed. Pairs with callRecord:C.
        state.store(State.idle, ordering: .releasing)
        return false
      }
      handler.run(on: cpu)
      // Release — callRecord:D. The waiter sees what the function did. Pairs with call:W.
      state.store(State.done, ordering: .releasing)
    } else {
      // Release — callRecord:G. Before the run, so that the function may send the same record
      // again.
      state.store(State.idle, ordering: .releasing)
      handler.run(on: cpu)
    }
    return true
  }

  /// Takes the call back from a queue whose CPU has gone.
  func abandon() {
    // Acquire and release — callRecord:A. Decides against call:X, as callRecord:R does.
    if isWaitedFor,
      state.compareExchange(
        expected: State.queued, desired: State.gone, successOrdering: .acquiringAndReleasing,
        failureOrdering: .relaxed
      ).exchanged
    {
      return
    }
    // Release — callRecord:G, as above: nobody waits, or the waiter has given up.
    state.store(State.idle, ordering: .releasing)
  }

  /// Ends a call that somebody waits for, and whose function the thread will not return from.
  func endWithThread() {
    // Release — callRecord:D, as after a run: the waiter sees what the function did until then.
    state.store(State.gone, ordering: .releasing)
  }

  /// Sends a pooled call home that has been taken back.
  func endUnrun() {
    let handler = handler
    // Release — callRecord:G, as above. Before the end, after which the record is the pool's.
    state.store(State.idle, ordering: .releasing)
    handler.run(on: -1)
  }
}

extension Place<CallRecord> {
  /// The record as a node of a queue: it begins with the link.
  var node: Inbox.Node { Inbox.Node(address) }
}

extension Inbox.Node {
  /// The record that this node of a queue of calls is.
  // Safety: such a queue has no other nodes.
  var record: Place<CallRecord> { unsafe Place(base) }
}
