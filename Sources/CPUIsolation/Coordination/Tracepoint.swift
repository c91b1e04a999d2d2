// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// A place in a program where an event of its own is recorded.
///
///     let refreshed = try coordinator.tracer.declare(format)
///     refreshed.record((UInt32(count), UInt32(version)))
///
/// While the event is off, `record` is one load and a branch, and its argument is not evaluated.
///
/// - Progress: wait-free
/// - Context: any thread, also inside a handler or an interrupt
/// - Allocates: never
public struct Tracepoint: Sendable {
  private let coordinator: Coordinator
  private let event: TraceEvent
  /// The bytes of a record, the common fields included.
  private let byteCount: Int

  init(_ coordinator: Coordinator, _ event: TraceEvent, byteCount: Int) {
    self.coordinator = coordinator
    self.event = event
    self.byteCount = byteCount
  }

  /// Whether the event is recorded.
  ///
  /// - Progress: wait-free
  /// - Context: any thread, also inside a handler or an interrupt
  /// - Allocates: never
  public var isOn: Bool { coordinator.core.isTraced(event) }

  /// Records the event, if it is on and its filter agrees.
  ///
  /// `fields` is a value whose bytes are those of the declared fields in their order: a number, a
  /// tuple or a struct of numbers. A value of another size than the fields have stops the process.
  ///
  /// - Progress: wait-free
  /// - Context: any thread, also inside a handler or an interrupt
  /// - Allocates: never
  public func record<Fields: BitwiseCopyable>(_ fields: @autoclosure () -> Fields) {
    if coordinator.core.isTraced(event) { recordOn(fields()) }
  }

  @inline(never)
  private func recordOn<Fields: BitwiseCopyable>(_ fields: Fields) {
    let core = coordinator.core
    guard MemoryLayout<Fields>.size == byteCount - TraceEventFormat.commonSize else {
      misuse(
        "the fields of a trace event have \(byteCount - TraceEventFormat.commonSize) bytes, not the "
          + "\(MemoryLayout<Fields>.size) of \(Fields.self)")
    }
    let words = (byteCount + 7) / 8
    unsafe withUnsafeTemporaryAllocation(of: UInt64.self, capacity: words) { payload in
      let start = unsafe payload.baseAddress.unsafelyUnwrapped
      unsafe start[words - 1] = 0
      unsafe UnsafeMutableRawPointer(start + 1).storeBytes(of: fields, as: Fields.self)
      unsafe core.record(event, start, words: words)
    }
  }
}
