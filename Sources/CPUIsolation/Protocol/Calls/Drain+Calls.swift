// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

extension Drain {
  /// Runs the queued calls: first those that somebody waits for, each group in the order of its
  /// arrival.
  ///
  /// Calls run after the drain of the work types, since they may touch what the types maintain.
  func serveCalls(interruptSafeOnly: Bool, _ special: UInt64) {
    let owner = unsafe slot.owner
    unsafe owner.pointee.special.store(
      special | OwnerFlags.calling | OwnerFlags.running(BuiltInWork.calls), ordering: .relaxed)
    unsafe serveCalls(from: slot.call.pointee.calls.takeAll())
    if !interruptSafeOnly { unsafe serveCalls(from: slot.call.pointee.patientCalls.takeAll()) }
    unsafe owner.pointee.special.store(special, ordering: .relaxed)
  }

  /// Whether calls are queued, rung for or not.
  var hasCalls: Bool {
    unsafe !slot.call.pointee.calls.isEmpty || !slot.call.pointee.patientCalls.isEmpty
  }

  /// Runs the calls that are queued, also those that nobody has rung for yet.
  func serveQueuedCalls() {
    if !hasCalls { return }
    serveCalls(
      interruptSafeOnly: false, unsafe slot.owner.pointee.special.load(ordering: .relaxed))
  }

  private func serveCalls(from first: UnsafeMutableRawPointer?) {
    // A record may be sent again as soon as it has been given back, so the list is parted before
    // anything runs.
    var waitedFor = CallList()
    var others = CallList()
    var node = unsafe first
    while let current = unsafe node {
      unsafe node = unsafe Inbox.next(after: current)
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
      unsafe node = unsafe Inbox.next(after: current)
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
        unsafe node = unsafe Inbox.next(after: current)
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
      unsafe node = unsafe Inbox.next(after: current)
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
    unsafe Inbox.setNext(after: node, nil)
    if let last = unsafe last {
      unsafe Inbox.setNext(after: last, node)
    } else {
      unsafe first = unsafe node
    }
    unsafe last = unsafe node
  }
}
