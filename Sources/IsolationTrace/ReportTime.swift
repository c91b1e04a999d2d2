// SPDX-License-Identifier: Apache-2.0

/// A time as the report prints it: seconds with decimals, or ticks.
struct ReportTime: Equatable {
  let text: String
  private let whole: UInt64
  /// Up to nine decimals, as nanoseconds.
  private let nanoseconds: UInt64
  private let decimals: Int

  init(_ text: String, _ option: String) throws(UsageError) {
    let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    let decimals = parts.count == 2 ? parts[1] : ""
    func isNumber(_ text: Substring) -> Bool { text.utf8.allSatisfy { (48...57).contains($0) } }
    guard let first = parts.first, !first.isEmpty, isNumber(first), let whole = UInt64(first),
      isNumber(decimals), decimals.utf8.count <= 9, parts.count == 1 || !decimals.isEmpty
    else {
      throw UsageError("\(option) wants seconds as the report prints them, not \"\(text)\"")
    }
    self.text = text
    self.whole = whole
    self.decimals = decimals.utf8.count
    nanoseconds = (decimals.utf8.count..<9).reduce(UInt64(decimals) ?? 0) { value, _ in value * 10 }
  }

  init(_ stamp: UInt64, countsNanoseconds: Bool) {
    (whole, nanoseconds) =
      countsNanoseconds ? stamp.quotientAndRemainder(dividingBy: 1_000_000_000) : (stamp, 0)
    decimals = countsNanoseconds ? 9 : 0
    let digits = String(nanoseconds)
    let zeros = String(repeating: "0", count: 9 - digits.utf8.count)
    text = countsNanoseconds ? "\(whole).\(zeros)\(digits)" : "\(whole)"
  }

  /// The stamps that are printed like this. Those of up to six decimals are rounded, unless the
  /// report has all nine; nil where ticks are counted and this has decimals.
  func stamps(countsNanoseconds: Bool, isExact: Bool) -> ClosedRange<UInt64>? {
    guard countsNanoseconds else { return decimals == 0 ? whole...whole : nil }
    let (product, isLarge) = whole.multipliedReportingOverflow(by: 1_000_000_000)
    let (sum, isLarger) = product.addingReportingOverflow(nanoseconds)
    let stamp = isLarge || isLarger ? UInt64.max : sum
    if isExact || decimals > 6 { return stamp...stamp }
    return (stamp < 500 ? 0 : stamp - 500)...(stamp > .max - 499 ? .max : stamp + 499)
  }
}
