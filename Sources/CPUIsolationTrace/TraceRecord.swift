// SPDX-License-Identifier: Apache-2.0

/// One event of a recording.
///
/// ```swift
/// for record in recording.records() {
///   print(record.cpu, record.timestamp, recording.format(of: record)?.name ?? "?")
/// }
/// ```
///
/// The payload is what the event's format describes, common fields included. A payload that was
/// read may have zeros after it: records end at whole words of four bytes.
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: never; records of one page share its bytes
public struct TraceRecord: Sendable {
  /// Nanoseconds, or ticks where the recording's clock counts those.
  public let timestamp: UInt64
  /// The CPU that recorded it.
  public let cpu: Int
  /// Which of the recording's buffers it is from: an index into `TraceRecording.buffers`.
  public let buffer: Int
  /// Set if events of this CPU are missing before this one.
  public let loss: TraceLoss?

  let page: [UInt8]
  let range: Range<Int>

  /// The payload's bytes. The indices are those of the page it lies on.
  var payload: ArraySlice<UInt8> { page[range] }

  /// The number of the event's format.
  public var event: Int { Int(payload.littleEndian(UInt16.self, at: 0) ?? 0) }

  /// The thread that was recorded: the common field `common_pid`.
  public var thread: Int32 {
    Int32(bitPattern: payload.littleEndian(UInt32.self, at: 4) ?? 0)
  }

  /// Lends the payload's bytes.
  ///
  /// ```swift
  /// let size = record.withPayload { $0.byteCount }
  /// ```
  ///
  /// - Parameter body: borrows the bytes, and cannot keep them.
  /// - Returns: what `body` returned.
  /// - Progress: wait-free, if the body is
  /// - Context: any thread
  /// - Allocates: never
  public func withPayload<Result>(_ body: (RawSpan) -> Result) -> Result {
    unsafe body(page.span.bytes.extracting(range))
  }
}
