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
/// | cancelled | the target, when it finds it in its queue | idle |
@safe @usableFromInline
struct CallRecord: ~Copyable {
  /// The node's link: it has to come first.
  private let next = SharedAddress(0)
  let state = SharedWord32(0)
  private let flags = SharedWord32(0)
  var function: DeferredWorkFunction?
  var context: UnsafeMutableRawPointer?
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
    unsafe function = nil
    unsafe context = nil
    site = CallSite("", 0)
  }

  /// Claims the record for one call. False: it is in flight.
  ///
  /// The function of a pooled call is called once, whatever becomes of it: with -1 for a CPU if it is
  /// taken back unrun.
  static func claim(
    _ record: UnsafeMutablePointer<CallRecord>, _ function: DeferredWorkFunction,
    _ context: UnsafeMutableRawPointer?, isWaitedFor: Bool, isPooled: Bool = false,
    site: CallSite
  ) -> Bool {
    // Acquire — callRecord:C. The last run's reads of the record come before we overwrite it. Pairs
    // with callRecord:G.
    guard
      unsafe record.pointee.state.compareExchange(
        expected: State.idle, desired: State.queued, successOrdering: .acquiring,
        failureOrdering: .relaxed
      ).exchanged
    else { return false }
    unsafe record.pointee.function = unsafe function
    unsafe record.pointee.context = unsafe context
    unsafe record.pointee.site = site
    let flags = isWaitedFor ? Self.waitedFor : isPooled ? Self.pooled : 0
    unsafe record.pointee.flags.store(flags, ordering: .relaxed)
    return true
  }

  var isWaitedFor: Bool { flags.load(ordering: .relaxed) == Self.waitedFor }
  var isPooled: Bool { flags.load(ordering: .relaxed) == Self.pooled }

  /// Runs the call on its target; false if its waiter had given it up.
  func run(on cpu: Int) -> Bool {
    let function = unsafe self.function
    let context = unsafe self.context
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
      if let function = unsafe function { unsafe function(context, cpu) }
      // Release — callRecord:D. The waiter sees what the function did. Pairs with call:W.
      state.store(State.done, ordering: .releasing)
    } else {
      // Release — callRecord:G. Before the run, so that the function may send the same record
      // again.
      state.store(State.idle, ordering: .releasing)
      if let function = unsafe function { unsafe function(context, cpu) }
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

  /// Sends a pooled call home that has been taken back.
  func endUnrun() {
    let function = unsafe self.function
    let context = unsafe self.context
    // Release — callRecord:G, as above. Before the end, behind which the record is the pool's.
    state.store(State.idle, ordering: .releasing)
    if let function = unsafe function { unsafe function(context, -1) }
  }
}

extension Drain {
  /// Runs the queued calls: first those that somebody waits for, each group in the order of its
  /// arrival.
  ///
  /// Calls run after the drain of the work types, since they may touch what the types maintain.
  func runCalls(interruptSafeOnly: Bool, _ special: UInt64) {
    let owner = unsafe slot.owner
    unsafe owner.pointee.special.store(
      special | OwnerFlags.calling | OwnerFlags.running(BuiltInWork.calls), ordering: .relaxed)
    unsafe runCalls(from: slot.call.pointee.calls.takeAll())
    if !interruptSafeOnly { unsafe runCalls(from: slot.call.pointee.patientCalls.takeAll()) }
    unsafe owner.pointee.special.store(special, ordering: .relaxed)
  }

  /// Whether calls are queued, rung for or not.
  var hasCalls: Bool {
    unsafe !slot.call.pointee.calls.isEmpty || !slot.call.pointee.patientCalls.isEmpty
  }

  /// Runs the calls that are queued, also those that nobody has rung for yet.
  func runPendingCalls() {
    if !hasCalls { return }
    runCalls(
      interruptSafeOnly: false, unsafe slot.owner.pointee.special.load(ordering: .relaxed))
  }

  private func runCalls(from first: UnsafeMutableRawPointer?) {
    // A record may be sent again as soon as it has been given back, so the list is parted before
    // anything runs.
    var waitedFor = CallList()
    var others = CallList()
    var node = unsafe first
    while let current = unsafe node {
      unsafe node = unsafe IntrusiveStack.next(after: current)
      if unsafe current.assumingMemoryBound(to: CallRecord.self).pointee.isWaitedFor {
        unsafe waitedFor.append(current)
      } else {
        unsafe others.append(current)
      }
    }
    unsafe run(waitedFor.first)
    unsafe run(others.first)
  }

  private func run(_ first: UnsafeMutableRawPointer?) {
    var node = unsafe first
    while let current = unsafe node {
      unsafe node = unsafe IntrusiveStack.next(after: current)
      let record = unsafe current.assumingMemoryBound(to: CallRecord.self)
      // Nobody waits for most records: they are not ours any more once they run.
      let site = unsafe record.pointee.site
      unsafe core.traceCall(.csdFunctionEntry, record, from: site)
      defer { unsafe core.traceCall(.csdFunctionExit, record, from: site) }
      if unsafe record.pointee.run(on: cpu) {
        unsafe slot.executed[Int(BuiltInWork.calls)].countOne()
      } else {
        unsafe slot.dropped[Int(BuiltInWork.calls)].wrappingAdd(1, ordering: .relaxed)
      }
    }
  }

  /// Takes back what is queued for a CPU that nobody is attached to. The caller owns the slot, and
  /// ends the pooled calls when that is over.
  ///
  /// Who must end none leaves them in the queue: whoever posted one has its look at W still before
  /// it, sees offline, and comes for it as soon as the slot is free.
  func abandonCalls(leavingPooled: Bool = false) -> AbandonedCalls {
    var pooled = CallList()
    for list in 0..<2 {
      var node =
        unsafe list == 0
        ? slot.call.pointee.calls.takeAll() : slot.call.pointee.patientCalls.takeAll()
      while let current = unsafe node {
        unsafe node = unsafe IntrusiveStack.next(after: current)
        let record = unsafe current.assumingMemoryBound(to: CallRecord.self)
        if unsafe record.pointee.isPooled, leavingPooled {
          _ =
            unsafe list == 0
            ? slot.call.pointee.calls.push(current) : slot.call.pointee.patientCalls.push(current)
          continue
        }
        unsafe slot.dropped[Int(BuiltInWork.calls)].wrappingAdd(1, ordering: .relaxed)
        if unsafe record.pointee.isPooled {
          unsafe pooled.append(current)
        } else {
          unsafe record.pointee.abandon()
        }
      }
    }
    return unsafe AbandonedCalls(first: pooled.first)
  }
}

/// Pooled calls that were taken back.
///
/// To end one is to end its message, which may do anything but wait, and perhaps its pool: under no
/// lock, and not while others wait until the slot is free.
@safe
struct AbandonedCalls: ~Copyable {
  private let first: UnsafeMutableRawPointer?

  init(first: UnsafeMutableRawPointer? = nil) { unsafe self.first = unsafe first }

  consuming func end() {
    var node = unsafe first
    while let current = unsafe node {
      unsafe node = unsafe IntrusiveStack.next(after: current)
      unsafe current.assumingMemoryBound(to: CallRecord.self).pointee.endUnrun()
    }
  }
}

/// A list of taken calls that keeps their order.
@safe
private struct CallList {
  private(set) var first: UnsafeMutableRawPointer? = nil
  private var last: UnsafeMutableRawPointer? = nil

  init() {}

  mutating func append(_ node: UnsafeMutableRawPointer) {
    unsafe IntrusiveStack.setNext(after: node, nil)
    if let last = unsafe last {
      unsafe IntrusiveStack.setNext(after: last, node)
    } else {
      unsafe first = unsafe node
    }
    unsafe last = unsafe node
  }
}
