// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization
import Testing

@testable import CPUIsolation

@Suite("Attachment")
struct AttachmentTests {
  let coordinator: Coordinator

  init() throws { coordinator = try Coordinator(.scripted()) }

  var incarnation: UInt64 {
    coordinator.core.slots[1].state.incarnation.load(ordering: .relaxed)
  }

  @Test("a bit that is pending at the detachment runs there, on the thread that leaves")
  func pendingAtDetach() throws {
    let threads = Journal<pthread_t>()
    let work = try coordinator.register("who") { _ in threads.append(pthread_self()) }
    let own = try PlainThread.start { [coordinator] in
      Result {
        let cpu = try coordinator.attach(to: 1)
        coordinator.send(work, to: 0)
        let other = PlainThread.start { coordinator.send(work, to: 1) }
        let outcome = try other.value()
        cpu.detach()
        return (pthread_self(), outcome)
      }
    }.value().get()
    #expect(own.1 == .queued)
    #expect(threads.entries == [own.0])
    coordinator.expectBalance(of: work, sent: 2)
  }

  @Test("a value that goes out of scope has detached")
  func scope() throws {
    let (inside, outside) = try PlainThread.start { [coordinator] in
      Result {
        func attached() throws -> CPUContext {
          let cpu = try coordinator.attach(to: 1)
          cpu.inUser {}
          return coordinator.context(of: cpu.number)
        }
        return (try attached(), coordinator.context(of: 1))
      }
    }.value().get()
    #expect(inside == .kernel)
    #expect(outside == .offline)
  }

  @Test("a slot changes hands: the new owner never runs the old one's work")
  func reuse() throws {
    let threads = Journal<pthread_t>()
    let work = try coordinator.register("who") { _ in threads.append(pthread_self()) }
    for round in 1...20 as ClosedRange<UInt64> {
      let cpu = try ScriptedThread(coordinator, on: 1)
      #expect(incarnation == round)
      let thread = try cpu.run { _ in pthread_self() }
      try cpu.safePoint()
      #expect(threads.entries.count == Int(round - 1))
      try cpu.enterUser()
      #expect(coordinator.send(work, to: 1) == .deferred)
      try cpu.end()
      #expect(threads.entries.last == thread)
      #expect(coordinator.send(work, to: 1) == .gone)
    }
    coordinator.expectBalance(of: work, sent: 40)
    #expect(threads.entries.count == 20)
  }

  @Test("the transition counter goes on: it never repeats for another owner")
  func counter() throws {
    var last: UInt64 = 0
    for _ in 0..<5 {
      let cpu = try ScriptedThread(coordinator, on: 1)
      try cpu.run { $0.inUser {} }
      try cpu.end()
      let word = coordinator.core.slots[1].state.word.load(ordering: .relaxed)
      #expect(ContextWord(rawValue: word).counter() > last)
      last = ContextWord(rawValue: word).counter()
    }
  }

  @Test("a slot is not given away while its old thread still drains")
  func notTakenWhileDraining() throws {
    let (begun, mayEnd) = (Flag(), Flag())
    let slow = try coordinator.register("slow") { _ in
      begun.raise()
      mayEnd.wait()
    }
    // The last link runs as late as the detachment allows: after every look of the usual drain.
    var next = slow
    for link in 0..<4 {
      let following = next
      next = try coordinator.register("link \(link)") { [unowned coordinator] in
        coordinator.send(following, to: $0)
      }
    }
    let cpu = try ScriptedThread(coordinator, on: 1)
    coordinator.send(next, to: 1)
    let detachment = PlainThread.start { Result { try cpu.end() } }
    guard eventually(within: .seconds(20), { begun.isRaised || detachment.isOver }), begun.isRaised
    else { return }
    let error = coordinatorError { try coordinator.launch(on: 1) { _ in } }
    #expect(error?.code == .cpuTaken)
    #expect(coordinator.attached == [1])
    mayEnd.raise()
    try detachment.value().get()
    #expect(coordinator.attached.isEmpty)
    try ScriptedThread(coordinator, on: 1).end()
    coordinator.expectBalance(of: slow)
  }

  @Test("a flood of sends does not keep a thread from leaving, and all of them add up")
  func flood() throws {
    let holder = Journal<WorkType>()
    let work = try coordinator.register("for ever") { [unowned coordinator] in
      if let own = holder.entries.first { coordinator.send(own, to: $0) }
    }
    holder.append(work)
    let cpu = try ScriptedThread(coordinator, on: 1)
    coordinator.send(work, to: 1)
    try cpu.end()
    #expect(coordinator.context(of: 1) == .offline)
    let counts = coordinator.statistics()[work]
    #expect(counts.executed < 100)
    #expect(counts.pending == 0)
    coordinator.expectBalance(of: work)
  }

  @Test(
    "a thread that ends without detaching frees its slot, wherever it was",
    arguments: [CPUContext.kernel, .user])
  func threadEnds(context: CPUContext) throws {
    let runs = Counter()
    let work = try coordinator.register(counting: runs)
    let attached = PlainThread.start { [coordinator] in
      Result {
        let cpu = try coordinator.attachHandle(to: 1)
        if context == .user { cpu.enterUser() }
        return try PlainThread.start { coordinator.send(work, to: 1) }.value()
      }
    }
    #expect(try attached.value().get() == (context == .user ? .deferred : .queued))
    #expect(eventually { coordinator.attached.isEmpty })
    #expect(coordinator.context(of: 1) == .offline)
    #expect(runs.value == 1)
    coordinator.expectBalance(of: work, sent: 1)
    try ScriptedThread(coordinator, on: 1).end()
    #expect(incarnation == 2)
  }

  @Test("a thread that ends inside a nested section frees its slot, too")
  func threadEndsNested() throws {
    let (mayEnd, nested) = (Flag(), Flag())
    _ = PlainThread.start { [coordinator] in
      Result {
        _ = try coordinator.attachHandle(to: 1)
        let slot = coordinator.core.slots[1]
        _ = OwnerTransitions.beginSection(slot)
        nested.raise()
        mayEnd.wait()
      }
    }
    nested.wait()
    let call = PlainThread.start { [coordinator] in
      coordinator.call(on: [1], timeout: .seconds(20)) { _ in }
    }
    #expect(eventually { ContextTracker(coordinator.core.slots[1]).isAttentionWanted })
    mayEnd.raise()
    #expect(try call.value()[.executed] == [1])
    #expect(eventually { coordinator.attached.isEmpty })
  }

  @Test("attaching again and again leaks no sender slots")
  func senderSlots() throws {
    for round in 0..<30 {
      try PlainThread.start { [coordinator] in
        Result {
          if round % 2 == 0 {
            try coordinator.attach(to: 1).detach()
          } else {
            try coordinator.attachHandle(to: 1).detach()
          }
        }
      }.value().get()
    }
    let senders = coordinator.registry.withLock { $0.senders.count }
    #expect(senders <= 4)
  }
}
