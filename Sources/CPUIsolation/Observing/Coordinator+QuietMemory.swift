// SPDX-License-Identifier: Apache-2.0

internal import CPlatform

extension Coordinator {
  /// Has the process's memory stop interrupting isolated CPUs, as far as it can: call it once, when
  /// everything is set up and before the loops start.
  ///
  ///     let quiet = coordinator.quietMemory()
  ///     for refusal in quiet.report.refusals { print(refusal) }  // cannot lock the memory: EPERM: …
  ///     print(quiet.report)  // heap: done, 67108864 bytes more, 14.2 ms …
  ///
  /// Best on the main thread: the heap that grows in advance is the calling thread's, and the main
  /// thread's is the one that others share. Threads that have allocated before keep arenas of their own,
  /// in which a block above some 60 MiB has its own mapping whatever is set.
  ///
  /// Whatever the system refuses stands in the report, and the other steps are made all the same. The
  /// settings are the process's: a second call makes the steps again, and they hold until all that
  /// was returned has been undone.
  ///
  /// - Parameters:
  ///   - options: which steps, and how much memory they may take.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: what was done, and the way back.
  /// - Progress: blocking
  /// - Context: any thread that is no isolated CPU
  /// - Allocates: yes
  /// - Source: `mallopt(3)`, `madvise(2)`, `mlockall(2)`.
  @discardableResult
  public func quietMemory(
    _ options: QuietMemory.Options = .init(), file: StaticString = #fileID, line: UInt = #line
  ) -> QuietMemory {
    if !(0...QuietMemory.mostHeapBytes).contains(options.heapBytes) {
      misuse(
        "quiet memory has a heap of 0 to \(QuietMemory.mostHeapBytes) bytes, not \(options.heapBytes)",
        file, line)
    }
    if options.mostLockedBytes < 0 {
      misuse("quiet memory cannot lock \(options.mostLockedBytes) bytes", file, line)
    }
    return QuietMemory(self, options)
  }

  /// Memory that does not interrupt isolated CPUs: what was done for it, what it cost, and how to undo
  /// it.
  ///
  /// A processor is interrupted whenever another thread of its process takes a page away, or makes one
  /// the process's own: when malloc gives memory back, when a block that had a mapping is freed, at
  /// the first write to a page of data. `quietMemory` has malloc keep what it got, has written what
  /// will be written, locks what is there, and has the library use its own mappings and the stacks of
  /// launched threads again.
  ///
  /// Do not use it in a process whose memory has to shrink: nothing is given back any more.
  ///
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  public final class QuietMemory: Sendable {
    /// What was done, and what was refused.
    public let report: Report

    /// What a heap may grow by at a time: malloc's setting is a 32-bit number.
    static let mostHeapBytes = 1 << 30

    private let isOver = Lock(false)
    private let mayUnlock: Bool

    /// What the process owes to all that were made: the settings are not one coordinator's.
    private struct Users: Sendable {
      var count = 0
      var watched: [Watched] = []
    }
    private struct Watched: Sendable {
      weak var coordinator: Coordinator?
    }
    private static let users = Lock(Users())

    fileprivate init(_ coordinator: Coordinator, _ options: Options) {
      Self.users.withLock { state in
        state.count += 1
        state.watched.removeAll { $0.coordinator == nil }
        state.watched.append(Watched(coordinator: coordinator))
      }
      // Memory that others have locked is not to be unlocked by this.
      mayUnlock = QuietMemorySteps.lockedBytes() == 0
      report = QuietMemorySteps.perform(options) { Coordinator.QuietMemory.forkIsLate() }
    }

    /// How often this process was forked while an isolated CPU was in user. Each time every page that
    /// the parent writes afterwards interrupts that CPU once. The first is also said on standard error.
    ///
    /// Forks of `posix_spawn` and `vfork` copy no pages, and do not count.
    public var lateForks: Int { Int(clamping: cpi_late_forks()) }

    /// Gives back what can be given back: the allocator's usual settings, free memory, kept mappings, and
    /// locks. Once; later calls do nothing.
    ///
    /// malloc's moving threshold for mappings does not come back; it gets the highest value that it
    /// could have had. Pages that were made the process's own stay so.
    ///
    /// - Returns: what the system refused.
    /// - Progress: blocking
    /// - Context: any thread
    /// - Allocates: yes
    @discardableResult
    public func undo() -> [IsolationError] {
      let isLate = isOver.withLock { isOver in
        defer { isOver = true }
        return isOver
      }
      if isLate { return [] }
      let isLast = Self.users.withLock { state in
        state.count -= 1
        if state.count == 0 { state.watched.removeAll() }
        return state.count == 0
      }
      return isLast ? QuietMemorySteps.undo(report, unlocks: mayUnlock) : []
    }

    /// Whether an isolated CPU is in user now, which the thread asks that is about to fork.
    private static func forkIsLate() -> Bool {
      // A thread that forks while it changes the list would wait for itself.
      let watched = users.withLockIfAvailable { $0.watched } ?? []
      for case let coordinator? in watched.map(\.coordinator) {
        for cpu in coordinator.isolated where coordinator.context(of: cpu) == .user {
          if cpi_late_forks() == 0 { warn(cpu) }
          return true
        }
      }
      return false
    }

    private static func warn(_ cpu: Int) {
      var text =
        "CPUIsolation: a fork while isolated CPU \(cpu) is in user: every page that this process writes "
        + "afterwards interrupts it; fork before the loops start, or use posix_spawn\n"
      text.withUTF8 { bytes in
        // Safety: the bytes are there for the call.
        unsafe cpi_write_error(bytes.baseAddress, bytes.count)
      }
    }
  }
}
