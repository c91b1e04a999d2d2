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
    @usableFromInline let cells: CPUCells
    /// The way to the calling CPU's.
    @usableFromInline let own: CPUCells.Own
    /// From the beginning of a cell to its value.
    @usableFromInline static var offset: Int { max(16, MemoryLayout<Value>.alignment) }

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
      cells = CPUCells(coordinator, byteCount: Self.offset + MemoryLayout<Value>.stride)
      own = cells.own
      for (cpu, value) in values { unsafe Self.value(cells[cpu]).initialize(to: value) }
    }

    deinit {
      // Safety: the cells of `init`; no reference to this object is left.
      for cpu in cells.cpus { unsafe Self.value(cells[cpu]).deinitialize(count: 1) }
      cells.deallocate()
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
    @inlinable
    public subscript(cpu: Int, file: StaticString = #fileID, line: UInt = #line) -> Value {
      // Nothing but the cell is kept while the caller is at the value: what is more than a few words is allocated.
      _read {
        let cell = unsafe cells.begin(cpu, file, line)
        defer { unsafe CPUCells.end(cell) }
        yield unsafe Self.value(cell).pointee
      }
      _modify {
        let cell = unsafe cells.begin(cpu, file, line)
        defer { unsafe CPUCells.end(cell) }
        yield unsafe &Self.value(cell).pointee
      }
    }

    /// Lends the value of the CPU that the calling thread is, and has it enter kernel if it has not: what was deferred
    /// to it has run then.
    ///
    ///     let answer = routes.withCurrent { $0[address] } ?? elsewhere(address)
    ///
    /// The cheapest way to a value, since it asks the thread who it is once.
    ///
    /// - Parameters:
    ///   - file: the caller's file, for messages.
    ///   - line: the caller's line.
    ///   - body: reads or changes the value, of which nobody else is at work.
    /// - Returns: what the body returns; nil, without having run it, where the thread is no CPU of the coordinator.
    /// - Throws: what the body throws.
    /// - Progress: wait-free when nothing is pending; else as the pending handlers
    /// - Context: any thread, outside signal handlers of the program
    /// - Allocates: never
    @inlinable @inline(__always)
    public func withCurrent<Result, Failure: Error>(
      file: StaticString = #fileID, line: UInt = #line,
      _ body: (inout Value) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
      guard let cell = unsafe own.cell else { return nil }
      unsafe CPUCells.begin(cell, file, line)
      defer { unsafe CPUCells.end(cell) }
      return try unsafe body(&Self.value(cell).pointee)
    }

    @inlinable @inline(__always)
    static func value(_ cell: UnsafeMutableRawPointer) -> UnsafeMutablePointer<Value> {
      // Safety: the memory of a cell has room for a value there.
      unsafe (cell + offset).assumingMemoryBound(to: Value.self)
    }
  }
}
