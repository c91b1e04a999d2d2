// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

extension Coordinator {
  /// What a coordinator has counted so far: a snapshot that disturbs no CPU.
  ///
  ///     let statistics = coordinator.statistics()
  ///     let flushes = statistics[flush]
  ///     precondition(flushes.sent == flushes.executed + flushes.merged + flushes.pending + flushes.gone)
  ///
  /// Each figure is counted where the thing happens, none is derived from another, so that the
  /// equation is a check and not an identity. It holds whenever nothing is under way. `executed`
  /// counts runs of bits that a send had newly set, whoever ran them. A catch-up type has no bit for
  /// what it defers: its equation has `deferred` among the terms on the right, and its runs are
  /// `caughtUp`.
  ///
  /// - Progress: wait-free to read
  /// - Context: any thread
  /// - Allocates: at the snapshot
  public struct Statistics: Sendable {
    /// The counts of one work type on one CPU, or summed.
    public struct Work: Hashable, Sendable {
      /// Sends that were neither skipped nor rejected.
      public internal(set) var sent: UInt64 = 0
      /// Sends that found the work pending.
      public internal(set) var merged: UInt64 = 0
      /// Sends that set the bit of a CPU outside kernel; of a catch-up type, those that set none.
      public internal(set) var deferred: UInt64 = 0
      /// Sends that set the bit of a CPU in kernel, or of a sleeping housekeeper; of a catch-up type, of any
      /// CPU.
      public internal(set) var queued: UInt64 = 0
      /// Kicks that these sends made.
      public internal(set) var interrupted: UInt64 = 0
      /// Sends to the sender's own CPU that ran at once.
      public internal(set) var ranInline: UInt64 = 0
      /// Sends whose sender ran the work for the target.
      public internal(set) var ranOnBehalf: UInt64 = 0
      /// Targets that the predicate left out. Not part of `sent`.
      public internal(set) var skipped: UInt64 = 0
      /// Sends whose bit was taken back: nobody was there, or the type was unregistered.
      public internal(set) var gone: UInt64 = 0
      /// Runs for a bit that was set. One that finds its payload told by the run before it counts, and
      /// calls nobody.
      public internal(set) var executed: UInt64 = 0
      /// Runs of a catch-up type's handler for sends that left no bit; one run for all of them that
      /// the CPU lagged afterwards.
      public internal(set) var caughtUp: UInt64 = 0
      /// Sends of a catch-up type, to whichever CPU, that a CPU has not caught up with; summed, the
      /// highest.
      public internal(set) var lag: UInt64 = 0
      /// Bits that are set now.
      public internal(set) var pending: UInt64 = 0
      /// Deferrals that the watchdog made run because they were too old.
      public internal(set) var escalated: UInt64 = 0
      /// How long the oldest pending bit has been pending; nil if none is, or no watchdog measures.
      public internal(set) var oldestPending: Duration? = nil
      /// How long bits had been pending when they ran.
      public internal(set) var ages = AgeHistogram()

      static func += (sum: inout Work, other: Work) {
        sum.sent += other.sent
        sum.merged += other.merged
        sum.deferred += other.deferred
        sum.queued += other.queued
        sum.interrupted += other.interrupted
        sum.ranInline += other.ranInline
        sum.ranOnBehalf += other.ranOnBehalf
        sum.skipped += other.skipped
        sum.gone += other.gone
        sum.executed += other.executed
        sum.caughtUp += other.caughtUp
        sum.lag = max(sum.lag, other.lag)
        sum.pending += other.pending
        sum.escalated += other.escalated
        sum.ages += other.ages
        if let age = other.oldestPending {
          sum.oldestPending = max(age, sum.oldestPending ?? .zero)
        }
      }
    }

    /// The counts of one CPU.
    public struct CPU: Hashable, Sendable {
      /// Transitions since the thread attached: entries and exits, one each.
      public internal(set) var transitions: UInt64 = 0
      /// Quiescent states that the CPU has declared since the thread attached.
      public internal(set) var quiescentStates: UInt64 = 0
      /// The longest drain; nil unless `Configuration.timesDrains`.
      public internal(set) var longestDrain: Duration? = nil
      /// Signals that found nothing to do, or a thread that was about to look by itself.
      public internal(set) var idleInterrupts: UInt64 = 0
      /// Kicks by signal that the system refused, with `EAGAIN` while too many signals of this user are
      /// pending; the watchdog kicks again.
      public internal(set) var refusedKicks: UInt64 = 0
      /// Cross calls, those that declare themselves interrupt-safe and the others together. Here
      /// `gone` counts calls that were taken back, by a deadline or because nobody was there, and
      /// `pending` is 1 for a queue that is not empty, however long it is.
      public internal(set) var calls = Work()
    }

    /// By place of the CPU, the types that were ever registered, and the two kinds of cross calls.
    private let work: [Work]
    private let perCPU: [CPU]
    private let types: Int
    /// The CPUs that there are, in ascending order: each has its place here.
    let cpus: [Int]
    /// The types that are registered, with their names and bits.
    var registered: [(name: String, bit: Int)] = []

    /// The counts of a work type, over all CPUs. They belong to the bit: a type that took over the
    /// bit of an unregistered one continues its counts.
    ///
    /// - Parameter type: a type of the coordinator.
    /// - Returns: the sums over all CPUs.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public subscript(type: WorkType) -> Work { sum(type.bit) }

    /// The counts of a work type on one CPU.
    ///
    /// - Parameters:
    ///   - type: a type of the coordinator.
    ///   - cpu: the number of a CPU of the coordinator; any other ends the process with a sentence.
    ///   - file: the caller's file, for messages.
    ///   - line: the caller's line.
    /// - Returns: the counts there.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public subscript(
      type: WorkType, on cpu: Int, file: StaticString = #fileID, line: UInt = #line
    ) -> Work {
      work(type.bit, at: place(of: cpu, file, line))
    }

    func work(_ type: Int, at place: Int) -> Work {
      // A type that was never registered has counted nothing.
      type < types ? work[place * types + type] : Work()
    }

    func cpu(at place: Int) -> CPU { perCPU[place] }

    func sum(_ type: Int) -> Work {
      cpus.indices.reduce(into: Work()) { $0 += work(type, at: $1) }
    }

    /// Where a CPU's counts are.
    private func place(of cpu: Int, _ file: StaticString, _ line: UInt) -> Int {
      var (first, end) = (0, cpus.count)
      while first < end {
        let middle = (first + end) / 2
        if cpus[middle] < cpu { first = middle + 1 } else { end = middle }
      }
      if first < cpus.count, cpus[first] == cpu { return first }
      misuse("there are no statistics of CPU \(cpu): the CPUs are \(CPUMask(cpus))", file, line)
    }

    /// The counts of one CPU.
    ///
    /// - Parameters:
    ///   - cpu: the number of a CPU of the coordinator; any other ends the process with a sentence.
    ///   - file: the caller's file, for messages.
    ///   - line: the caller's line.
    /// - Returns: the counts.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public subscript(
      cpu cpu: Int, file: StaticString = #fileID, line: UInt = #line
    ) -> CPU {
      perCPU[place(of: cpu, file, line)]
    }

    /// The library's own threads that serve this coordinator, and where they run.
    public internal(set) var serviceThreads: [ServiceThread] = []

    /// `types` is how many there ever were: the bits above have never been used.
    init(_ core: CoordinatorCore, senders: [SenderSlot], types: Int, hasWatchdog: Bool) {
      let slots = core.slots
      let now = hasWatchdog ? core.clock.value.load(ordering: .relaxed) : nil
      let timesDrains = core.line.drainFlags.load(ordering: .relaxed) & DrainFlags.times != 0
      self.types = types
      cpus = Array(core.cpus)
      let calls = [Int(BuiltInWork.calls), Int(BuiltInWork.patientCalls)]
      var work: [Work] = []
      var perCPU: [CPU] = []
      work.reserveCapacity(cpus.count * types)
      perCPU.reserveCapacity(cpus.count)
      for cpu in cpus {
        for type in 0..<types {
          work.append(Self.count(slots[cpu], type, now: now))
          Self.countCatchUp(&work[work.count - 1], core, cpu, UInt64(type))
        }
        var counts = Self.count(slots[cpu], timesDrains: timesDrains)
        for kind in calls { counts.calls += Self.count(slots[cpu], kind, now: now) }
        perCPU.append(counts)
      }
      // Sender by sender, each from its first cell to its last: the cells of one are side by side, and those of two
      // are pages apart.
      for sender in senders {
        for (place, cpu) in cpus.enumerated() {
          for type in 0..<types {
            Self.add(sender.cell(target: cpu, type: UInt64(type)), to: &work[place * types + type])
          }
          for kind in calls {
            Self.add(sender.cell(target: cpu, type: UInt64(kind)), to: &perCPU[place].calls)
          }
        }
      }
      Self.addBroadcasts(of: senders, core, types: types, to: &work)
      self.work = work
      self.perCPU = perCPU
    }

    /// What the CPU itself has counted.
    private static func count(_ slot: CPUSlot, _ type: Int, now: UInt64?) -> Work {
      var counts = Work()
      counts.executed = slot.executed[type].load(ordering: .relaxed)
      counts.gone = slot.dropped[type].load(ordering: .relaxed)
      counts.pending = slot.state.work.load(ordering: .relaxed) >> UInt64(type) & 1
      if slot.state.isOwned.load(ordering: .relaxed) == 0 {
        // Left by a send that found nobody: the next thread to attach drops it.
        counts.gone += type < BuiltInWork.calls ? counts.pending : 0
        counts.pending = 0
      }
      for bucket in 0..<CPUSlot.ageBuckets {
        counts.ages.buckets[bucket] = slot.ages(ofType: type)[bucket].load(ordering: .relaxed)
      }
      let since = slot.pendingSince[type].load(ordering: .relaxed)
      if let now, counts.pending != 0 {
        counts.oldestPending = since == 0 || now < since ? .zero : .nanoseconds(Int64(now - since))
      }
      return counts
    }

    private static func count(_ slot: CPUSlot, timesDrains: Bool) -> CPU {
      var counts = CPU()
      counts.quiescentStates = slot.owner.quiescentStates.load(ordering: .relaxed)
      counts.idleInterrupts = slot.owner.idleInterrupts.load(ordering: .relaxed)
      counts.refusedKicks = slot.state.refusedKicks.load(ordering: .relaxed)
      let word = ContextWord(rawValue: slot.state.word.load(ordering: .relaxed))
      let atAttach = slot.owner.counterAtAttach.load(ordering: .relaxed)
      // W itself is the counter of transitions; a declared quiescent state moves it by two.
      let moved = word.counter() &- atAttach
      let declared = 2 &* counts.quiescentStates
      counts.transitions = moved > declared ? moved - declared : 0
      if timesDrains {
        let cycles = slot.owner.longestDrain.load(ordering: .relaxed)
        counts.longestDrain = CycleClock.duration(ofCycles: cycles)
      }
      return counts
    }
  }
}
