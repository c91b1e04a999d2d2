// SPDX-License-Identifier: Apache-2.0

public import CPUIsolation

extension TraceRecording {
  /// Makes a recording of what a coordinator's rings hold.
  ///
  /// ```swift
  /// let recording = TraceRecording(coordinator.tracer.snapshot())
  /// try recording.write(.traceDat, to: "trace.dat")
  /// ```
  ///
  /// What threads recorded that are no CPUs stands on a CPU of its own, one above the last; without
  /// such events there is no such CPU.
  ///
  /// - Parameter snapshot: what `Tracer.snapshot()` copied.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: yes
  public init(_ snapshot: Tracer.Snapshot) {
    let hasOthers = snapshot.rings.contains { $0.cpu == nil && !$0.events.isEmpty }
    let room = hasOthers && snapshot.cpuCount < CPUMask.maximumWidth ? 1 : 0
    self.init(cpuCount: snapshot.cpuCount + room)
    for format in snapshot.formats { define(format) }
    for symbol in snapshot.symbols { nameSymbol(symbol.name, at: symbol.addresses.lowerBound) }
    // A file has no ends of symbols: each goes on to the next, and the last one needs a next.
    if let end = snapshot.symbols.map(\.addresses.upperBound).max(), symbols.symbol(at: end) == nil
    {
      nameSymbol("_end", at: end)
    }
    for (thread, name) in snapshot.threadNames { nameThread(thread, name) }
    for ring in snapshot.rings {
      let cpu = ring.cpu ?? cpuCount - 1
      for event in ring.events {
        let number = event.payload.littleEndian(UInt16.self, at: 0) ?? 0
        lost(cpu: cpu, count: event.lostBefore)
        append(
          cpu: cpu, timestamp: event.timestamp, event: Int(number), payload: event.payload)
      }
    }
  }
}
