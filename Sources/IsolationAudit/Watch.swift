// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation
internal import Glibc

/// Counts what interrupts the processors, second by second.
struct Watch {
  private let machine: Machine
  private let reader: InterferenceLedger.Reader
  private var buffer: [UInt8] = []

  init(_ machine: Machine) {
    self.machine = machine
    reader = InterferenceLedger.Reader(machine.files)
  }

  private struct Reading {
    var moment: ContinuousClock.Instant
    var rows: [(processor: Int, counts: InterferenceLedger.Counts)]
  }

  /// Counts for so long, and hands out the rows of every second; the last may be shorter.
  mutating func run(for duration: Duration, _ body: ([InterferenceLedger.Row]) -> Void) {
    let end = ContinuousClock.now + duration
    var last = read()
    while last.moment < end {
      let next = min(last.moment + .seconds(1), end)
      Self.sleep(until: next)
      let now = read()
      let interval = last.moment.duration(to: now.moment)
      body(
        zip(last.rows, now.rows).map { earlier, later in
          InterferenceLedger.Row(
            cpu: later.processor, interval: interval, later.counts.since(earlier.counts))
        })
      last = now
    }
  }

  private mutating func read() -> Reading {
    let table = reader.table(of: machine.processors, &buffer)
    // Threads are looked up anew: a pool replaces them.
    let threads =
      machine.process.flatMap {
        try? ThreadCounts.all(machine.files, process: "\($0)")
      } ?? []
    return Reading(
      moment: .now,
      rows: machine.processors.map { processor in
        // Of several that are bound there the oldest: an audit says that there are several.
        guard let thread = threads.first(where: { $0.processor == processor }) else {
          return (processor, reader.read(processor: processor, table))
        }
        return (processor, reader.read(thread, table))
      })
  }

  private static func sleep(until moment: ContinuousClock.Instant) {
    while true {
      let rest = ContinuousClock.now.duration(to: moment) / .microseconds(1)
      if rest <= 0 { return }
      usleep(UInt32(min(rest + 1, 1_000_000)))
    }
  }
}
