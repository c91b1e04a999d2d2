// SPDX-License-Identifier: Apache-2.0

extension Coordinator.QuietMemory {
  /// Which steps are made, and how much memory they may take.
  public struct Options: Hashable, Sendable {
    /// How much memory the heap has from the beginning, written once, and by how much it grows
    /// afterwards: up to 1 GiB. 0 leaves it as it is.
    public var heapBytes: Int
    /// Whether threads that have not allocated yet share the program's first arena. Arenas of their own
    /// are faster where many threads allocate at the same time.
    public var hasOneArena: Bool
    /// Whether the data of the program and its libraries is written once, page by page, as it is.
    public var makesDataPrivate: Bool
    /// Whether all memory that the process has now is locked, and so present.
    public var locksMemory: Bool
    /// How much memory may be missing at most for it to be locked: what a program has reserved and never
    /// touched is made present by that too.
    public var mostLockedBytes: Int

    /// All steps, with a heap of 64 MiB, unless said otherwise.
    ///
    /// - Parameters:
    ///   - heapBytes: how much memory the heap has from the beginning, and grows by.
    ///   - hasOneArena: whether threads share the first arena.
    ///   - makesDataPrivate: whether data is written once.
    ///   - locksMemory: whether memory is locked.
    ///   - mostLockedBytes: how much may be missing at most for that.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public init(
      heapBytes: Int = 64 << 20, hasOneArena: Bool = true, makesDataPrivate: Bool = true,
      locksMemory: Bool = true, mostLockedBytes: Int = 1 << 30
    ) {
      self.heapBytes = heapBytes
      self.hasOneArena = hasOneArena
      self.makesDataPrivate = makesDataPrivate
      self.locksMemory = locksMemory
      self.mostLockedBytes = mostLockedBytes
    }
  }

  /// One of the things that are done.
  public enum Step: String, CaseIterable, Hashable, Sendable {
    /// malloc keeps what it got, and gives no block a mapping of its own.
    case allocator
    /// The heap has memory in advance.
    case heap
    /// The data of the program and its libraries is the process's own.
    case data
    /// What is there is locked.
    case lock
    /// The library keeps mappings and stacks that it would give back, and uses them again.
    case mappings
    /// Forks are looked at: what they cost can only be said.
    case forks
  }

  /// What became of a step.
  public enum Outcome: Hashable, Sendable {
    /// It was done.
    case done
    /// The options do without it.
    case notWanted
    /// It was not done, or not wholly, for this reason.
    case refused(IsolationError)
  }

  /// A step, and what it cost.
  public struct Result: Hashable, Sendable {
    /// The step.
    public let step: Step
    /// What became of it.
    public let outcome: Outcome
    /// How long it took.
    public let duration: Duration
    /// By how much the process's memory grew meanwhile, in bytes; nil where the system does not tell.
    public let bytes: Int?
  }

  /// What was done, what it cost, and what nothing can be done about.
  public struct Report: Hashable, Sendable, CustomStringConvertible {
    /// The steps, in the order in which they were made.
    public let results: [Result]

    /// The reasons of all steps that were refused.
    public var refusals: [IsolationError] {
      results.compactMap { if case .refused(let error) = $0.outcome { error } else { nil } }
    }

    /// What became of a step.
    ///
    /// - Parameter step: any step.
    /// - Returns: its outcome.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public subscript(step: Step) -> Outcome {
      results.first { $0.step == step }?.outcome ?? .notWanted
    }

    /// What still interrupts isolated CPUs when this process does it, and what to do instead.
    public var notPrevented: [String] {
      [
        "munmap, mprotect and madvise of mappings that the program makes itself: keep them, and use them again",
        "msync of a shared mapping, once a page: pwrite and fdatasync",
        "fork, once a page that is written afterwards: fork before the loops start, or posix_spawn",
        "posix_spawn, once: start a helper process before the loops start",
        "the end of a thread that used much of its stack, unless launch started it: keep threads, or give them stacks of their own",
        "dlopen and dlclose, a few times each: load before the loops start",
        "what other processes and the kernel do",
      ]
    }

    /// A line for each step.
    public var description: String {
      results.map { result in
        let outcome =
          switch result.outcome {
          case .done: "done"
          case .notWanted: "not wanted"
          case .refused(let error): "refused: \(error)"
          }
        let bytes = result.bytes.map { ", \($0) bytes more" } ?? ""
        let tenths = result.duration.wholeNanoseconds / 100_000
        return "\(result.step): \(outcome)\(bytes), \(tenths / 10).\(tenths % 10) ms"
      }.joined(separator: "\n")
    }
  }
}

extension IsolationError.Code {
  /// A step to quiet memory was refused by the system, or by the allocator of the process.
  public static let quietMemoryRefused = Self("quietMemoryRefused")
}
