// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

@Suite("CPUSlot")
struct CPUSlotTests {
  @Test("the lines that keep writers apart are lines")
  func lines() {
    #expect(MemoryLayout<StateLine>.size <= 128)
    #expect(MemoryLayout<CallLine>.size <= 128)
    #expect(MemoryLayout<OwnerLine>.size <= 128)
    #expect(MemoryLayout<SenderCell>.size <= 128)
    #expect(MemoryLayout<CallRecord>.size <= 128)
    #expect(MemoryLayout<WorkRecord>.size <= 128)
    #expect(MemoryLayout<CoreLine>.size <= 2 * 128)
    #expect(cacheLineStride == 128)
  }

  @Test("senders, callers and the owner have lines of their own, the tables come after them")
  func offsets() throws {
    let memory = try SlotMemory(cpus: 1)
    let slot = memory.slots[0]
    func offset(_ table: Table<SharedWord>) -> Int { Int(table.bits - slot.base.bits) }
    func offset<Line: ~Copyable>(of line: borrowing Line) -> Int {
      unsafe withUnsafePointer(to: line) { Int(UInt(bitPattern: $0) - slot.base.bits) }
    }
    #expect(offset(of: slot.state) == 0)
    #expect(offset(of: slot.call) == 128)
    #expect(offset(of: slot.owner) == 256)
    let tables = [
      slot.applied, slot.executed, slot.dropped, slot.attachGeneration, slot.pendingSince,
      slot.catchUps, slot.payloads,
    ].map(offset)
    #expect(tables == [384, 896, 1_408, 1_920, 2_432, 2_944, 3_456])
    #expect(offset(slot.ages(ofType: 0)) == 3_968)
    let end = offset(slot.ages(ofType: 63).dropping(CPUSlot.ageBuckets))
    #expect(end == offset(slot.copies(ofPart: 0)))
    #expect(
      offset(slot.copies(ofPart: 1)) + CPUSlot.copyBytes
        == CPUSlot.stride)
  }

  @Test("the distance of two CPUs is an odd number of lines, so that they do not share cache sets")
  func stride() throws {
    let memory = try SlotMemory(cpus: 3)
    #expect(CPUSlot.stride % 128 == 0)
    #expect(CPUSlot.stride / 128 % 2 == 1)
    for cpu in 0..<3 {
      let distance = Int(memory.slots[cpu].base.bits - memory.slots.base.bits)
      #expect(distance == cpu * CPUSlot.stride)
      #expect(memory.slots[cpu].base.bits % 128 == 0)
    }
  }

  @Test("a coordinator's own words do not share lines with its CPUs")
  func core() throws {
    let memory = try MappedMemory(byteCount: CoordinatorCore.byteCount(cpus: 2))
    let core = CoordinatorCore(initializing: memory.address, cpus: 2)
    func offset(_ address: UInt) -> Int { Int(address - core.base.bits) }
    #expect(offset(core.clock.bits) == 256)
    #expect(offset(core.records.place(0).bits) == 512)
    #expect(offset(core.records.place(63).bits) == 512 + 63 * 128)
    #expect(offset(core.generations.place(0).bits) == 512 + 64 * 128)
    #expect(offset(core.slots.base.bits) == 512 + 2 * 64 * 128)
    let end = offset(core.slots[1].base.bits) + CPUSlot.stride
    // After the slots a word that says which numbers are CPUs.
    #expect(end + 8 == CoordinatorCore.byteCount(cpus: 2))
    #expect(core.cpus == [0, 1])
    #expect(core.slots.count == 2)
  }

  @Test("a new slot is offline and empty")
  func fresh() throws {
    let memory = try SlotMemory(cpus: 1)
    let slot = memory.slots[0]
    #expect(memory.word(0) == .offline)
    let word = slot.owner.word.load(ordering: .relaxed)
    let work = slot.state.work.load(ordering: .relaxed)
    let incarnation = slot.state.incarnation.load(ordering: .relaxed)
    let hasNoCalls =
      slot.call.calls.isEmpty && slot.call.patientCalls.isEmpty
    #expect(word == ContextWord.offline.rawValue)
    #expect(work == 0)
    #expect(incarnation == 0)
    #expect(hasNoCalls)
  }

  @Test("three bits are the library's, the rest are for work types")
  func builtIn() {
    let bits = [BuiltInWork.calls, BuiltInWork.patientCalls, BuiltInWork.attention]
    #expect(bits.reduce(0 as UInt64) { $0 | 1 << $1 } == BuiltInWork.mask)
    #expect(BuiltInWork.attentionMask == 1 << BuiltInWork.attention)
    #expect(bits.count == BuiltInWork.count)
    #expect(WorkType.capacity == 61)
    #expect(BuiltInWork.calls == UInt64(WorkType.capacity))
  }

  @Test("the owner's flags, the depth and the running type do not overlap")
  func flags() {
    let flags = [
      OwnerFlags.draining, OwnerFlags.sanitized, OwnerFlags.interrupted, OwnerFlags.calling,
    ]
    #expect(Set(flags).count == flags.count)
    #expect(flags.allSatisfy { $0.nonzeroBitCount == 1 && $0 & OwnerFlags.depthMask == 0 })
    #expect(OwnerFlags.runningType(0) == nil)
    #expect(OwnerFlags.runningType(OwnerFlags.depth | OwnerFlags.draining) == nil)
    for type in 0...BuiltInWork.attention {
      let running = OwnerFlags.running(type)
      #expect(running & (OwnerFlags.depthMask | flags.reduce(0, |)) == 0)
      #expect(OwnerFlags.runningType(running | OwnerFlags.depthMask | flags[0]) == Int(type))
    }
  }

  @Test("a way to reach a CPU survives its packing", arguments: [1, 0x7fff_ffff] as [Int32])
  func reach(thread: Int32) {
    for interrupter in [Interrupter.park, .poll, .signal] {
      for isHousekeeping in [false, true] {
        let reach = Reach(
          rawValue: Reach(
            threadID: thread, interrupter: interrupter, isHousekeeping: isHousekeeping, signal: 36
          ).rawValue)
        #expect(reach.threadID == thread)
        #expect(reach.interrupter == interrupter)
        #expect(reach.isHousekeeping == isHousekeeping)
        #expect(reach.signal == 36)
      }
    }
  }
}
