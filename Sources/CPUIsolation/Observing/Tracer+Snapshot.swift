// SPDX-License-Identifier: Apache-2.0

extension Tracer {
  /// What a coordinator's rings hold at one moment: the last events of every CPU and of the other
  /// threads, and the names that they use.
  ///
  ///     let snapshot = coordinator.tracer.snapshot()
  ///     for ring in snapshot.rings { print(ring.cpu ?? -1, ring.events.count, ring.lost) }
  ///
  /// It is taken while others record. An event that was being written, or overwritten, is not in it,
  /// and counts as lost. The product `CPUIsolationTrace` prints it and makes files of it.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public struct Snapshot: Sendable {
    /// One event.
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public struct Event: Sendable {
      /// Nanoseconds of the monotonic clock. Within a ring it never goes back.
      public let timestamp: UInt64
      /// The record, as its format describes it, from the common fields on.
      public let payload: [UInt8]
      /// How many events are missing before it.
      public let lostBefore: UInt64
    }

    /// The events of one ring, the oldest first.
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public struct Ring: Sendable {
      /// The CPU whose thread recorded them; nil for the threads that are no CPUs.
      public let cpu: Int?
      /// What is left of them.
      public let events: [Event]
      /// How many were recorded and are gone: overwritten, or given up.
      public let lost: UInt64
    }

    /// The rings of the CPUs in their order, then that of all other threads.
    public let rings: [Ring]
    /// How many CPUs there are: the width of masks.
    public let cpuCount: Int
    /// What the events look like.
    public let formats: [TraceEventFormat]
    /// The names that addresses in records stand for.
    public let symbols: [SymbolTable.Symbol]
    /// The names of the threads that are in it, if they still run or were CPUs.
    public let threadNames: [Int32: String]
  }
}

extension TraceRing {
  /// Copies what is there.
  func snapshot(cpu: Int?, time: (UInt64) -> UInt64) -> Tracer.Snapshot.Ring {
    let end = end
    let start = start(of: end)
    var events: [Tracer.Snapshot.Event] = []
    var lost = start
    var before = start
    var latest: UInt64 = 0
    // Safety: the buffer has room for as many words as a slot.
    unsafe withUnsafeTemporaryAllocation(of: UInt64.self, capacity: payloadWords) { buffer in
      for position in start..<end {
        // Safety: the buffer has room for as many words as a slot.
        let found = unsafe read(position, into: Table(buffer.baseAddress.unsafelyUnwrapped))
        guard case .event(let cycles, let words) = found else {
          lost += 1
          before += 1
          continue
        }
        // A signal handler may record between the stamp and the slot of the thread below it.
        latest = max(latest, time(cycles))
        events.append(
          Tracer.Snapshot.Event(
            timestamp: latest,
            payload: unsafe Array(
              UnsafeRawBufferPointer(start: buffer.baseAddress, count: words * 8)),
            lostBefore: before))
        before = 0
      }
    }
    return Tracer.Snapshot.Ring(cpu: cpu, events: events, lost: lost)
  }
}
