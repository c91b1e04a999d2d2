// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Glibc

/// The steps to quiet memory, and back.
enum QuietMemorySteps {
  typealias Quiet = Coordinator.QuietMemory

  static func perform(
    _ options: Quiet.Options, _ forkIsLate: @convention(c) () -> Bool
  ) -> Quiet.Report {
    Quiet.Report(results: [
      measure(.allocator) {
        error(
          cpi_keep_heap(options.hasOneArena), "the allocator does not take glibc's settings",
          hint: "another allocator, or a sanitizer's, has taken the place of glibc's")
      },
      options.heapBytes == 0 ? skip(.heap) : measure(.heap) { populateHeap(options.heapBytes) },
      options.makesDataPrivate ? measure(.data) { populateData() } : skip(.data),
      options.locksMemory ? measure(.lock) { lock(atMost: options.mostLockedBytes) } : skip(.lock),
      measure(.mappings) {
        error(
          cpi_keep_memory(true), "mappings are not kept",
          hint: "a sanitizer has to see when memory is given back")
      },
      measure(.forks) { error(cpi_watch_late_forks(forkIsLate), "forks cannot be looked at") },
    ])
  }

  static func undo(_ report: Quiet.Report, unlocks: Bool) -> [IsolationError] {
    var errors: [IsolationError?] = []
    if report[.lock] == .done {
      errors.append(
        unlocks
          ? error(cpi_unlock_memory(), "cannot unlock the memory")
          : IsolationError(
            .memoryLockRefused, "the memory stays locked: some of it was locked before"))
    }
    if report[.mappings] == .done {
      errors.append(error(cpi_keep_memory(false), "mappings that were kept stay"))
    }
    if report[.allocator] == .done {
      errors.append(error(cpi_release_heap(), "the allocator does not take glibc's settings"))
    }
    return errors.compactMap(\.self)
  }

  // MARK: The steps

  private static func populateHeap(_ bytes: Int) -> IsolationError? {
    // In this order: how far an arena's heap shrinks depends on how much it grows by.
    error(
      cpi_set_heap_growth(Int32(clamping: bytes)), "the allocator does not take glibc's settings")
      ?? error(
        cpi_populate_heap(bytes), "cannot give the heap \(bytes) bytes in advance",
        hint: olderKernel)
  }

  private static func populateData() -> IsolationError? {
    var bytes = 0
    let refusal = unsafe cpi_populate_images(&bytes)
    return error(
      refusal, "cannot write all data of the program in advance, but for \(bytes) bytes",
      hint: olderKernel)
  }

  private static let olderKernel = "Linux has it since 5.14"

  private static func lock(atMost limit: Int) -> IsolationError? {
    let missing = missingBytes()
    if let missing, missing > limit {
      return IsolationError(
        .memoryLockRefused,
        hint: "mostLockedBytes is the limit",
        "locking would make \(missing) bytes present that were never touched, and \(limit) may be")
    }
    return error(
      cpi_lock_current_memory(), "cannot lock the memory", code: .memoryLockRefused,
      hint: "locking memory needs CAP_IPC_LOCK or a higher RLIMIT_MEMLOCK")
  }

  private static func error(
    _ errno: Int32, _ message: String, code: IsolationError.Code = .quietMemoryRefused,
    hint: String? = nil
  ) -> IsolationError? {
    errno == 0 ? nil : IsolationError(code, errno: errno, hint: hint, message)
  }

  // MARK: What they cost

  private static func measure(_ step: Quiet.Step, _ body: () -> IsolationError?) -> Quiet.Result {
    let bytes = residentBytes()
    let begin = ContinuousClock.now
    let error = body()
    let duration = begin.duration(to: .now)
    let more = bytes.flatMap { before in residentBytes().map { $0 - before } }
    return Quiet.Result(
      step: step, outcome: error.map { .refused($0) } ?? .done, duration: duration, bytes: more)
  }

  private static func skip(_ step: Quiet.Step) -> Quiet.Result {
    Quiet.Result(step: step, outcome: .notWanted, duration: .zero, bytes: 0)
  }

  /// The memory that the process has. The second number of the file, in pages.
  static func residentBytes() -> Int? {
    guard let text = try? SystemFiles().text("/proc/self/statm") else { return nil }
    let numbers = text.split(separator: " ")
    return numbers.count > 1 ? Int(numbers[1]).map { $0 * sysconf(Int32(_SC_PAGESIZE)) } : nil
  }

  /// The memory that is locked; nil where the system does not tell.
  static func lockedBytes() -> Int? {
    guard let text = try? SystemFiles().text("/proc/self/status"),
      let line = text.split(separator: "\n").first(where: { $0.hasPrefix("VmLck:") }),
      let kibibytes = line.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first
    else { return nil }
    return Int(kibibytes).map { $0 << 10 }
  }

  /// What the process may use and has not touched: locking makes all of it present.
  private static func missingBytes() -> Int? {
    guard let text = try? SystemFiles().text("/proc/self/maps"), let resident = residentBytes()
    else { return nil }
    var bytes = 0
    for line in text.split(separator: "\n") {
      // `begin-end rwxp …`
      let words = line.split(separator: " ", maxSplits: 2)
      guard words.count > 1, words[1].first == "r" else { continue }
      let ends = words[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
      guard ends.count == 2, ends[0] < ends[1] else { continue }
      bytes = bytes.addingReportingOverflow(Int(clamping: ends[1] - ends[0])).partialValue
    }
    return max(0, bytes - resident)
  }
}
