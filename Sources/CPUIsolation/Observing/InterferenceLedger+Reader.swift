// SPDX-License-Identifier: Apache-2.0

extension InterferenceLedger {
  /// Reads what the system has counted for processors and threads, of this process or another.
  package struct Reader: Sendable {
    private let files: SystemFiles
    /// Why shootdowns cannot be counted here, although there is a row for them.
    private let silentShootdowns: String?

    /// Everything that is read once for all processors.
    package struct Table: Sendable {
      var interrupts: InterruptCounts?
      var whyNot = ""
      /// The hypervisor's time by processor, in hundredths of a second; nil where it is not told.
      var stolen: [Int: UInt64]?
    }

    package init(_ files: SystemFiles) {
      self.files = files
      let flags = (try? files.text("/proc/cpuinfo"))?.split(separator: "\n")
        .first { $0.hasPrefix("flags") }?.split(separator: " ")
      silentShootdowns =
        flags?.contains("invlpgb") == true
        ? "this processor flushes translations of others without an interrupt (INVLPGB)" : nil
    }

    /// Reads what is there for all, through a buffer that the caller keeps.
    package func table(of processors: CPUMask?, _ buffer: inout [UInt8]) -> Table {
      var table = Table()
      do {
        try files.read("/proc/interrupts", into: &buffer)
        table.interrupts = InterruptCounts(buffer, processors: processors)
        table.whyNot = "/proc/interrupts is hidden, as containers do: it has no processors"
      } catch {
        table.whyNot = "\(error)"
      }
      if (try? files.read("/proc/stat", into: &buffer)) != nil {
        table.stolen = Self.stolen(buffer, processors)
      }
      return table
    }

    /// The eighth figures of the processors' lines.
    private static func stolen(_ bytes: [UInt8], _ processors: CPUMask?) -> [Int: UInt64] {
      var stolen: [Int: UInt64] = [:]
      for line in bytes.split(separator: UInt8(ascii: "\n")) {
        guard line.starts(with: "cpu".utf8) else { break }
        let fields = line.split(separator: UInt8(ascii: " "))
        guard fields.count > 8,
          let number = InterruptCounts.number(fields[0].dropFirst(3)).flatMap({ Int(exactly: $0) }),
          processors?.contains(number) ?? true
        else { continue }
        stolen[number] = InterruptCounts.number(fields[8])
      }
      return stolen
    }

    package func thread(
      _ id: Int32, of process: String
    ) throws(SystemFiles.Refusal) -> ThreadCounts {
      try ThreadCounts(files, process: process, thread: id)
    }

    /// What has been counted for a thread and for the processor that it is bound to.
    package func read(_ thread: ThreadCounts, _ table: Table) -> Counts {
      var reading: Counts
      if let processor = thread.processor {
        reading = read(processor: processor, table)
      } else {
        reading = Counts(
          notVisible:
            "thread \(thread.id) is not bound to one processor: it may run on \(thread.allowed)")
      }
      reading.thread = thread.id
      reading[.preemptions] = .count(thread.preemptions)
      reading[.sleeps] = .count(thread.sleeps)
      reading[.minorFaults] = .count(thread.minorFaults)
      reading[.majorFaults] = .count(thread.majorFaults)
      reading[.timeAway] =
        thread.waited.map { .count($0) } ?? .notVisible("this kernel does not count it (schedstat)")
      reading[.kicks] = .notVisible("the process's own coordinator knows")
      return reading
    }

    /// What has been counted for a processor alone.
    package func read(processor: Int, _ table: Table) -> Counts {
      var reading = Counts(notVisible: "no thread is known to be bound there")
      reading.processor = processor
      reading[.stolenTime] = stolen(processor, table)
      guard let interrupts = table.interrupts else {
        return Self.hide(&reading, table.whyNot)
      }
      guard let column = interrupts.column(of: processor) else {
        return Self.hide(&reading, "/proc/interrupts has no processor \(processor)")
      }
      func count(_ label: String, _ title: String) -> Figure {
        guard let row = interrupts.row(label, titled: title), row.isPerProcessor,
          row.counts.count > column
        else {
          return .notVisible("this kernel does not count \(title.lowercased())")
        }
        return .count(row.counts[column])
      }
      reading[.tlbShootdowns] =
        silentShootdowns.map { .notVisible($0) } ?? count("TLB", "TLB shootdowns")
      reading[.rescheduling] = count("RES", "Rescheduling interrupts")
      reading[.timer] = count("LOC", "Local timer interrupts")
      reading[.functionCalls] = count("CAL", "Function call interrupts")
      if case .count(let shootdowns) = count("TLB", "TLB shootdowns") {
        reading.shootdowns = shootdowns
      }
      let named = [
        ("TLB", "TLB shootdowns"), ("RES", "Rescheduling interrupts"),
        ("LOC", "Local timer interrupts"), ("CAL", "Function call interrupts"),
      ].compactMap { interrupts.row($0.0, titled: $0.1)?.label }
      reading.sources = interrupts.rows.compactMap { row in
        guard row.isPerProcessor, !named.contains(row.label), row.counts.count > column else {
          return nil
        }
        return Counts.Source(
          label: row.label, name: row.isDevice ? row.deviceName : row.title, isDevice: row.isDevice,
          count: row.counts[column])
      }
      reading[.deviceInterrupts] = .count(0)
      reading[.otherInterrupts] = .count(0)
      return reading
    }

    private static func hide(
      _ reading: inout Counts, _ reason: String
    ) -> Counts {
      for column in [
        Column.tlbShootdowns, .functionCalls, .rescheduling, .timer,
        .deviceInterrupts, .otherInterrupts,
      ] { reading[column] = .notVisible(reason) }
      return reading
    }

    private func stolen(_ processor: Int, _ table: Table) -> Figure {
      guard let stolen = table.stolen else { return .notVisible("/proc/stat cannot be read") }
      guard let ticks = stolen[processor] else {
        return .notVisible("/proc/stat has no processor \(processor)")
      }
      return .count(ticks * 10_000_000)
    }
  }
}
