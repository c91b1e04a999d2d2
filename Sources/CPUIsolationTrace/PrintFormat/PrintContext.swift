// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// One event whose fields are asked for, and what its addresses mean.
struct PrintContext {
  let payload: ArraySlice<UInt8>
  let symbols: TraceSymbols

  /// Unsigned, whatever the field's sign.
  func number(of field: TraceEventFormat.Field) -> UInt64 {
    payload.unsigned(at: field.offset, size: field.size) ?? 0
  }

  /// The bytes that a field's location word leads to.
  func content(of field: TraceEventFormat.Field) -> ArraySlice<UInt8> {
    let range = unsafe payload.span.bytes.content(at: field.offset, base: Int(field.locationBase))
    return payload[payload.startIndex + range.lowerBound..<payload.startIndex + range.upperBound]
  }
}
