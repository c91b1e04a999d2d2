// SPDX-License-Identifier: Apache-2.0

extension AddressSpace {
  /// Takes mappings away without a flush: what is unmapped stays with the caller, who flushes
  /// later.
  func retireLazily(
    _ pages: Range<UInt64>, _ retired: inout [Retired], _ isUrgent: inout Bool, _ site: CallSite
  ) {
    table.asWriter { retire(pages, &retired, &isUrgent, site) }
  }

  /// Logs and sends the flush of what was unmapped before: of the ranges, if they are few, else of
  /// everything.
  func flush(
    _ ranges: [Range<UInt64>], pages: Int, _ retired: [Retired], isUrgent: Bool,
    _ file: StaticString, _ line: UInt
  ) -> AddressSpace.Retirement {
    let isAll = pages > core.ceiling || ranges.count > Int(core.ring.mask + 1) / 2
    table.asWriter {
      if isAll {
        _ = core.publish(0..<UInt64.max) {}
      } else {
        for range in ranges { _ = core.publish(range) {} }
      }
    }
    return acknowledge(retired, isUrgent: isUrgent, all: isAll, file, line)
  }
}
