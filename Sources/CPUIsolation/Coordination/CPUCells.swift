// SPDX-License-Identifier: Apache-2.0

/// Memory for each CPU, which one thread may be at, at a time: a byte that says whether one is, then the value.
@safe @usableFromInline
struct CPUCells {
  /// Their addresses: the coordinator may have gone when a thread that has nothing to do here is refused.
  private let slots: CPUSlots
  let cpus: CPUMask
  private let memory: UnsafeMutableRawPointer
  /// From one CPU's cell to the next: no two share a line.
  private let stride: Int

  init(_ coordinator: Coordinator, byteCount: Int) {
    slots = coordinator.core.slots
    cpus = coordinator.cpus
    stride = (byteCount + 127) / 128 * 128
    // Safety: new memory, until `deallocate`; each CPU's cell is its own.
    unsafe memory = .allocate(byteCount: max(1, slots.count) * stride, alignment: 128)
    for cpu in cpus { unsafe self[cpu].storeBytes(of: false, as: Bool.self) }
  }

  func deallocate() { unsafe memory.deallocate() }

  subscript(cpu: Int) -> UnsafeMutableRawPointer { unsafe memory + cpu * stride }

  /// The cell of a CPU, for the calling thread alone until `end`.
  @usableFromInline
  func begin(_ cpu: Int, _ file: StaticString, _ line: UInt) -> UnsafeMutableRawPointer {
    if !cpus.contains(cpu) { misuse("there is no CPU \(cpu) with a value", file, line) }
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
    if unsafe cell.load(as: Bool.self) {
      misuse("the value of CPU \(cpu) was touched in the middle of another touch", file, line)
    }
    unsafe cell.storeBytes(of: true, as: Bool.self)
    return unsafe cell
  }

  @inlinable @inline(__always)
  static func end(_ cell: UnsafeMutableRawPointer) {
    // Safety: the cell of `begin`.
    unsafe cell.storeBytes(of: false, as: Bool.self)
  }
}
