// SPDX-License-Identifier: Apache-2.0

extension Coordinator {
  /// A value for each CPU, which its handlers and its own code share.
  ///
  ///     let routes = Coordinator.PerCPU(coordinator) { _ in [Address: Route]() }
  ///     let flush = try coordinator.register("flush") { cpu in routes[cpu].removeAll() }
  ///     …
  ///     cpu.inKernel { routes[cpu.number][address] }
  ///
  /// A CPU's value may be touched where no other thread can be at it: on the CPU's own thread while it is in kernel,
  /// handlers and cross calls included, and in a handler that another thread runs on behalf of the CPU. Anything
  /// else ends the process with a sentence: another thread, a CPU that has not entered, and a handler that runs in the
  /// middle of its CPU's own touch. No lock is taken, and no atomic written.
  ///
  /// The values are there for as long as this object, whichever threads attach and leave.
  ///
  /// - Progress: wait-free
  /// - Context: owner in kernel, or handlers
  /// - Allocates: at creation
  // Sendable: who may touch a value is checked at each touch, and the values are Sendable.
  @safe
  public final class PerCPU<Value: Sendable>: @unchecked Sendable {
    private struct Cell {
      var isTouched = false
      var value: Value
    }

    /// Their addresses: the coordinator may have gone when a thread that has nothing to do here is refused.
    private let slots: CPUSlots
    private let cpus: CPUMask
    private let memory: UnsafeMutableRawPointer
    /// From one CPU's value to the next: no two share a line.
    private static var stride: Int { (MemoryLayout<Cell>.stride + 127) / 128 * 128 }

    /// Makes the values.
    ///
    /// - Parameters:
    ///   - coordinator: whose CPUs have values.
    ///   - makeValue: makes the value of each CPU, which it is told, on this thread.
    /// - Throws: what `makeValue` throws.
    /// - Progress: as `makeValue`
    /// - Context: any thread
    /// - Allocates: yes
    public init<Failure: Error>(
      _ coordinator: Coordinator, _ makeValue: (Int) throws(Failure) -> Value
    ) throws(Failure) {
      var values: [(Int, Value)] = []
      for cpu in coordinator.cpus { values.append((cpu, try makeValue(cpu))) }
      slots = coordinator.core.slots
      cpus = coordinator.cpus
      // Safety: new memory, until `deinit`; each CPU's cell is its own.
      unsafe memory = .allocate(
        byteCount: max(1, slots.count) * Self.stride, alignment: 128)
      for (cpu, value) in values { unsafe cell(cpu).initialize(to: Cell(value: value)) }
    }

    deinit {
      // Safety: the cells of `init`; no reference to this object is left.
      for cpu in cpus { unsafe cell(cpu).deinitialize(count: 1) }
      unsafe memory.deallocate()
    }

    /// The value of one CPU.
    ///
    /// - Parameters:
    ///   - cpu: the number of the CPU; one that the calling thread may not touch ends the process with a sentence.
    ///   - file: the caller's file, for messages.
    ///   - line: the caller's line.
    /// - Returns: the value, to read or to change in place.
    /// - Progress: wait-free
    /// - Context: owner in kernel, or a handler for that CPU
    /// - Allocates: never
    public subscript(cpu: Int, file: StaticString = #fileID, line: UInt = #line) -> Value {
      _read {
        let cell = unsafe begin(cpu, file, line)
        defer { unsafe cell.pointee.isTouched = false }
        yield unsafe cell.pointee.value
      }
      _modify {
        let cell = unsafe begin(cpu, file, line)
        defer { unsafe cell.pointee.isTouched = false }
        yield unsafe &cell.pointee.value
      }
    }

    private func cell(_ cpu: Int) -> UnsafeMutablePointer<Cell> {
      // Safety: the caller names a CPU of the coordinator, for which there is memory.
      unsafe (memory + cpu * Self.stride).assumingMemoryBound(to: Cell.self)
    }

    private func begin(
      _ cpu: Int, _ file: StaticString, _ line: UInt
    ) -> UnsafeMutablePointer<Cell> {
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
      let cell = unsafe cell(cpu)
      if unsafe cell.pointee.isTouched {
        misuse("the value of CPU \(cpu) was touched in the middle of another touch", file, line)
      }
      unsafe cell.pointee.isTouched = true
      return unsafe cell
    }
  }
}
