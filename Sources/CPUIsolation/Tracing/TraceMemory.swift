// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// Owns what `TraceBuffers` is a handle of, and knows when its clock began.
final class TraceMemory: Sendable {
  private let memory: MappedMemory
  let buffers: TraceBuffers
  /// How many events a ring keeps.
  let events: Int
  private let gracePeriods = SharedWord(0)
  /// The cycle counter and the monotonic clock at one moment.
  private let cycles: UInt64
  private let nanoseconds: UInt64

  init(cpus: Int, events: Int) throws(IsolationError) {
    var size = 2
    while size < events && size < 1 << 30 { size *= 2 }
    let words = TraceBuffers.payloadWords(cpus: cpus)
    memory = try MappedMemory(
      byteCount: TraceBuffers.byteCount(cpus: cpus, events: size, payloadWords: words))
    buffers = TraceBuffers(
      initializing: memory.address, cpus: cpus, events: size, payloadWords: words)
    self.events = size
    cycles = cpi_cycles()
    nanoseconds = cpi_monotonic_nanoseconds()
  }

  /// The number of a grace period that begins: from 1 on.
  func nextGracePeriod() -> UInt64 { gracePeriods.wrappingAdd(1, ordering: .relaxed).newValue }

  /// The monotonic clock, in nanoseconds, when the cycle counter was at `cycles`.
  func time(at cycles: UInt64) -> UInt64 {
    guard cycles > self.cycles else { return nanoseconds }
    let passed = UInt128(cycles - self.cycles) * 1_000_000_000
    return nanoseconds + UInt64(clamping: passed / UInt128(max(cpi_cycles_per_second(), 1)))
  }
}
