// SPDX-License-Identifier: Apache-2.0

extension AddressSpace {
  /// How many base pages a mapping spans.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public enum PageSize: Int, Hashable, Sendable, CaseIterable {
    /// One page.
    case base = 0
    /// 512 pages.
    case large = 1
    /// 512 × 512 pages.
    case huge = 2

    /// How many base pages.
    public var pages: UInt64 { 1 << UInt64(9 * rawValue) }
  }
}
