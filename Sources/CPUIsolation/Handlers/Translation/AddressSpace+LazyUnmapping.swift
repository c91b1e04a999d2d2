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

extension AddressSpace.LazyUnmapper {
  /// What became of an unmapping.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public enum Outcome: Hashable, Sendable {
    /// It waits in the batch. CPUs may go on with what they have cached.
    case batched
    /// It filled the batch, whose flush has been sent.
    case flushed
    /// Nothing was done: two batches are full. `purge` waits until there is room.
    case full
  }
}
