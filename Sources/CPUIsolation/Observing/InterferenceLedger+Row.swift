// SPDX-License-Identifier: Apache-2.0

extension InterferenceLedger {
  /// What one CPU met in one interval.
  public struct Row: Sendable, CustomStringConvertible {
    /// The CPU.
    public let cpu: Int
    /// The processor that its thread is bound to; nil if it is bound to none, or there is no thread.
    public let processor: Int?
    /// The kernel's number of its thread.
    public let thread: Int32?
    /// How long the interval was.
    public let interval: Duration
    /// The devices that interrupted the processor; nil where interrupts are not visible.
    public let devices: [Source]?
    /// The other kinds of interrupt that came, by the kernel's own titles; nil where interrupts are
    /// not visible.
    public let others: [Source]?
    /// The kicks that the coordinator sent, by sender and work.
    public let kicks: [Kick]

    private let reading: Counts

    package init(
      cpu: Int, interval: Duration, _ reading: Counts, kicks: [Kick] = []
    ) {
      self.cpu = cpu
      self.interval = interval
      self.reading = reading
      self.kicks = kicks
      processor = reading.processor
      thread = reading.thread
      func sources(_ column: Column, isDevice: Bool) -> [Source]? {
        guard case .count = reading[column] else { return nil }
        return reading.sources.filter { $0.isDevice == isDevice && $0.count > 0 }
          .map { Source(label: $0.label, name: $0.name, count: $0.count) }
      }
      devices = sources(.deviceInterrupts, isDevice: true)
      others = sources(.otherInterrupts, isDevice: false)
    }

    /// The figure of a column: a number of events, or nanoseconds; nil where it is not visible.
    ///
    /// - Parameter column: what is counted.
    /// - Returns: the figure since the snapshot's beginning; nil where `reason` says why not.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public subscript(column: Column) -> UInt64? {
      if case .count(let count) = reading[column] { return count }
      return nil
    }

    /// Why a column is not visible; nil if it is.
    ///
    ///     row.reason(.tlbShootdowns)
    ///     // "/proc/interrupts is hidden, as containers do: it has no processors"
    ///
    /// - Parameter column: what is counted.
    /// - Returns: a sentence, with the file that is missing or hidden.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public func reason(_ column: Column) -> String? {
      if case .notVisible(let reason) = reading[column] { return reason }
      return nil
    }

    /// What came, in one line; what is not visible has a question mark.
    public var description: String {
      let figures = Column.allCases.compactMap { column -> String? in
        guard let count = self[column] else { return "\(column.rawValue) ?" }
        return count == 0 ? nil : "\(column.rawValue) \(count)\(column.isTime ? " ns" : "")"
      }
      let text = figures.isEmpty ? "nothing" : figures.joined(separator: ", ")
      return "CPU \(cpu): \(text)"
    }

    /// The figures that are visible, for a metrics system. What is not visible has no sample: 0
    /// would be another claim.
    public var samples: [Sample] {
      Column.allCases.compactMap { column in
        self[column].map { Sample(name: column.metric, cpu: cpu, source: nil, value: $0) }
      }
        + (devices ?? []).map {
          Sample(
            name: "cpu_isolation_device_interrupts_by_source_total", cpu: cpu, source: $0.name,
            value: $0.count)
        }
    }
  }

  /// Something that interrupted a processor.
  public struct Source: Hashable, Sendable {
    /// What `/proc/interrupts` calls the row: the number of the interrupt, or letters.
    public let label: String
    /// The device, or the kernel's title of the kind.
    public let name: String
    /// How often.
    public let count: UInt64
  }

  /// Kicks of one sender to one CPU for one kind of work.
  public struct Kick: Hashable, Sendable {
    /// The number of the sender: 0 is all threads that have none, 1 the watchdog.
    public let sender: Int
    /// The name of the work type; nil for cross calls.
    public let work: String?
    /// The file and line of the sender's last call of this kind, which need not be one that kicked;
    /// nil if it is not known.
    public let callSite: String?
    /// How many kicks.
    public let count: UInt64
  }

  /// One figure for a metrics system.
  public struct Sample: Hashable, Sendable {
    /// The name: `cpu_isolation_tlb_shootdowns_total`, or for times `…_nanoseconds`.
    public let name: String
    /// The CPU: the first label.
    public let cpu: Int
    /// The device, where the figure is one device's: the second label.
    public let source: String?
    /// The figure.
    public let value: UInt64
  }
}
