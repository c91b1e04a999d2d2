// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// Tells CPUs that a timer of theirs may have to fire earlier, without interrupting them: the
/// kernel's kick of a CPU without tick, deferred.
///
///     let kick = try TimerKick(coordinator)
///     …
///     wheel[3].insert(timer)
///     kick.bringForward(to: timer.deadline, on: 3)  // 2 ns, no signal
///     …
///     cpu.inUser { loop() }
///     if let deadline = kick.deadline(on: cpu), deadline <= now {
///       kick.setDeadline(wheel[3].fire(now), on: cpu)
///     }
///
/// A CPU in user sees it at its next entry, and not before: for timers of work that is done in
/// kernel, which cannot be done before an entry anyway. A timer that has to fire in user needs a
/// loop that polls: with `urgency: .immediate` its next `poll()` brings the deadline. A signal
/// brings it no earlier than the next entry.
///
/// Deadlines are numbers of any clock, as long as it is one clock; the smaller is the earlier.
///
/// - Progress: lock-free to bring forward, wait-free to read
/// - Context: any thread
/// - Allocates: at creation
public final class TimerKick: Sendable {
  private let coordinator: Coordinator
  private let deadlines: TimerDeadlines
  /// The work type: `nohz_kick`, the name that the kernel's own has in traces.
  public let work: WorkType

  /// Makes the deadlines, and registers the work type.
  ///
  /// - Parameter coordinator: whose CPUs have the timers; it keeps the deadlines.
  /// - Throws: `tooManyWorkTypes`, `outOfMemory`, `closed`.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  public init(_ coordinator: Coordinator) throws(IsolationError) {
    self.coordinator = coordinator
    deadlines = try TimerDeadlines(cpus: coordinator.core.slots.count)
    // Safety: the coordinator keeps the words.
    work = try unsafe coordinator.register(
      "nohz_kick", context: deadlines.base.pointer
    ) { context, cpu in
      unsafe TimerDeadlines.takeRequest(Address(context.unsafelyUnwrapped), cpu)
    }
    coordinator.own(work)
    coordinator.runAtAttach(work, keeping: deadlines)
  }

  /// Gives the work type back: `bringForward` is rejected from now on. Unless the answer is
  /// `.settled`, it can be repeated.
  ///
  /// Without it the type stays registered for as long as the coordinator lives.
  ///
  /// - Parameters:
  ///   - timeout: how long to wait at most; nil waits for ever, and zero looks once.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: `.settled` when that has happened; else why not, and the CPUs that held it up.
  /// - Progress: blocking
  /// - Context: any thread, outside handlers and kernel sections
  /// - Allocates: yes
  @discardableResult
  public func close(
    timeout: Duration? = nil, file: StaticString = #fileID, line: UInt = #line
  ) -> WaitOutcome {
    // Unregistered already: a call before this one came through.
    let end = try? coordinator.endRegistration(work, timeout: timeout, file: file, line: line)
    if let end, end != .settled { return end }
    coordinator.disown(work)
    return .settled
  }

  /// Asks a CPU to look at its timers by `deadline`. A CPU without a thread keeps it for the next
  /// one.
  ///
  /// - Parameters:
  ///   - deadline: in the clock that the caller's timers use; the earliest of several counts.
  ///   - cpu: the number of a CPU of the coordinator; any other ends the process with a sentence.
  ///   - urgency: when the work has to run: at the target's next entry (`.deferrable`), at once by
  ///     a kick (`.immediate`), or at once by the caller where the type allows that (`.onBehalf`).
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: what became of the send; with `.gone` the deadline is kept for the next thread.
  /// - Progress: lock-free; `.immediate` may make a system call
  /// - Context: any thread, also inside a handler
  /// - Allocates: never
  @discardableResult
  public func bringForward(
    to deadline: UInt64, on cpu: Int, urgency: WorkType.Urgency = .deferrable,
    file: StaticString = #fileID, line: UInt = #line
  ) -> SendOutcome {
    coordinator.requireCPU(cpu, file, line)
    deadlines.request(deadline, cpu)
    return coordinator.send(work, to: cpu, urgency: urgency, file: file, line: line)
  }

  /// The earliest deadline that this CPU knows of; nil if there is none.
  ///
  /// - Parameter cpu: the calling thread's CPU.
  /// - Returns: the deadline, in the clock of those who asked for it.
  /// - Progress: wait-free
  /// - Context: owner
  /// - Allocates: never
  public func deadline(on cpu: borrowing LocalCPU) -> UInt64? {
    let known = deadlines.known(number(of: cpu))
    return known == .max ? nil : known
  }

  /// Puts the deadline of a CPU that has looked at its timers; nil is none. Requests that have
  /// arrived since its last drain are not lost: they wait for the next.
  ///
  /// - Parameters:
  ///   - deadline: when the CPU's next timer is due; nil is never.
  ///   - cpu: the calling thread's CPU.
  /// - Progress: wait-free
  /// - Context: owner
  /// - Allocates: never
  public func setDeadline(_ deadline: UInt64?, on cpu: borrowing LocalCPU) {
    deadlines.know(deadline ?? .max, number(of: cpu))
  }

  private func number(of cpu: borrowing LocalCPU) -> Int {
    if cpu.path.core != coordinator.core {
      misuse("a timer kick was used on a CPU of another coordinator")
    }
    return cpu.number
  }
}

/// Per CPU a line that others write and one that it alone writes.
// Sendable: an address of memory in which every word is atomic.
@safe
private final class TimerDeadlines: @unchecked Sendable {
  private let memory: MappedMemory
  let base: Address

  init(cpus: Int) throws(IsolationError) {
    memory = try MappedMemory(byteCount: cpus * 2 * cacheLineStride)
    base = memory.address
    for line in 0..<2 * cpus {
      Self.word(base, line).initialize(to: SharedWord(.max))
    }
  }

  private static func word(
    _ base: Address, _ line: Int
  ) -> Place<SharedWord> {
    // Safety: there are two lines for each CPU.
    unsafe Place(base + line * cacheLineStride)
  }

  /// Merges a request: the earliest one stays.
  func request(_ deadline: UInt64, _ cpu: Int) {
    let word = Self.word(base, 2 * cpu)
    var old = word.value.load(ordering: .relaxed)
    while true {
      // Release — timer:M. Also where the old one is earlier: its run then has what came before
      // this request, and still what came before the old one, since an exchange carries the release
      // on that it replaces. Before the bit. Pairs with timer:T.
      let (exchanged, original) = word.value.weakCompareExchange(
        expected: old, desired: min(old, deadline), successOrdering: .releasing,
        failureOrdering: .relaxed)
      if exchanged { return }
      old = original
    }
  }

  /// Takes what was requested: the handler, in the CPU's drain.
  static func takeRequest(_ base: Address, _ cpu: Int) {
    // Acquire — timer:T. After the take of the bit. Pairs with timer:M.
    let request = word(base, 2 * cpu).value.exchange(.max, ordering: .acquiring)
    let known = word(base, 2 * cpu + 1)
    // Relaxed: only the CPU's thread writes it.
    if request < known.value.load(ordering: .relaxed) {
      known.value.store(request, ordering: .relaxed)
    }
  }

  func known(_ cpu: Int) -> UInt64 {
    Self.word(base, 2 * cpu + 1).value.load(ordering: .relaxed)
  }

  func know(_ deadline: UInt64, _ cpu: Int) {
    Self.word(base, 2 * cpu + 1).value.store(deadline, ordering: .relaxed)
  }
}
