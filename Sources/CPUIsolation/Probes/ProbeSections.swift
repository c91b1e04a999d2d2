// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// Who is inside a probe's handler: a line for each thread, found by the thread's small number.
///
///     offset   0  state    odd inside; it moves by one at each end of a section
///              8  thread   the kernel's id of the thread that has the line
///             16  running  the probe whose handler runs, for who watches
///             24  ring     the thread's ring in the pool of activations, 1 for none, 0 for not asked
///             32  own      the thread's own activation, for a scope that is measured and nothing else
///             64  taken    1 while a scope has it
///
/// A hit may come from anywhere: from user, where grace periods do not wait, from a drain, a signal
/// handler, or a thread that is no CPU. So sections are not those of CPUs; they have their own.
///
/// Claim: what a section found in a list is not freed before the section has ended. Against a remover
/// that has taken it out of the list, and then looks at the states after a fence:
/// - If our exchange (probe:E) comes before the remover's look (probe:S), it sees the odd state, and
///   waits until it has changed, which is when we have left (probe:L).
/// - Else the remover's fence (probe:F) comes before our exchange, and our look at the list (probe:V)
///   sees that it is gone.
/// - A thread that had no number when the remover looked at how many there are took one later, by a
///   sequentially consistent step, and looks at the list after that.
// Sendable: an address of memory in which every word is atomic.
@safe
struct ProbeSections: @unchecked Sendable {
  let base: Address

  static var byteCount: Int { Limits.hazardThreads * cacheLineStride }

  init(base: Address) { self.base = base }

  /// A thread's line.
  // Sendable: as ProbeSections.
  @safe
  struct Line: @unchecked Sendable {
    let base: Table<SharedWord>
    let number: Int
    /// The state that the section ends with: to read the word again after the exchange would stall.
    var after: UInt64 = 0

    @inline(__always)
    var state: Place<SharedWord> { base.place(0) }
    @inline(__always)
    var thread: Place<SharedWord> { base.place(1) }
    @inline(__always)
    var running: Place<SharedWord> { base.place(2) }
    @inline(__always)
    var ring: Place<SharedWord> { base.place(3) }
    @inline(__always)
    var own: UInt { base.place(4).bits }
  }

  @inline(__always)
  func line(_ number: Int) -> Line {
    // Safety: there is a line for each number that a thread can have.
    unsafe Line(base: Table(base + number &* 128), number: number)
  }

  /// How a section began, or why it did not.
  enum Entry {
    case entered(Line)
    /// The thread is in a section already: a handler hits a point, or a signal interrupted one.
    case nested
    /// The system's numbers for threads are all given out.
    case numberless
  }

  /// Begins the calling thread's section.
  ///
  /// Wait-free, one locked instruction. A signal may come anywhere: what its handler does in between
  /// leaves the state even, and one step higher, which a remover takes for a section that has ended.
  @inline(__always)
  func enter() -> Entry {
    var number = HazardThread.number
    if number == 0 {
      number = HazardThread.takeNumber()
      if number == 0 { return .numberless }
    }
    var line = line(number)
    let thread = UInt64(UInt32(bitPattern: CurrentThread.knownID))
    if line.thread.value.load(ordering: .relaxed) != thread { adopt(line, thread) }
    let state = line.state.value.load(ordering: .relaxed)
    if state & 1 != 0 { return .nested }
    // Sequentially consistent — probe:E. Before our look at the list. Dekker with probe:V against
    // probe:F and probe:S. Pairs with probe:S.
    _ = line.state.value.exchange(state &+ 1, ordering: .sequentiallyConsistent)
    line.after = state &+ 2
    return .entered(line)
  }

  /// Keeps out the points that handlers of signals hit, while the thread works with what is its own. Nil where a
  /// section could not begin at once.
  ///
  /// No locked instruction: a remover may miss it. What a list leads to must not be used in here.
  @inline(__always)
  func enterAlone() -> Line? {
    let number = HazardThread.number
    if number == 0 { return nil }
    var line = line(number)
    let thread = UInt64(UInt32(bitPattern: CurrentThread.knownID))
    if line.thread.value.load(ordering: .relaxed) != thread { return nil }
    let state = line.state.value.load(ordering: .relaxed)
    if state & 1 != 0 { return nil }
    // Relaxed: only this thread's handlers of signals have to see it. A remover that does waits for its end.
    line.state.value.store(state &+ 1, ordering: .relaxed)
    HazardThread.compilerBarrier()
    line.after = state &+ 2
    return line
  }

  /// Ends it. Inside, the word is ours alone: a signal handler finds it odd, and leaves it.
  @inline(__always)
  func leave(_ line: Line) {
    // Release — probe:L. Our last use of what the list led to comes before. Pairs with probe:S.
    line.state.value.store(line.after, ordering: .releasing)
  }

  /// The line of a thread that has died, maybe inside a section, for its number's next one.
  @inline(never)
  private func adopt(_ line: Line, _ thread: UInt64) {
    let state = line.state.value.load(ordering: .relaxed)
    // Release — probe:L. Not the end of a section of ours, but a signal handler may have come first, and
    // ended one here: who sees this state in place of that one has to see what the handler did.
    line.state.value.store((state | 1) &+ 1, ordering: .releasing)
    line.ring.value.store(0, ordering: .relaxed)
    line.running.value.store(0, ordering: .relaxed)
    line.thread.value.store(thread, ordering: .relaxed)
  }

  /// Whether the calling thread is inside a section.
  var isInside: Bool {
    let number = HazardThread.number
    if number == 0 { return false }
    let line = line(number)
    return line.state.value.load(ordering: .relaxed) & 1 != 0
      && line.thread.value.load(ordering: .relaxed)
        == UInt64(UInt32(bitPattern: CurrentThread.knownID))
  }

  /// The sections that were going on at one look, until they have ended.
  struct Wait {
    private(set) var pending: [(line: Line, state: UInt64)] = []

    /// What the caller took out of lists before cannot be found by sections that begin later.
    init(_ sections: ProbeSections) {
      // Sequentially consistent fence — probe:F. The removal comes before the looks. Pairs with
      // probe:E.
      fullFence()
      for number in 1..<max(1, HazardThread.limit) {
        let line = sections.line(number)
        let state = Self.look(at: line)
        if state & 1 != 0 { pending.append((line, state)) }
      }
    }

    private static func look(at line: Line) -> UInt64 {
      // Sequentially consistent — probe:S. If it says that the section has ended, all that the
      // section did is seen. Pairs with probe:E and probe:L.
      line.state.value.load(ordering: .sequentiallyConsistent)
    }

    /// Whether all of them have ended; looks again at those that had not.
    mutating func poll() -> Bool {
      pending.removeAll { section in
        if Self.look(at: section.line) != section.state { return true }
        let thread = section.line.thread.value.load(ordering: .relaxed)
        // A thread that died inside a handler uses nothing any more.
        return !HazardThread.has(Int32(truncatingIfNeeded: thread), number: section.line.number)
      }
      return pending.isEmpty
    }
  }
}
