// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

extension Drain {
  /// Runs the queued calls: first those that somebody waits for, each group in the order of its
  /// arrival.
  ///
  /// Calls run after the drain of the work types, since they may touch what the types maintain.
  func serveCalls(interruptSafeOnly: Bool, _ special: UInt64) {
    slot.owner.special.store(
      special | OwnerFlags.calling | OwnerFlags.running(BuiltInWork.calls), ordering: .relaxed)
    serveCalls(from: slot.call.calls.takeAll())
    if !interruptSafeOnly { serveCalls(from: slot.call.patientCalls.takeAll()) }
    slot.owner.special.store(special, ordering: .relaxed)
  }

  /// Whether calls are queued, rung for or not.
  var hasCalls: Bool {
    !slot.call.calls.isEmpty || !slot.call.patientCalls.isEmpty
  }

  /// Runs the calls that are queued, also those that nobody has rung for yet.
  func serveQueuedCalls() {
    if !hasCalls { return }
    serveCalls(
      interruptSafeOnly: false, slot.owner.special.load(ordering: .relaxed))
  }

  private func serveCalls(from first: Inbox.Node?) {
    // A record may be sent again as soon as it has been given back, so the list is parted before
    // anything runs.
    var waitedFor = CallList()
    var others = CallList()
    var node = first
    while let current = node {
      node = Inbox.next(after: current)
      if current.record.value.isWaitedFor {
        waitedFor.append(current)
      } else {
        others.append(current)
      }
    }
    waitedFor.append(all: others)
    run(waitedFor.first)
  }

  private func run(_ first: Inbox.Node?) {
    if first == nil { return }
    defer { slot.owner.servedCall.store(0, ordering: .relaxed) }
    var node = first
    while let current = node {
      node = Inbox.next(after: current)
      let record = current.record
      // For the end of the thread inside the function. The rest first: a call is in one of the two.
      slot.owner.unservedCalls.store(node?.bits ?? 0, ordering: .relaxed)
      slot.owner.servedCall.store(
        current.bits | CallKind.bits(of: record), ordering: .relaxed)
      // Nobody waits for most records: they are not ours any more once they run.
      let site = record.value.site
      core.traceCall(.csdFunctionEntry, record, from: site)
      defer { core.traceCall(.csdFunctionExit, record, from: site) }
      if record.value.run(on: cpu) {
        slot.executed[Int(BuiltInWork.calls)].countOne()
      } else {
        slot.dropped[Int(BuiltInWork.calls)].wrappingAdd(1, ordering: .relaxed)
      }
    }
  }

  /// Settles the calls that the thread has in its hands and will never come back to, since it ends
  /// inside the function of one of them: nobody waits for them any longer.
  func endServedCalls() {
    let served = slot.owner.servedCall.exchange(0, ordering: .relaxed)
    guard let node = Inbox.Node(at: served & ~CallKind.mask) else { return }
    slot.dropped[Int(BuiltInWork.calls)].wrappingAdd(1, ordering: .relaxed)
    // A plain record has been given back before its function ran, and may be anywhere by now.
    if served & CallKind.waitedFor != 0 { node.record.value.endWithThread() }
    // Safety: the record of a pooled call is the first thing in it, and the pool's until it is put home.
    if served & CallKind.pooled != 0 { unsafe PooledCallHeader.putHome(node.base) }
    var pooled = CallList()
    abandon(
      Inbox.Node(at: slot.owner.unservedCalls.exchange(0, ordering: .relaxed)), &pooled)
    AbandonedCalls(first: pooled.first).end()
  }

  private func abandon(_ first: Inbox.Node?, _ pooled: inout CallList) {
    var node = first
    while let current = node {
      node = Inbox.next(after: current)
      slot.dropped[Int(BuiltInWork.calls)].wrappingAdd(1, ordering: .relaxed)
      if current.record.value.isPooled {
        pooled.append(current)
      } else {
        current.record.value.abandon()
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
        list == 0
        ? slot.call.calls.takeAll() : slot.call.patientCalls.takeAll()
      while let current = node {
        node = Inbox.next(after: current)
        let record = current.record
        if record.value.isPooled, leavingPooled {
          _ =
            list == 0
            ? slot.call.calls.push(current) : slot.call.patientCalls.push(current)
          continue
        }
        slot.dropped[Int(BuiltInWork.calls)].wrappingAdd(1, ordering: .relaxed)
        if record.value.isPooled {
          pooled.append(current)
        } else {
          record.value.abandon()
        }
      }
    }
    return AbandonedCalls(first: pooled.first)
  }
}

/// What is kept of a record beside its address, which ends with zeros: what becomes of the record
/// after its function must not be asked of a record that is given back before.
enum CallKind {
  static let waitedFor: UInt = 1
  static let pooled: UInt = 2
  static let mask: UInt = 3

  static func bits(of record: Place<CallRecord>) -> UInt {
    record.value.isWaitedFor ? waitedFor : record.value.isPooled ? pooled : 0
  }
}

/// Pooled calls that were taken back.
///
/// To end one is to end its message, which may do anything but wait, and perhaps its pool: under no
/// lock, and not while others wait until the slot is free.
struct AbandonedCalls: ~Copyable {
  private let first: Inbox.Node?

  init(first: Inbox.Node? = nil) { self.first = first }

  consuming func end() {
    var node = first
    while let current = node {
      node = Inbox.next(after: current)
      current.record.value.endUnrun()
    }
  }
}

/// A list of taken calls that keeps their order.
private struct CallList {
  private(set) var first: Inbox.Node? = nil
  private var last: Inbox.Node? = nil

  init() {}

  mutating func append(all list: CallList) {
    guard let first = list.first else { return }
    if let last { Inbox.setNext(after: last, first) } else { self.first = first }
    last = list.last
  }

  mutating func append(_ node: Inbox.Node) {
    Inbox.setNext(after: node, nil)
    if let last = last {
      Inbox.setNext(after: last, node)
    } else {
      first = node
    }
    last = node
  }
}
