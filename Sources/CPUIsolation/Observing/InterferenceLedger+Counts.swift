// SPDX-License-Identifier: Apache-2.0

extension InterferenceLedger {
  /// A number that the system counts, or why it is not known.
  package enum Figure: Hashable, Sendable {
    case count(UInt64)
    case notVisible(String)

    /// Applies a function to two numbers that are known.
    func combined(
      with other: Figure, _ function: (UInt64, UInt64) -> UInt64
    ) -> Figure {
      switch (self, other) {
      case (.count(let left), .count(let right)): .count(function(left, right))
      case (.notVisible, _): self
      case (_, .notVisible): other
      }
    }
  }

  /// What has been counted so far for one processor and the thread that is bound to it.
  package struct Counts: Sendable {
    private var figures: [Figure]
    /// The kinds of interrupt that the columns do not name, and the devices, by row of the table.
    package var sources: [Source] = []
    package var thread: Int32? = nil
    package var processor: Int? = nil
    /// The signals that the library itself sent to the thread.
    package var signals: UInt64 = 0
    /// The shootdowns that are among the function calls, where the kernel counts them.
    package var shootdowns: UInt64 = 0

    /// A row of the table of interrupts.
    package struct Source: Hashable, Sendable {
      package let label: String
      package let name: String
      package let isDevice: Bool
      package let count: UInt64
    }

    package init(notVisible reason: String) {
      figures = Column.allCases.map { _ in .notVisible(reason) }
    }

    package subscript(column: Column) -> Figure {
      get { figures[column.index] }
      set { figures[column.index] = newValue }
    }

    /// What has been counted between an earlier reading and this one.
    package func since(_ earlier: Counts) -> Counts {
      guard thread == earlier.thread, processor == earlier.processor else {
        var none = Counts(notVisible: "another thread took the CPU meanwhile")
        none[.kicks] = self[.kicks].combined(with: earlier[.kicks], Self.difference)
        none.thread = thread
        none.processor = processor
        return none
      }
      var result = self
      for column in Column.allCases {
        result[column] = self[column].combined(with: earlier[column], Self.difference)
      }
      result.signals = signals - earlier.signals
      result.shootdowns = Self.difference(shootdowns, earlier.shootdowns)
      result.sources = Self.difference(sources, earlier.sources)
      for (column, isDevice) in Self.sums {
        guard case .count = result[column] else { continue }
        result[column] = .count(
          result.sources.filter { $0.isDevice == isDevice }.reduce(0) { $0 + $1.count })
      }
      // One interrupt may bring several calls, and a signal may need none: no figure gets negative.
      if case .count(let calls) = result[.functionCalls] {
        result[.functionCalls] = .count(calls - min(calls, result.shootdowns))
      }
      if case .count(let sent) = result[.rescheduling] {
        result[.rescheduling] = .count(sent - min(sent, result.signals))
      }
      return result
    }

    private static let sums: [(Column, isDevice: Bool)] = [
      (.deviceInterrupts, true), (.otherInterrupts, false),
    ]

    /// The kernel's counts of interrupts have 32 bits. One that has gone back otherwise was read
    /// beside another that it is compared with, and has not moved.
    static func difference(_ now: UInt64, _ before: UInt64) -> UInt64 {
      if now >= before { return now - before }
      let wrapped = (now &- before) & 0xffff_ffff
      return before <= 0xffff_ffff && wrapped < 1 << 31 ? wrapped : 0
    }

    /// A device that gets its interrupt anew counts from 0, or stands in a new row.
    private static func difference(_ now: [Source], _ before: [Source]) -> [Source] {
      let before = Dictionary(
        before.map { ([$0.label, $0.name], $0.count) }, uniquingKeysWith: { first, _ in first })
      return now.map { source in
        let last = before[[source.label, source.name]] ?? 0
        let isNew = source.count < last && source.count < 1 << 31 && last < 1 << 31
        return Source(
          label: source.label, name: source.name, isDevice: source.isDevice,
          count: isNew ? source.count : difference(source.count, last))
      }
    }
  }
}
