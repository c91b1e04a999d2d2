// SPDX-License-Identifier: Apache-2.0

/// Memory for each CPU, which one thread may be at, at a time: a byte that says whether one is, then the value. Where a
/// number is no CPU the byte says so, and there is no value.
@safe @usableFromInline
struct CPUCells {
  /// Their addresses: the coordinator may have gone when a thread that has nothing to do here is refused.
  private let slots: CPUSlots
  let cpus: CPUMask
  /// The coordinator's memory.
  private let core: CoordinatorCore
  private let memory: UnsafeMutableRawPointer
  /// From one CPU's cell to the next: no two share a line.
  private let stride: Int

  init(_ coordinator: Coordinator, byteCount: Int) {
    core = coordinator.core
    slots = core.slots
    cpus = coordinator.cpus
    stride = (byteCount + 127) / 128 * 128
    // Safety: new memory, until `deallocate`; each CPU's cell is its own.
    unsafe memory = .allocate(byteCount: max(1, slots.count) * stride, alignment: 128)
    for cpu in 0..<slots.count {
      unsafe self[cpu].storeBytes(of: cpus.contains(cpu) ? Self.free : Self.none, as: UInt8.self)
    }
  }

  @inlinable static var free: UInt8 { 0 }
  @inlinable static var touched: UInt8 { 1 }
  private static let none: UInt8 = 2

  func deallocate() { unsafe memory.deallocate() }

  subscript(cpu: Int) -> UnsafeMutableRawPointer { unsafe memory + cpu * stride }

  /// The cell of a CPU, for the calling thread alone until `end`.
  @usableFromInline
  func begin(_ cpu: Int, _ file: StaticString, _ line: UInt) -> UnsafeMutableRawPointer {
    if !cpus.contains(cpu) { Self.refuseNumber(cpu, file, line) }
    let slot = slots[cpu]
    if !CurrentThread.isHelping(slot.base) {
      if !CurrentThread.isThread(of: slot) {
        misuse(
          "the value of CPU \(cpu) was touched by a thread that is not attached to it", file, line
        )
      }
      if ContextTracker(slot).ownContext != UInt64(CPUContext.kernel.rawValue) {
        misuse("CPU \(cpu) touched its value without having entered kernel", file, line)
      }
    }
    // Safety: the calling thread is the one that may be at it.
    let cell = unsafe self[cpu]
    if unsafe cell.load(as: UInt8.self) != Self.free { Self.refuse(cpu, file, line) }
    unsafe cell.storeBytes(of: Self.touched, as: UInt8.self)
    return unsafe cell
  }

  /// Says that the calling thread, which is the cell's CPU, is at the value.
  @inlinable @inline(__always)
  static func begin(_ cell: UnsafeMutableRawPointer, _ file: StaticString, _ line: UInt) {
    // Safety: the cell begins with the byte.
    let found = unsafe cell.load(as: UInt8.self)
    if found != free { refuseOwn(found, file, line) }
    unsafe cell.storeBytes(of: touched, as: UInt8.self)
  }

  @usableFromInline @inline(never)
  static func refuseOwn(_ found: UInt8, _ file: StaticString, _ line: UInt) -> Never {
    let cpu = CurrentThread.slot.map(OwnerTransitions.number) ?? -1
    if found == none { refuseNumber(cpu, file, line) }
    refuse(cpu, file, line)
  }

  private static func refuseNumber(_ cpu: Int, _ file: StaticString, _ line: UInt) -> Never {
    misuse("there is no CPU \(cpu) with a value", file, line)
  }

  private static func refuse(_ cpu: Int, _ file: StaticString, _ line: UInt) -> Never {
    misuse("the value of CPU \(cpu) was touched in the middle of another touch", file, line)
  }

  @inlinable @inline(__always)
  static func end(_ cell: UnsafeMutableRawPointer) {
    // Safety: the cell of `begin`.
    unsafe cell.storeBytes(of: free, as: UInt8.self)
  }

  /// What leads a thread to the cell of the CPU that it is.
  // Sendable: addresses and a number.
  @safe @usableFromInline
  struct Own: @unchecked Sendable {
    fileprivate let core: CoordinatorCore
    fileprivate let memory: UnsafeMutableRawPointer
    fileprivate let stride: Int
    fileprivate let count: Int

    /// The cell of the CPU that the calling thread is, in kernel; nil where it is none of the coordinator's.
    @usableFromInline
    var cell: UnsafeMutableRawPointer? {
      guard let slot = CurrentThread.slot,
        slot.owner.core.load(ordering: .relaxed) == core.base.bits
      else { return nil }
      // Its own function: this one needs no stack.
      if ContextTracker(slot).ownContext != UInt64(CPUContext.kernel.rawValue) {
        return unsafe enter(slot)
      }
      return unsafe cell(of: slot)
    }

    @inline(never)
    private func enter(_ slot: CPUSlot) -> UnsafeMutableRawPointer? {
      _ = OwnerTransitions.enterIfNeeded(slot, CallSite(#fileID, #line))
      return unsafe cell(of: slot)
    }

    @inline(__always)
    private func cell(of slot: CPUSlot) -> UnsafeMutableRawPointer? {
      let number = slot.owner.number.load(ordering: .relaxed)
      // Another coordinator may have memory where that of the values' was, and more CPUs.
      guard number < UInt64(truncatingIfNeeded: count) else { return nil }
      // Safety: there is a cell for each number below that.
      return unsafe memory + Int(truncatingIfNeeded: number) &* stride
    }
  }

  var own: Own { unsafe Own(core: core, memory: memory, stride: stride, count: slots.count) }
}
