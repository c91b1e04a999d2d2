// SPDX-License-Identifier: Apache-2.0

extension DemoReport {
  /// The report for people.
  var text: String {
    let halves = modes.map(\.text).joined(separator: "\n")
    let unsound =
      "\nNOT SOUND: a send was lost, something illegal was seen, or counts do not add up or differ.\n"
    return halves + (badCase.map { "\n" + $0.text } ?? "") + (isSound ? "" : unsound)
  }
}

extension ModeReport {
  fileprivate var text: String {
    var text = broken.map { $0.sentence + "\n" } ?? ""
    text += ipiTable + "\n"
    if let kernel, let kernelAgreement { text += kernelTable(kernel, kernelAgreement) + "\n" }
    text += table(
      [
        "callback", "sent", "ipis", "deferred", "queued", "coalesced", "executed", "pending",
        "gone",
      ],
      callbacks.map { row in
        let counts = [
          row.sent, row.ipis, row.deferred, row.queued, row.merged, row.executed, row.pending,
          row.gone,
        ]
        return [row.callback.name] + counts.map { "\($0)" }
      })
    text +=
      isBalanced ? "sent = executed + coalesced + pending + gone\n" : "THE COUNTS DO NOT ADD UP\n"
    text += "lost: \(lost)\n"
    text += "violations: \(legality.violations)\n"
    if let first = legality.first { text += "the first one: \(first)\n" }
    let checked = legality.checked.counts.map { "\($0.count) \($0.name)" }
    text += "judged: \(checked.joined(separator: ", "))\n"
    if let refusal = legality.refusal { text += "no code was patched: \(refusal)\n" }
    text += "oldest pending: \(decimal(oldestPending / .milliseconds(1), 1)) ms\n"
    text += "transitions of isolated CPUs: \(transitions)\n"
    for refusal in quietRefusals { text += "memory is not quiet: \(refusal)\n" }
    text += "\n"
    return text + noiseTable
  }

  /// As `sort | uniq -c` would print the callbacks of the trace.
  private var ipiTable: String {
    let title =
      traced.hasDefaultFilters ? "IPIs to isolated CPUs" : "IPIs that the filter lets through"
    var text = "\(mode.rawValue): \(title)\n"
    let known = callbacks.map(\.callback.name)
    for name in Set(known).union(traced.ipis.keys).sorted() {
      text += "\(right(traced.ipis[name, default: 0], 7)) callback=\(name)\n"
    }
    text += "\(right(traced.total, 7)) in all\n"
    switch agreement {
    case .equal: return text + "counted from the trace; the statistics say the same\n"
    case .notMade(let reason):
      return text + "counted from the trace; not compared with the statistics: \(reason)\n"
    case .different(let counts):
      return text + "THE STATISTICS SAY OTHERWISE: \(counts.joined(separator: "; "))\n"
    }
  }

  /// The kernel's table beside ours.
  private func kernelTable(
    _ kernel: KernelAccount, _ agreement: IPICounts.Agreement
  ) -> String {
    let title =
      "\(mode.rawValue): interrupts of processors \(kernel.processors), by the kernel's count\n"
    if let refusal = kernel.refusal {
      return "\(mode.rawValue): no count by the kernel: \(refusal)\n"
    }
    var text = title
    for (kind, count) in kernel.rows {
      text += "\(right(count.total, 7)) callback=\(kind.callback) sender=\(kind.sender)"
      text += " at=\(kind.callSite)"
      switch kind.origin {
      case .own: text += kind.isOurSignal ? ", our signal" : ", of this process"
      case .other: break
      case .unknown: text += ", of an unknown process"
      }
      if kind.isFromInterrupt { text += ", inside an interrupt" }
      text += count.setUp == 0 ? "\n" : "; \(count.setUp) of them in set-up\n"
    }
    text += "\(right(kernel.interrupts, 7)) in all, \(kernel.signalInterrupts) with our signals\n"
    let rest = kernel.ownRest.filter { $0.value.run > 0 }.sorted { $0.key < $1.key }
    let names = rest.map { "\($0.value.run) \($0.key)" }.joined(separator: ", ")
    text += "besides signals, after set-up, from this process: \(names.isEmpty ? "none" : names)\n"
    switch agreement {
    case .equal: return text + "\(kernel.signals) signals sent; the statistics say the same\n"
    case .notMade(let reason):
      return text + "signals are not compared with the statistics: \(reason)\n"
    case .different(let counts):
      return text + "THE STATISTICS SAY OTHERWISE: \(counts.joined(separator: "; "))\n"
    }
  }

  private var noiseTable: String {
    let rows = noise.count == 1 ? noise : noise + [Noise(sumOf: noise)]
    return table(
      [
        "noise of CPU", "runtime us", "noise us", "% available", "max single us", "signal", "drain",
        "unknown",
      ],
      rows.map { row in
        [
          row.cpu.map { "\($0)" } ?? "all", decimal(row.runtime, 0), decimal(row.noise, 0),
          decimal(row.percentAvailable, 5), decimal(row.maximumSingle, 1), "\(row.signals)",
          "\(row.drains)", "\(row.unknown)",
        ]
      })
  }
}

extension BadCaseReport {
  fileprivate var text: String {
    let factor = idle > 0 ? " (\(decimal(storm / idle, 1)) times)" : ""
    return """
      bad case: a loop that does nothing but leave and enter kernel
      \(right(decimal(idle, 2), 9)) ns per round trip, nothing pending
      \(right(decimal(storm, 2), 9)) ns per round trip, senders storming\(factor)

      """
  }
}

/// Columns as wide as they have to be: the first to the left, numbers to the right.
private func table(_ head: [String], _ rows: [[String]]) -> String {
  let lines = [head] + rows
  let widths = head.indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
  return lines.map { line in
    let cells = line.indices.map { column in
      column == 0
        ? line[0] + spaces(widths[0] - line[0].count) : right(line[column], widths[column])
    }
    return cells.joined(separator: "  ") + "\n"
  }.joined()
}

private func right(_ value: some CustomStringConvertible, _ width: Int) -> String {
  let text = value.description
  return spaces(width - text.count) + text
}

private func spaces(_ count: Int) -> String { String(repeating: " ", count: max(0, count)) }
