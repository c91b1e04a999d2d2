// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// Who took time from isolated CPUs, as the system counts it: without rights, and without
/// disturbing them.
///
///     let ledger = InterferenceLedger(coordinator)
///     for await snapshot in ledger.snapshots(every: .seconds(1)) {
///       for row in snapshot.rows where row[.tlbShootdowns] ?? 0 > 0 { print(row) }
///     }
///
/// The kernel counts interrupts by processor, and preemptions and faults by thread. So a row needs a
/// CPU whose thread is bound to one processor: what that processor was interrupted by while the
/// thread was there. What cannot be seen is `nil` and has a reason, never 0: containers hide
/// `/proc/interrupts`, and some processors flush translations elsewhere without an interrupt.
///
/// Reading opens a few files of `/proc`; the isolated processors get no interrupt by it. Do not read
/// on an isolated CPU.
///
/// For single gaps in one loop take ``NoiseMeter``. ``KernelLedger`` says more, and needs root.
///
/// - Progress: blocking
/// - Context: any thread
/// - Allocates: at every snapshot
/// - Source: `/proc/interrupts`, `/proc/stat`, and `stat`, `status` and `schedstat` of threads:
///   `proc(5)`.
public final class InterferenceLedger: Sendable {
  /// The CPUs that have rows.
  public let cpus: CPUMask

  private let coordinator: Coordinator
  private let reader: Reader
  private let state = Lock(State())
  private struct State {
    var opening: Reading? = nil
    /// What files are read into.
    var buffer: [UInt8] = []
  }

  /// A ledger of a coordinator's isolated CPUs, or of those of a mask, that begins now.
  ///
  /// A mask with a CPU that the coordinator does not have ends the process with a sentence.
  ///
  /// - Parameters:
  ///   - coordinator: whose CPUs are counted.
  ///   - cpus: which of them; nil is the isolated ones.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  public convenience init(
    _ coordinator: Coordinator, cpus: CPUMask? = nil, file: StaticString = #fileID,
    line: UInt = #line
  ) {
    self.init(coordinator, cpus: cpus, files: SystemFiles(), file: file, line: line)
  }

  package init(
    _ coordinator: Coordinator, cpus: CPUMask?, files: SystemFiles, file: StaticString = #fileID,
    line: UInt = #line
  ) {
    self.coordinator = coordinator
    self.cpus = cpus ?? coordinator.isolated
    for cpu in self.cpus { coordinator.requireCPU(cpu, file, line) }
    reader = Reader(files)
    let now = read()
    state.withLock { $0.opening = now }
  }

  /// What has been counted since the ledger began.
  ///
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  public func snapshot() -> Snapshot {
    let now = read()
    return Snapshot(from: state.withLock { $0.opening } ?? now, to: now)
  }

  /// What is counted in each interval, from the first time that the sequence is asked. An interval
  /// that is missed is part of the next.
  ///
  /// - Parameters:
  ///   - interval: the time between two snapshots; what is not positive ends the process with a
  ///     sentence.
  ///   - file: the caller's file, for that sentence.
  ///   - line: the caller's line.
  /// - Returns: a sequence that sleeps between its elements, and ends when the task is cancelled.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: yes
  public func snapshots(
    every interval: Duration, file: StaticString = #fileID, line: UInt = #line
  ) -> Snapshots {
    if interval <= .zero {
      misuse("a ledger's interval has to be positive, not \(interval)", file, line)
    }
    return Snapshots(ledger: self, interval: interval)
  }

  // MARK: -

  /// Everything at one moment.
  struct Reading: Sendable {
    let moment: ContinuousClock.Instant
    let cpus: [(cpu: Int, counts: Counts, kicks: [Kick])]
  }

  func read() -> Reading {
    let occupants = cpus.map { cpu in (cpu: cpu, occupant: occupant(of: cpu)) }
    let processors = CPUMask(occupants.compactMap { $0.occupant.thread?.processor })
    let table = state.withLock { reader.table(of: processors, &$0.buffer) }
    let (senders, names) = coordinator.registry.withLock { state in
      (state.senders.map(\.slot), state.registrations.map { $0?.name })
    }
    return Reading(
      moment: .now,
      cpus: occupants.map { cpu, occupant in
        let kicks = Self.kicks(to: cpu, senders, names)
        let count = kicks.reduce(0) { $0 + $1.count }
        var counts =
          occupant.thread.map { reader.read($0, table) }
          ?? Counts(notVisible: occupant.whyNot)
        counts[.kicks] = .count(count)
        counts.signals = occupant.isSignalled ? count : 0
        return (cpu, counts, kicks)
      })
  }

  /// The thread that is a CPU now, or why there is none to be read.
  private struct Occupant {
    var thread: ThreadCounts? = nil
    var whyNot = ""
    var isSignalled = false
  }

  private func occupant(of cpu: Int) -> Occupant {
    let slot = coordinator.core.slots[cpu]
    let isOwned = slot.state.isOwned.load(ordering: .relaxed) != 0
    let reach = Reach(rawValue: slot.state.reach.load(ordering: .relaxed))
    var occupant = Occupant(isSignalled: reach.interrupter == .signal)
    guard isOwned, reach.threadID != 0 else {
      occupant.whyNot = "CPU \(cpu) has no thread"
      return occupant
    }
    do {
      occupant.thread = try reader.thread(reach.threadID, of: "self")
    } catch {
      occupant.whyNot = "\(error)"
    }
    return occupant
  }

  /// The kicks that every sender sent to a CPU, with the place that made the last of them.
  private static func kicks(
    to cpu: Int, _ senders: [SenderSlot], _ names: [String?]
  ) -> [Kick] {
    var pages = ResidentPages()
    return senders.enumerated().flatMap { number, sender in
      (0..<Int(BuiltInWork.attention)).compactMap { type -> Kick? in
        let cell = sender.cell(target: cpu, type: UInt64(type))
        guard pages.contain(cell.bits) else { return nil }
        let count = cell.value.interrupted.load(ordering: .relaxed)
        guard count > 0 else { return nil }
        let file = cell.value.file.load(ordering: .relaxed)
        // Safety: the address is that of a string constant of the program, which ends with a zero.
        let site = unsafe UnsafePointer<CChar>(bitPattern: file).map { text in
          unsafe "\(String(cString: text)):\(cell.value.lineNumber.load(ordering: .relaxed))"
        }
        let isCall = type >= Int(BuiltInWork.calls)
        return Kick(
          sender: number, work: isCall ? nil : names[type] ?? "work type \(type)", callSite: site,
          count: count)
      }
    }
  }
}
