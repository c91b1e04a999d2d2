// SPDX-License-Identifier: Apache-2.0

extension KernelLedger {
  /// Reads the lines of a trace pipe, and joins the events that are parts of one interrupt.
  ///
  /// A function call shows as `csd_queue_cpu`, which names the function, and then as `ipi_send_cpu` of
  /// the same thread, which names the kernel's way of calling. A signal shows as an `ipi_send_cpu`
  /// where its target runs, and then as `signal_generate` of the same thread.
  package struct TraceParser: Sendable {
    private let processors: CPUMask
    /// The kernel's number of this process, once it is known.
    private(set) var process: Int32?
    /// What this process alone writes into its trace.
    private let mark: String
    private var rest: [UInt8] = []
    private var report = KernelLedger.Report()
    /// The function that a thread has queued last, by target.
    private var queued: [Target: String] = [:]

    private struct Target: Hashable {
      var thread: Int32
      var processor: Int
    }

    /// - Parameters:
    ///   - processors: whose interrupts are of interest.
    ///   - process: the number of this process for the kernel; nil takes it from where the mark is found.
    ///   - mark: a text that this process alone writes into its trace.
    package init(processors: CPUMask, process: Int32?, mark: String = "") {
      self.processors = processors
      self.process = process
      self.mark = mark
    }

    /// What has been read since the last time.
    package mutating func takeReport() -> KernelLedger.Report {
      defer { report = KernelLedger.Report() }
      report.process = process
      if process == nil { report.signals = nil } else { report.signals = report.signals ?? [:] }
      return report
    }

    /// Reads lines; a piece of one at the end waits for the rest.
    package mutating func parse(_ bytes: [UInt8]) {
      rest += bytes
      guard let end = rest.lastIndex(of: UInt8(ascii: "\n")) else { return }
      let text = String(decoding: rest[..<end], as: UTF8.self)
      rest.removeSubrange(...end)
      for line in text.split(separator: "\n") { read(line) }
    }

    /// A line up to the name of its event.
    private struct Line {
      var name: Substring
      var thread: Int32
      var process: Int32?
      var isInInterrupt: Bool
      var moment: Duration
      var event: Substring
      var fields: Substring

      func field(_ key: String) -> Substring? {
        for word in fields.split(separator: " ") where word.hasPrefix(key + "=") {
          return word.dropFirst(key.count + 1)
        }
        return nil
      }
    }

    private mutating func read(_ line: Substring) {
      if let lost = line.firstRange(of: "[LOST ") {
        report.lost += UInt64(line[lost.upperBound...].prefix { $0.isNumber }) ?? 0
        return
      }
      guard let line = Self.line(line) else {
        report.unknown += 1
        return
      }
      switch line.event {
      case "csd_queue_cpu":
        guard let target = line.field("cpu").flatMap({ Int($0) }), let function = line.field("func")
        else { break }
        queued[Target(thread: line.thread, processor: target)] = String(function)
        return
      case "ipi_send_cpu":
        guard let target = line.field("cpu").flatMap({ Int($0) }) else { break }
        note(line, [target])
        return
      case "ipi_send_cpumask":
        guard let mask = line.field("cpumask").flatMap({ CPUMask(hexWords: $0) }) else { break }
        note(line, mask.intersection(processors))
        return
      case "signal_generate":
        guard let target = line.field("pid").flatMap({ Int32($0) }) else { break }
        if let process, line.process == process {
          report.signals = (report.signals ?? [:]).merging([target: 1], uniquingKeysWith: +)
          markSignal(of: line.thread, at: line.moment)
        }
        return
      case "tracing_mark_write":
        if line.fields == mark, let process = line.process { self.process = process }
        return
      default: break
      }
      report.unknown += 1
    }

    private mutating func note(_ line: Line, _ targets: CPUMask) {
      let callback = line.field("callback") ?? "0x0"
      for target in targets where processors.contains(target) {
        let function = queued.removeValue(forKey: Target(thread: line.thread, processor: target))
        report.entries.append(
          KernelLedger.Entry(
            processor: target, thread: line.thread, threadName: String(line.name),
            process: line.process,
            // A rescheduling interrupt calls nothing.
            callback: callback == "0x0"
              ? "rescheduling" : function ?? String(callback.prefix { $0 != "+" }),
            callSite: String(line.field("callsite") ?? "unknown"), moment: line.moment,
            isFromInterrupt: line.isInInterrupt))
      }
    }

    /// Between the interrupt and the record of its signal the sender does nothing else.
    private static let signalTime = Duration.milliseconds(1)

    private mutating func markSignal(of thread: Int32, at moment: Duration) {
      guard
        let last = report.entries.lastIndex(where: { entry in
          entry.thread == thread || moment - entry.moment > Self.signalTime
        }), report.entries[last].thread == thread,
        report.entries[last].callback == "rescheduling", !report.entries[last].isOwnSignal,
        moment - report.entries[last].moment <= Self.signalTime
      else { return }
      report.entries[last].isOwnSignal = true
    }

    /// The third flag: handlers of interrupts, of what they leave for later, and of NMIs.
    private static let interruptFlags: Set<Character> = ["h", "H", "s", "z", "Z"]

    /// `comm-12  (  10) [001] d..1.  4245.273607: event: fields`: names may have blanks, dashes and
    /// parentheses.
    private static func line(_ text: Substring) -> Line? {
      guard let bracket = text.firstRange(of: ") ["),
        let open = text[..<bracket.lowerBound].lastIndex(of: "("),
        let dash = text[..<open].lastIndex(of: "-"),
        let thread = Int32(text[text.index(after: dash)..<open].filter { $0 != " " })
      else { return nil }
      let group = text[text.index(after: open)..<bracket.lowerBound].filter { $0 != " " }
      let words = text[bracket.upperBound...].split(
        separator: " ", maxSplits: 4, omittingEmptySubsequences: true)
      guard words.count >= 4, words[2].hasSuffix(":"), words[3].hasSuffix(":"),
        let moment = duration(words[2].dropLast())
      else { return nil }
      return Line(
        name: text[..<dash].drop { $0 == " " }, thread: thread, process: Int32(group),
        isInInterrupt: words[1].dropFirst(2).first.map(interruptFlags.contains) ?? false,
        moment: moment, event: words[3].dropLast(), fields: words.count > 4 ? words[4] : "")
    }

    private static func duration(_ text: Substring) -> Duration? {
      let parts = text.split(separator: ".")
      guard parts.count == 2, parts[1].utf8.count == 6, let seconds = Int64(parts[0]),
        let microseconds = Int64(parts[1])
      else { return nil }
      return .seconds(seconds) + .microseconds(microseconds)
    }
  }
}
