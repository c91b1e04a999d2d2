// SPDX-License-Identifier: Apache-2.0

import CForks
import Glibc
import Testing

@testable import CPUIsolation

/// Memory that does not interrupt: each test has a process of its own, which it changes.
@Suite(.serialized) struct QuietMemoryTests {
  private typealias Quiet = Coordinator.QuietMemory

  @Test func everyStepHasAnAnswer() async {
    await #expect(processExitsWith: .success) {
      let coordinator = try Coordinator(.scripted())
      let quiet = coordinator.quietMemory()
      precondition(quiet.report.results.map(\.step) == Quiet.Step.allCases)
      precondition(
        quiet.report.results.allSatisfy { $0.duration >= .zero && $0.outcome != .notWanted })
      for refusal in quiet.report.refusals {
        // A sanitizer has reserved more than may be locked.
        precondition(refusal.errno != 0 || refusal.code == .memoryLockRefused, "\(refusal)")
      }
      precondition(quiet.report.description.split(separator: "\n").count == 6)
      precondition(quiet.report.notPrevented.contains { $0.hasPrefix("fork") })
      let refusals = quiet.undo()
      precondition(refusals.isEmpty, "\(refusals)")
      precondition(quiet.undo().isEmpty && QuietMemorySteps.lockedBytes() == 0)
    }
  }

  @Test func whatIsNotWantedIsNotDone() async {
    await #expect(processExitsWith: .success) {
      let coordinator = try Coordinator(.scripted())
      let options = Quiet.Options(heapBytes: 0, makesDataPrivate: false, locksMemory: false)
      let report = coordinator.quietMemory(options).report
      for step in [Quiet.Step.heap, .data, .lock] { precondition(report[step] == .notWanted) }
      precondition(report[.allocator] != .notWanted && report[.forks] == .done)
    }
  }

  /// What is freed stays, until the last of those who asked for it has undone it.
  ///
  /// In blocks that fit into any arena: this is not the main thread, and larger ones are mappings.
  @Test(.disabled(if: Sanitizer.isPresent, "the allocator is the sanitizer's"))
  func theHeapKeepsWhatItHas() async {
    await #expect(processExitsWith: .success) {
      func size() -> Int { QuietMemorySteps.residentBytes() ?? 0 }
      let (block, count) = (20 << 20, 5)
      func takeAndFree() {
        let blocks = (0..<count).map { _ -> Address in
          let memory = unsafe malloc(block)!
          unsafe memset(memory, 1, block)
          return unsafe Address(memory)
        }
        for block in blocks.reversed() { unsafe free(block.pointer) }
      }
      // As it is, little stays.
      let before = size()
      takeAndFree()
      precondition(size() < before + 2 * block, "the allocator keeps by itself")
      let coordinator = try Coordinator(.scripted())
      let options = Quiet.Options(locksMemory: false)
      let (first, second) = (coordinator.quietMemory(options), coordinator.quietMemory(options))
      precondition(second.report[.allocator] == .done && second.report[.heap] == .done)
      precondition(size() >= before + 3 * block, "the heap has nothing in advance")
      takeAndFree()
      precondition(size() >= before + (count - 1) * block, "it was given back")
      precondition(first.undo().isEmpty)
      takeAndFree()
      precondition(size() >= before + (count - 1) * block, "the second still holds")
      precondition(second.undo().isEmpty)
    }
  }

  /// Every page of the program's data has been written, as the kernel counts it.
  @Test(.disabled(if: Sanitizer.isPresent, "its runtime maps and forks the data as it likes"))
  func dataIsPrivate() async {
    await #expect(processExitsWith: .success) {
      let coordinator = try Coordinator(.scripted())
      let report = coordinator.quietMemory(.init(heapBytes: 0, locksMemory: false)).report
      if case .refused(let error) = report[.data] {
        // Kernels before 5.14 cannot.
        precondition(error.errno == EINVAL, "\(error)")
        return
      }
      let program = unsafe realpath("/proc/self/exe", nil).map { unsafe String(cString: $0) } ?? ""
      let lines = try SystemFiles().text("/proc/self/smaps").split(separator: "\n")
      var (mappings, isWritable, size) = (0, false, Substring())
      for line in lines {
        let words = line.split(separator: " ")
        if words.count >= 6, !words[0].hasSuffix(":") {
          isWritable = words[1].hasPrefix("rw-p") && line.hasSuffix(program)
        } else if isWritable, words[0] == "Size:" {
          size = words[1]
        } else if isWritable, words[0] == "Private_Dirty:" {
          mappings += 1
          precondition(words[1] == size, "\(words[1]) of \(size) KiB")
        }
      }
      precondition(mappings > 0)
    }
  }

  @Test(
    .enabled("as root, with an allocator that is glibc's") {
      geteuid() == 0 && !Sanitizer.isPresent
    })
  func withoutRightsTheRestIsDone() async {
    await #expect(processExitsWith: .success) {
      var none = rlimit(rlim_cur: 0, rlim_max: 0)
      let lockedMemory: UInt32 = 8  // RLIMIT_MEMLOCK
      precondition(unsafe setrlimit(__rlimit_resource_t(lockedMemory), &none) == 0)
      precondition(setgid(65534) == 0 && setuid(65534) == 0)
      let coordinator = try Coordinator(.scripted())
      let quiet = coordinator.quietMemory(.init(heapBytes: 1 << 20))
      guard case .refused(let error) = quiet.report[.lock] else { fatalError("it was not refused") }
      precondition(error.code == .memoryLockRefused && error.errno == EPERM)
      precondition("\(error)".contains("EPERM") && "\(error)".contains("RLIMIT_MEMLOCK"))
      precondition(quiet.report[.allocator] == .done && quiet.undo().isEmpty)
    }
  }

  @Test func moreThanTheLimitIsNotLocked() async {
    await #expect(processExitsWith: .success) {
      let coordinator = try Coordinator(.scripted())
      let quiet = coordinator.quietMemory(.init(heapBytes: 0, mostLockedBytes: 0))
      guard case .refused(let error) = quiet.report[.lock] else { fatalError("it was not refused") }
      precondition(error.code == .memoryLockRefused && error.errno == 0)
      precondition(QuietMemorySteps.lockedBytes() == 0)
    }
  }

  /// Two forks while a CPU is in user are counted, and said once; one while it is in kernel is not.
  @Test(.disabled(if: Sanitizer.isPresent, "its runtime forks with locks of its own"))
  func aLateForkIsSaidOnce() async throws {
    let result = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
      let coordinator = try Coordinator(.scripted())
      let cpu = try ScriptedThread(coordinator, on: 1)
      let quiet = coordinator.quietMemory(.init(heapBytes: 0, locksMemory: false))
      func fork() {
        let child = cfk_fork()
        if child == 0 { _exit(0) }
        precondition(child > 0 && cfk_end(child, 120) == 0)
      }
      fork()
      precondition(quiet.lateForks == 0)
      try cpu.enterUser()
      fork()
      fork()
      precondition(quiet.lateForks == 2)
      try cpu.enterKernel()
      fork()
      quiet.undo()
      try cpu.enterUser()
      fork()
      precondition(quiet.lateForks == 2)
      try cpu.enterKernel()
    }
    let said = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(said.split(separator: "\n").count { $0.contains("a fork while isolated CPU 1") } == 1)
  }

  /// What the allocator causes, by the kernel's own count, before and after.
  @Test(
    .enabled("as root, with tracefs and two processors") {
      GivenProcessors.areAllOfSeveral && !Sanitizer.isPresent
        && (try? KernelLedger(processors: [0])) != nil
    })
  func theAllocatorNoLongerInterrupts() async {
    await #expect(processExitsWith: .success) {
      let loop = Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))) - 1
      var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [loop])
      configuration.watchdog = nil
      let coordinator = try Coordinator(configuration)
      let kernel = try KernelLedger(processors: [loop], kibibytes: 8192)
      let (isLooping, stop) = (Flag(), Flag())
      let thread = try coordinator.launch(on: loop) { cpu in
        cpu.inUser {
          isLooping.raise()
          while !stop.isRaised { cpu.poll() }
        }
      }
      isLooping.wait()
      let housekeeper = try ScriptedThread(coordinator, on: 0)
      let sender = try housekeeper.run { _ in CurrentThread.id }
      func flushes() throws -> Int {
        _ = try kernel.read()
        try housekeeper.run { _ in QuietMemoryTests.churn(rounds: 200) }
        return try kernel.read().entries.count {
          $0.thread == sender && $0.callback == "flush_tlb_func"
        }
      }
      let before = try flushes()
      coordinator.quietMemory(.init(heapBytes: 8 << 20, locksMemory: false))
      // The heap grows to what the rounds need.
      _ = try flushes()
      let after = try flushes()
      stop.raise()
      thread.join()
      // Where others have the loop's processor, or flushes need no interrupt, there is nothing to see.
      precondition(before < 1000 || after * 10 < before, "\(before), then \(after)")
    }
  }

  /// 64 blocks of 64 KiB, freed in reverse.
  private static func churn(rounds: Int) {
    for _ in 0..<rounds {
      let blocks = (0..<64).map { _ -> Address in
        let block = unsafe malloc(64 << 10)!
        unsafe memset(block, 1, 64 << 10)
        return unsafe Address(block)
      }
      for block in blocks.reversed() { unsafe free(block.pointer) }
    }
  }
}
