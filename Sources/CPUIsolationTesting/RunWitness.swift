// SPDX-License-Identifier: Apache-2.0

internal import CHandlerWitness
internal import CPlatform

/// What a thread did while something ran on it, as the system counts it.
struct RunWitness: Sendable {
  /// Calls of the C library's allocating functions.
  let allocations: Int
  /// How many bytes the first of them asked for.
  let firstBytes: Int
  /// Voluntary context switches: the thread gave the processor away in order to wait.
  let waits: Int
  /// Page faults: each may wait inside the kernel, for a lock or for a disk.
  let faults: Int
  /// How long the thread was on a processor.
  let processorTime: Duration

  /// Waits that no page fault explains.
  var unexplainedWaits: Int { max(0, waits - faults) }

  /// Whether it can be told if the run waited: page faults hide a wait.
  var isClear: Bool { faults == 0 || unexplainedWaits > 0 }

  /// Runs the body on the calling thread and tells what it did.
  static func watch(_ body: () -> Void) -> RunWitness {
    chw_begin()
    body()
    let counts = chw_end()
    return RunWitness(
      allocations: Int(counts.allocations), firstBytes: Int(counts.first_bytes),
      waits: Int(counts.waits), faults: Int(counts.faults),
      processorTime: .nanoseconds(Int64(counts.processor_nanoseconds)))
  }

  /// Which allocations are seen in this process.
  struct Sight: Sendable {
    /// Those of the Swift runtime: objects, arrays, strings, closures, pointers.
    let seesSwift: Bool
    /// Direct calls of `malloc` in this executable. One that has a `malloc` of its own binds them
    /// to it, past every entry that could be watched.
    let seesC: Bool
  }

  /// Finds that out, by making one of each.
  static func sightOfAllocations() -> Sight {
    guard chw_watch_allocations() else { return Sight(seesSwift: false, seesC: false) }
    return Sight(
      seesSwift: watch { withExtendedLifetime(Probe()) {} }.allocations > 0,
      seesC: watch { chw_allocate_once() }.allocations > 0)
  }

  /// Why allocations are not seen, where they are not.
  static var whyNoAllocations: String {
    chw_is_sanitized()
      ? "allocations are not counted under a sanitizer, which replaces the same functions"
      : "this process allocates by functions that cannot be watched"
  }

  /// Whether waits are seen on this system: by waiting once.
  static func seesWaits() -> Bool {
    let before = chw_waits_of_this_thread()
    let waits = watch { cpi_sleep_nanoseconds(1_000_000) }.waits
    return waits > 0 && chw_waits_of_this_thread() > before
  }
}

/// Something to allocate that the optimizer keeps.
private final class Probe {
  @inline(never) init() {}
  @inline(never) deinit {}
}
