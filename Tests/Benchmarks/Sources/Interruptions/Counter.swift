// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Foundation

/// Counts the interrupts of one processor that the calling thread causes.
struct Counter: Sendable {
  private let kernel: KernelLedger?
  private let ledger: InterferenceLedger
  private let processor: Int
  /// Why the figures are those of all processes; nil where the kernel tells this one's.
  let refusal: String?

  /// Interrupts per 1000 operations.
  struct Count: Sendable {
    var shootdowns = 0
    var calls = 0
    var rescheduling = 0
    var total: Int { shootdowns + calls + rescheduling }
    var line: String { "\(shootdowns) \(calls) \(rescheduling)" }

    init() {}

    /// From such a line.
    init?(_ line: some StringProtocol) {
      let figures = line.split(separator: " ").compactMap { Int($0) }
      guard figures.count == 3 else { return nil }
      (shootdowns, calls, rescheduling) = (figures[0], figures[1], figures[2])
    }
  }

  init(_ coordinator: Coordinator, processor: Int) {
    self.processor = processor
    ledger = InterferenceLedger(coordinator)
    do {
      kernel = try KernelLedger(processors: [processor], kibibytes: 65536)
      refusal = nil
    } catch {
      kernel = nil
      refusal = "interrupts of whatever process, by /proc/interrupts: \(error)"
    }
  }

  func count(_ operation: Operation) -> Count {
    // What is done once, at the first time, is done.
    operation.run(max(1, operation.count / 100))
    _ = read()
    let before = ledger.snapshot()
    operation.run(operation.count)
    var count = read() ?? difference(before, ledger.snapshot())
    func scale(_ figure: Int) -> Int { (figure * 1000 + operation.count / 2) / operation.count }
    count.shootdowns = scale(count.shootdowns)
    count.calls = scale(count.calls)
    count.rescheduling = scale(count.rescheduling)
    return count
  }

  /// What the kernel has recorded of this process since the last time; nil where it does not.
  private func read() -> Count? {
    guard let report = try? kernel?.read() else { return nil }
    if report.lost > 0 {
      FileHandle.standardError.write(Data("the kernel lost \(report.lost) events\n".utf8))
    }
    return report.entries.reduce(into: Count()) { count, entry in
      // What a timer sends that has found the thread running is not the thread's.
      guard entry.process == report.process, !entry.isFromInterrupt else { return }
      switch entry.callback {
      case "flush_tlb_func": count.shootdowns += 1
      case "rescheduling": count.rescheduling += 1
      default: count.calls += 1
      }
    }
  }

  private func difference(
    _ before: InterferenceLedger.Snapshot, _ after: InterferenceLedger.Snapshot
  ) -> Count {
    func figure(_ column: InterferenceLedger.Column) -> Int {
      Int((after[processor]?[column] ?? 0) - (before[processor]?[column] ?? 0))
    }
    var count = Count()
    count.shootdowns = figure(.tlbShootdowns)
    count.calls = figure(.functionCalls)
    count.rescheduling = figure(.rescheduling)
    return count
  }
}
