// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

@Suite("GracePeriodWait")
struct GracePeriodWaitTests {
  let memory: SlotMemory

  init() throws { memory = try SlotMemory(cpus: 3) }

  func enter(_ cpu: Int, from context: CPUContext) {
    _ = memory.tracker(cpu).enterKernel(from: context, comparing: memory.summary)
  }
  func leave(_ cpu: Int, to context: CPUContext) {
    _ = memory.tracker(cpu).leaveKernel(to: context)
  }
  func pin(_ cpu: Int, _ value: UInt64) {
    memory.slots[cpu].state.pin.store(value, ordering: .relaxed)
  }
  func begin(excluding cpu: Int? = nil) -> Waiter { Waiter(memory.slots, excluding: cpu) }

  /// A wait that can be polled where expectations are written.
  final class Waiter {
    private var wait: GracePeriodWait
    private let slots: CPUSlots

    init(_ slots: CPUSlots, excluding cpu: Int?) {
      self.slots = slots
      wait = GracePeriodWait(slots, excluding: cpu)
    }

    var cpus: CPUMask { wait.cpus }
    func isOver() -> Bool { wait.poll(slots) }
  }

  @Test("nobody is there: it is over at once")
  func offline() {
    let wait = begin()
    #expect(wait.cpus.isEmpty)
    #expect(wait.isOver())
  }

  @Test("a CPU that is away has passed", arguments: [CPUContext.user, .idle, .guest, .offline])
  func away(context: CPUContext) {
    enter(1, from: .offline)
    memory.tracker(1).leaveKernelFenced(to: context)
    let wait = begin()
    #expect(wait.isOver())
  }

  @Test(
    "a CPU in kernel passes when it leaves", arguments: [CPUContext.user, .idle, .guest, .offline])
  func leaving(context: CPUContext) {
    enter(1, from: .offline)
    let wait = begin()
    #expect(!wait.isOver())
    #expect(wait.cpus == [1])
    memory.tracker(1).leaveKernelFenced(to: context)
    #expect(wait.isOver())
    #expect(wait.cpus.isEmpty)
  }

  @Test("a CPU that left and came back has passed: it is another section")
  func roundTrip() {
    enter(1, from: .offline)
    let wait = begin()
    leave(1, to: .user)
    enter(1, from: .user)
    #expect(wait.isOver())
  }

  @Test("a CPU in kernel passes by a quiescent state")
  func declareQuiescent() {
    enter(1, from: .offline)
    let wait = begin()
    memory.tracker(1).declareQuiescent()
    #expect(wait.isOver())
  }

  @Test("a CPU that enters later is not waited for")
  func later() {
    enter(1, from: .offline)
    leave(1, to: .user)
    let wait = begin()
    enter(1, from: .user)
    #expect(wait.isOver())
  }

  @Test("every CPU in kernel is waited for, each until it has moved")
  func several() {
    for cpu in 0..<3 { enter(cpu, from: .offline) }
    let wait = begin()
    #expect(wait.cpus == [0, 1, 2])
    leave(1, to: .user)
    #expect(!wait.isOver())
    #expect(wait.cpus == [0, 2])
    leave(0, to: .user)
    enter(1, from: .user)
    #expect(!wait.isOver())
    #expect(wait.cpus == [2])
    leave(2, to: .user)
    #expect(wait.isOver())
    #expect(wait.isOver())
  }

  @Test("the caller's own CPU is left out")
  func excluded() {
    enter(1, from: .offline)
    let wait = begin(excluding: 1)
    #expect(wait.isOver())
  }

  @Test("a CPU that is away but pinned passes when the helper lets go")
  func pinned() {
    enter(1, from: .offline)
    leave(1, to: .user)
    pin(1, 4_711)
    let wait = begin()
    #expect(!wait.isOver())
    #expect(wait.cpus == [1])
    // The owner's entry does not help: it waits for the helper, too.
    enter(1, from: .user)
    #expect(!wait.isOver())
    pin(1, 0)
    #expect(wait.isOver())
  }

  @Test("a helper that pins later began later")
  func pinnedLater() {
    enter(1, from: .offline)
    leave(1, to: .user)
    let wait = begin()
    pin(1, 4_711)
    #expect(wait.isOver())
  }

  @Test("a CPU in kernel and pinned passes by moving")
  func pinnedInKernel() {
    enter(1, from: .offline)
    pin(1, 4_711)
    let wait = begin()
    #expect(!wait.isOver())
    pin(1, 0)
    #expect(!wait.isOver())
    leave(1, to: .user)
    #expect(wait.isOver())
  }
}
