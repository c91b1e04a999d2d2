// SPDX-License-Identifier: Apache-2.0

extension InterferenceLedger {
  /// What the CPUs of a ledger met in one interval.
  public struct Snapshot: Sendable, CustomStringConvertible {
    /// How long the interval was.
    public let interval: Duration
    /// One row for each CPU, in their order.
    public let rows: [Row]

    init(from earlier: Reading, to later: Reading) {
      let interval = earlier.moment.duration(to: later.moment)
      self.interval = interval
      rows = zip(earlier.cpus, later.cpus).map { earlier, later in
        Row(
          cpu: later.cpu, interval: interval, later.counts.since(earlier.counts),
          kicks: Self.since(earlier.kicks, later.kicks))
      }
    }

    private static func since(_ earlier: [Kick], _ later: [Kick]) -> [Kick] {
      later.compactMap { kick in
        let before = earlier.first { $0.sender == kick.sender && $0.work == kick.work }?.count ?? 0
        return kick.count == before
          ? nil
          : Kick(
            sender: kick.sender, work: kick.work, callSite: kick.callSite,
            count: kick.count - before)
      }
    }

    /// The row of a CPU; nil if the ledger does not have it.
    ///
    /// - Parameter cpu: any number.
    /// - Returns: the row; nil if the ledger does not have that CPU.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public subscript(cpu: Int) -> Row? { rows.first { $0.cpu == cpu } }

    /// The figures of all rows, for a metrics system.
    public var samples: [Sample] { rows.flatMap(\.samples) }

    /// The rows, a line each.
    public var description: String { rows.map(\.description).joined(separator: "\n") }
  }

  /// A snapshot for every interval, without end. It ends when the task is cancelled.
  public struct Snapshots: AsyncSequence, Sendable {
    let ledger: InterferenceLedger
    let interval: Duration

    /// Begins the first interval.
    ///
    /// - Progress: blocking
    /// - Context: any thread
    /// - Allocates: yes
    public func makeAsyncIterator() -> Iterator {
      Iterator(ledger: ledger, interval: interval, last: ledger.read())
    }

    /// Where one reader of the sequence is.
    public struct Iterator: AsyncIteratorProtocol {
      let ledger: InterferenceLedger
      let interval: Duration
      var last: Reading

      /// Waits for the end of the interval, and tells what came in it; nil when the task is
      /// cancelled.
      ///
      /// - Progress: blocking
      /// - Context: any task
      /// - Allocates: yes
      public mutating func next() async -> Snapshot? {
        do {
          try await ContinuousClock().sleep(until: last.moment + interval)
        } catch {
          return nil
        }
        let now = ledger.read()
        defer { last = now }
        return Snapshot(from: last, to: now)
      }
    }
  }
}
