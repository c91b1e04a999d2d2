// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// A place in a program where an event of its own is recorded.
///
///     let refreshed = try coordinator.tracer.declare(format)
///     refreshed.record((UInt32(count), UInt32(version)))
///
/// While the event is off, `record` is one load and a branch, and its argument is not evaluated.
/// Keep it in a constant, a `let` of a type or of a function: a copy counts a reference.
///
/// - Progress: wait-free
/// - Context: any thread, also inside a handler or an interrupt
/// - Allocates: never
// Sendable: an address of an atomic word, which lives as long as the coordinator does.
@safe
public struct Tracepoint: @unchecked Sendable {
  /// Keeps the memory that the others lead to.
  @usableFromInline let coordinator: Coordinator
  @usableFromInline let core: CoordinatorCore
  /// The word of `core` that says which events are recorded.
  @usableFromInline let traced: Place<SharedWord>
  @usableFromInline let event: TraceEvent
  /// The bytes of the fields.
  @usableFromInline let size: Int

  init(_ coordinator: Coordinator, _ event: TraceEvent, byteCount: Int) {
    self.coordinator = coordinator
    core = coordinator.core
    traced = core.traced
    self.event = event
    size = byteCount - TraceEventFormat.commonSize
  }

  /// Whether the event is recorded.
  ///
  /// - Progress: wait-free
  /// - Context: any thread, also inside a handler or an interrupt
  /// - Allocates: never
  @inlinable @inline(__always)
  public var isOn: Bool { traced.value.load(ordering: .relaxed) & event.bit != 0 }

  /// Records the event, if it is on and its filter agrees.
  ///
  /// `fields` is a value whose bytes are those of the declared fields in their order: a number, a
  /// tuple or a struct of numbers. A value of another size than the fields have stops the process.
  ///
  /// - Parameter fields: evaluated only while the event is on.
  /// - Progress: wait-free
  /// - Context: any thread, also inside a handler or an interrupt
  /// - Allocates: never
  @inlinable @inline(__always)
  public func record<Fields: BitwiseCopyable>(_ fields: @autoclosure () -> Fields) {
    if _slowPath(isOn) { recordOn(fields) }
  }

  /// Specialised where it is called, so that the size of the record is a constant.
  @inlinable @inline(__always)
  func recordOn<Fields: BitwiseCopyable>(_ fields: () -> Fields) {
    guard MemoryLayout<Fields>.size == size else { Self.refuse(Fields.self, size) }
    // The common fields take the first word.
    let words = 1 &+ (MemoryLayout<Fields>.size &+ 7) / 8
    // Safety: the payload has room for the common word and the fields.
    unsafe withUnsafeTemporaryAllocation(of: UInt64.self, capacity: words) { payload in
      let start = unsafe payload.baseAddress.unsafelyUnwrapped
      unsafe start[words &- 1] = 0
      unsafe UnsafeMutableRawPointer(start + 1).storeBytes(of: fields(), as: Fields.self)
      // Safety: the payload has as many words.
      unsafe core.record(event, Table(start), words: words, at: 0)
      withExtendedLifetime(coordinator) {}
    }
  }

  @inlinable @inline(never)
  static func refuse<Fields>(_ type: Fields.Type, _ size: Int) -> Never {
    refuse("\(type)", of: MemoryLayout<Fields>.size, size)
  }

  @usableFromInline
  static func refuse(_ type: String, of bytes: Int, _ size: Int) -> Never {
    misuse("the fields of a trace event have \(size) bytes, not the \(bytes) of \(type)")
  }
}
