// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Synchronization

/// Handles that lead to frames, through translations that are made by hand of a `FlushLog`, a
/// `TranslationCache` for each CPU and a work type. Here an order can be broken: `AddressSpace`
/// keeps its own.
// Sendable: the table is atomic; each cache belongs to its CPU's thread, and is used by nobody
// before that has attached.
@safe
final class LiveHandles: @unchecked Sendable {
  private typealias Cache = TranslationCache<UInt64, UInt64>

  private let memory: LiveMemory
  private let broken: BrokenOrder?
  private let log: FlushLog
  private let cpus: Int
  private let caches: UnsafeMutablePointer<Cache>
  /// Whether a CPU has caught up before its entry; of a broken order alone. Used by its thread.
  private let isEarly: UnsafeMutablePointer<Bool>
  /// The frame of each handle, by its number.
  private let table: UnsafeMutablePointer<Atomic<UInt64>>

  init(cpus: Int, _ memory: LiveMemory, _ broken: BrokenOrder?) throws(IsolationError) {
    self.memory = memory
    self.broken = broken
    self.cpus = cpus
    log = try FlushLog()
    unsafe caches = .allocate(capacity: cpus)
    for cpu in 0..<cpus {
      unsafe (caches + cpu).initialize(to: try Cache(entries: 256, of: log))
    }
    unsafe isEarly = .allocate(capacity: cpus)
    unsafe isEarly.initialize(repeating: false, count: cpus)
    let numbers = Int(LiveMemory.numbers) * memory.housekeepers
    unsafe table = .allocate(capacity: numbers)
    for number in 0..<numbers { unsafe (table + number).initialize(to: Atomic(0)) }
    for housekeeper in 0..<memory.housekeepers {
      for handle in memory.handles(of: housekeeper) {
        let (frame, version) = memory.begin(handle, by: housekeeper)
        unsafe table[Int(handle)].store(frame, ordering: .relaxed)
        memory.versions.finish(Int(handle), at: version)
      }
    }
  }

  deinit {
    unsafe caches.deinitialize(count: cpus)
    unsafe caches.deallocate()
    unsafe isEarly.deallocate()
    unsafe table.deallocate()
  }

  // MARK: The housekeeper

  /// Gives a handle another frame: the change, the log, the send, the wait, and then the reuse.
  func exchange(
    _ handle: UInt64, by housekeeper: Int, _ flush: WorkType, _ coordinator: Coordinator,
    urgency: WorkType.Urgency
  ) {
    let (frame, version) = memory.begin(handle, by: housekeeper)
    // Acquire and release — LiveHandles:T. What the frame holds comes before it. Pairs with
    // LiveHandles:L.
    let old = unsafe table[Int(handle)].exchange(frame, ordering: .acquiringAndReleasing)
    log.append(handle..<handle + 1)
    let ticket = coordinator.sendWithTicket(flush, to: coordinator.isolated, urgency: urgency)
    // Broken: what is freed is handed out before it has been waited for.
    if broken == .reuse { memory.frames.giveBack(old, by: housekeeper) }
    _ = ticket.wait(until: .covered)
    memory.versions.finish(Int(handle), at: version)
    if broken != .reuse { memory.frames.giveBack(old, by: housekeeper) }
  }

  // MARK: The isolated CPU

  /// The order of the handler that reads through the cache, after the flushes.
  static func order(ofTouch broken: BrokenOrder?) -> WorkType.DrainOrder {
    // Broken: before the flush, which is registered after it.
    broken == .earlyTouch ? .early : .normal
  }

  /// The handler's part: drops what the log says. Interrupt-safe.
  @inline(__always)
  func flush(on cpu: Int) {
    // Broken: at this entry it has been done.
    if unsafe !isEarly[cpu] { catchUp(cpu) }
  }

  /// What the CPU does in user, on its way to the entry: nothing.
  @inline(__always)
  func prepareToEnter(on cpu: Int) {
    guard broken == .flagAfterFlush else { return }
    // Broken: it catches up, and publishes kernel afterwards.
    catchUp(cpu)
    unsafe isEarly[cpu] = true
  }

  /// What the CPU does after the entry: from here on its drains flush in either order.
  @inline(__always)
  func endEntry(on cpu: Int) {
    if broken == .flagAfterFlush { unsafe isEarly[cpu] = false }
  }

  private func catchUp(_ cpu: Int) { _ = unsafe caches[cpu].catchUp(with: log) }

  /// Reads what is cached of a handle, in a handler that runs after the flushes. Interrupt-safe.
  func touch(_ handle: UInt64, on cpu: Int) {
    let lowest = memory.versions.lowest(Int(truncatingIfNeeded: handle))
    guard let frame = unsafe caches[cpu].lookUp(handle) else { return }
    memory.legality.judge(
      handle, memory.frames.read(frame), in: memory.versions, from: lowest, at: Place(cpu: cpu))
  }

  /// Reads all handles that anybody has, in a handler. Interrupt-safe, without optimisation too, where
  /// a loop over a range that is not of `Int` allocates.
  func touchAll(on cpu: Int) {
    for housekeeper in 0..<memory.housekeepers {
      let handles = memory.handles(of: housekeeper)
      var handle = handles.lowerBound
      while handle < handles.upperBound {
        touch(handle, on: cpu)
        handle += 1
      }
    }
  }

  /// Looks a handle up in kernel, reads its frame, and judges what it finds.
  @inline(__always)
  func look(at handle: UInt64, on cpu: Int, _ place: Place) {
    let lowest = memory.versions.lowest(Int(truncatingIfNeeded: handle))
    let frame: UInt64
    if let cached = unsafe caches[cpu].lookUp(handle) {
      frame = cached
    } else {
      // Acquire — LiveHandles:L. Pairs with LiveHandles:T.
      frame = unsafe table[Int(truncatingIfNeeded: handle)].load(ordering: .acquiring)
      unsafe caches[cpu].insert(frame, for: handle)
    }
    memory.legality.judge(
      handle, memory.frames.read(frame), in: memory.versions, from: lowest, at: place)
  }
}
