// SPDX-License-Identifier: Apache-2.0

extension Duration {
  /// The whole nanoseconds of a duration, for clocks and system calls: 0 for a negative one, and at
  /// most 292 years, so that every value is legal, and a clock's time plus it is a number.
  ///
  /// The one conversion of the library: by way of `Double`, as a quotient is, a long duration ends
  /// the process.
  package var wholeNanoseconds: UInt64 {
    let (seconds, attoseconds) = components
    guard seconds >= 0, attoseconds >= 0 else { return 0 }
    let whole = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
    let sum = whole.partialValue.addingReportingOverflow(UInt64(attoseconds) / 1_000_000_000)
    return whole.overflow || sum.overflow
      ? UInt64(Int64.max) : min(sum.partialValue, UInt64(Int64.max))
  }
}
