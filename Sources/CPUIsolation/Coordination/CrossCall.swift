// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// The memory of one immediate call, owned by the caller: to send from paths that must not
/// allocate.
///
///     let call = CrossCall(context: ring) { ring, cpu in drainRing(ring!) }
///     coordinator.post(call, on: 3)  // .queued
///     coordinator.post(call, on: 3)  // .busy until CPU 3 has given it back
///
/// The CPU gives the record back before it runs the function, so the function may post it again. A
/// record that is still in flight when it goes out of scope ends the process with a sentence: the
/// CPU would run freed memory.
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: once, when it is made
@safe
public struct CrossCall: ~Copyable {
  let record: Place<CallRecord>
  let handler: CPUHandler
  let isInterruptSafe: Bool

  /// A call of this function.
  ///
  /// - Parameters:
  ///   - context: what the function gets as it is.
  ///   - isInterruptSafe: the function may run in a signal handler; see
  ///     `WorkType.Options.isInterruptSafe`.
  ///   - function: what runs on the target, whose number it gets after the context.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the record
  public init(
    context: UnsafeMutableRawPointer?, isInterruptSafe: Bool = false,
    _ function: CPUFunction
  ) {
    // Safety: new memory, until `deinit`.
    record = unsafe Place(UnsafeMutablePointer.allocate(capacity: 1))
    record.initialize(to: CallRecord())
    // Safety: the caller's to see to.
    handler = unsafe CPUHandler(function, context)
    self.isInterruptSafe = isInterruptSafe
  }

  deinit {
    // Acquire — callRecord:C, as for a claim: the target's last access comes before the memory is
    // freed.
    if record.value.state.load(ordering: .acquiring) != CallRecord.State.idle {
      misuse("a CrossCall went out of scope while it was in flight")
    }
    // Safety: nobody has the record any more.
    unsafe record.pointer.deinitialize(count: 1)
    unsafe record.pointer.deallocate()
  }

  /// Whether the record is in a CPU's queue.
  public var isInFlight: Bool {
    record.value.state.load(ordering: .relaxed) != CallRecord.State.idle
  }
}
