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
    run(waitedFor.first)
    run(others.first)
  }

  private func run(_ first: Inbox.Node?) {
    var node = first
    while let current = node {
      node = Inbox.next(after: current)
      let record = current.record
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
