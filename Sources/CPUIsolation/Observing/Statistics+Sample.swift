// SPDX-License-Identifier: Apache-2.0

extension Coordinator.Statistics {
  /// One figure, in the form that metrics systems take: a name, labels, and a value.
  ///
  ///     for sample in coordinator.statistics().samples() {
  ///       Meter(label: "cpuisolation.\(sample.name)", dimensions: sample.labels).set(sample.value)
  ///     }
  ///
  /// The names are those of the members of ``Work`` and ``CPU``, after `work.`, `calls.` and `cpu.`. Durations are
  /// in seconds.
  ///
  /// - Progress: wait-free to read
  /// - Context: any thread
  /// - Allocates: never
  public struct Sample: Hashable, Sendable, CustomStringConvertible {
    /// How a figure moves.
    public enum Kind: Hashable, Sendable {
      /// It never falls while the coordinator is there.
      case counter
      /// It rises and falls.
      case gauge
    }

    /// What is counted, such as "work.deferred".
    public let name: String
    /// The name of the work type that it is about; nil if about none.
    public let work: String?
    /// The CPU that it is about; nil if it is a sum over all.
    public let cpu: Int?
    /// How it moves.
    public let kind: Kind
    /// The figure.
    public let value: Double

    /// The work type and the CPU, as metrics systems take them.
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: an array
    public var labels: [(String, String)] {
      (work.map { [("work", $0)] } ?? []) + (cpu.map { [("cpu", "\($0)")] } ?? [])
    }

    public var description: String {
      let labels = labels.map { "\($0.0)=\($0.1)" }.joined(separator: ",")
      return "\(name){\(labels)} \(value)"
    }
  }

  /// The figures of the registered work types and of the CPUs, one after the other.
  ///
  /// A type that is not registered has none, nor has what is not measured, such as the longest drain
  /// where drains are not timed.
  ///
  /// - Parameter perCPU: whether the figures of a work type come for each CPU; else summed over all. Those of a CPU
  ///   always come for each.
  /// - Returns: a sequence that makes each sample when it is asked for.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public func samples(perCPU: Bool = false) -> Samples {
    Samples(statistics: self, perCPU: perCPU)
  }

  /// The samples of a snapshot.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public struct Samples: Sequence, Sendable {
    let statistics: Coordinator.Statistics
    let perCPU: Bool

    /// Begins at the first sample.
    ///
    /// - Returns: the iterator.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public func makeIterator() -> Iterator { Iterator(statistics, perCPU: perCPU) }

    /// Where a walk through the samples is.
    ///
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public struct Iterator: IteratorProtocol {
      private let statistics: Coordinator.Statistics
      private let perCPU: Bool
      private var row = 0
      private var figure = 0
      private var work = Work()
      private var cpu = CPU()

      init(_ statistics: Coordinator.Statistics, perCPU: Bool) {
        self.statistics = statistics
        self.perCPU = perCPU
        begin()
      }

      /// The rows of work types come first, then those of CPUs.
      private var workRows: Int { statistics.registered.count * rowsPerType }
      private var rowsPerType: Int { perCPU ? statistics.cpus.count : 1 }
      /// The CPU of a row of work types; nil for the sum over all.
      private var workCPU: Int? { perCPU ? statistics.cpus[row % rowsPerType] : nil }

      private mutating func begin() {
        figure = 0
        if row < workRows {
          let type = statistics.registered[row / rowsPerType].bit
          work =
            perCPU
            ? statistics.work(type, at: row % rowsPerType) : statistics.sum(type)
        } else if row - workRows < statistics.cpus.count {
          cpu = statistics.cpu(at: row - workRows)
        }
      }

      /// The next sample; nil after the last.
      ///
      /// - Returns: the sample.
      /// - Progress: wait-free
      /// - Context: any thread
      /// - Allocates: never
      public mutating func next() -> Sample? {
        while true {
          let isWork = row < workRows
          if !isWork && row - workRows >= statistics.cpus.count { return nil }
          guard figure < (isWork ? Figure.ofWork.count : Figure.ofCPU.count) else {
            row += 1
            begin()
            continue
          }
          defer { figure += 1 }
          if isWork {
            let figure = Figure.ofWork[figure]
            guard let value = figure.value(work) else { continue }
            return Sample(
              name: figure.name, work: statistics.registered[row / rowsPerType].name,
              cpu: workCPU, kind: figure.kind, value: value)
          }
          let figure = Figure.ofCPU[figure]
          guard let value = figure.value(cpu) else { continue }
          return Sample(
            name: figure.name, work: nil, cpu: statistics.cpus[row - workRows], kind: figure.kind,
            value: value)
        }
      }
    }
  }

  /// What is read of a `Work` or a `CPU`, and what it is called.
  fileprivate struct Figure<Counts>: Sendable {
    let name: String
    let kind: Sample.Kind
    let value: @Sendable (Counts) -> Double?

    init(_ name: String, _ kind: Sample.Kind, _ value: @escaping @Sendable (Counts) -> Double?) {
      self.name = name
      self.kind = kind
      self.value = value
    }
  }
}

extension Coordinator.Statistics.Figure where Counts == Coordinator.Statistics.Work {
  static let ofWork: [Self] = [
    .init("work.sent", .counter) { Double($0.sent) },
    .init("work.merged", .counter) { Double($0.merged) },
    .init("work.deferred", .counter) { Double($0.deferred) },
    .init("work.queued", .counter) { Double($0.queued) },
    .init("work.interrupted", .counter) { Double($0.interrupted) },
    .init("work.ranInline", .counter) { Double($0.ranInline) },
    .init("work.ranOnBehalf", .counter) { Double($0.ranOnBehalf) },
    .init("work.skipped", .counter) { Double($0.skipped) },
    .init("work.gone", .counter) { Double($0.gone) },
    .init("work.executed", .counter) { Double($0.executed) },
    .init("work.caughtUp", .counter) { Double($0.caughtUp) },
    .init("work.escalated", .counter) { Double($0.escalated) },
    .init("work.pending", .gauge) { Double($0.pending) },
    .init("work.lag", .gauge) { Double($0.lag) },
    .init("work.oldestPending", .gauge) { $0.oldestPending.map(\.inSeconds) },
  ]
}

extension Coordinator.Statistics.Figure where Counts == Coordinator.Statistics.CPU {
  static let ofCPU: [Self] = [
    // Both begin anew with each thread.
    .init("cpu.transitions", .gauge) { Double($0.transitions) },
    .init("cpu.quiescentStates", .gauge) { Double($0.quiescentStates) },
    .init("cpu.idleInterrupts", .counter) { Double($0.idleInterrupts) },
    .init("cpu.refusedKicks", .counter) { Double($0.refusedKicks) },
    .init("cpu.longestDrain", .gauge) { $0.longestDrain.map(\.inSeconds) },
    .init("calls.sent", .counter) { Double($0.calls.sent) },
    .init("calls.interrupted", .counter) { Double($0.calls.interrupted) },
    .init("calls.executed", .counter) { Double($0.calls.executed) },
    .init("calls.gone", .counter) { Double($0.calls.gone) },
    .init("calls.pending", .gauge) { Double($0.calls.pending) },
  ]
}

extension Duration {
  fileprivate var inSeconds: Double { self / .seconds(1) }
}
