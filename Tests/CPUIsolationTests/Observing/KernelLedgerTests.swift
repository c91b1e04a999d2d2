// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import CPUIsolation

/// The kernel's own trace beside what the library and the ledger count, where it can be had.
@Suite(
  .serialized, .needsQueuedSignals,
  .enabled("as root, with tracefs and two processors") {
    GivenProcessors.areAllOfSeveral && (try? KernelLedger(processors: [0])) != nil
  })
struct KernelLedgerTests {
  @Test func anInstanceLivesAsLongAsItsLedger() throws {
    func isThere(_ folder: String) -> Bool { (try? SystemFiles().names(in: folder)) != nil }
    var ledger: KernelLedger? = try KernelLedger(processors: [1])
    let second = try KernelLedger(processors: [0])
    let folders = try [#require(ledger?.folder), #require(second.folder)]
    #expect(folders[0] != folders[1] && folders.allSatisfy(isThere))
    second.close()
    second.close()
    #expect(second.folder == nil)
    #expect(try second.read().entries.isEmpty)
    #expect(isThere(folders[0]) && !isThere(folders[1]))
    _ = try ledger?.read()
    ledger = nil
    #expect(!isThere(folders[0]))
  }

  @Test func whatACrashedProcessLeftIsRemoved() throws {
    let home = "/sys/kernel/tracing/instances"
    let files = SystemFiles()
    // A number that no process has, and this process's own with another beginning.
    let left = ["cpu-isolation.4194999.5.0", "cpu-isolation.\(getpid()).1.0"]
    for name in left where (try? files.names(in: "\(home)/\(name)")) == nil {
      try files.makeFolder("\(home)/\(name)")
    }
    defer { for name in left { try? files.removeFolder("\(home)/\(name)") } }
    let ledger = try KernelLedger(processors: [0])
    let names = try files.names(in: home)
    for name in left { #expect(!names.contains(name)) }
    ledger.close()
  }

  @Test func withoutTracefsThereIsNone() {
    #expect(throws: KernelLedger.Refusal.self) {
      try KernelLedger(
        processors: [0], signal: nil, kibibytes: 64, files: SystemFiles(root: "/proc/self/fd"))
    }
  }

  /// One loop, one housekeeper, and three accounts of the same seconds.
  @Test(.disabled(if: Sanitizer.isPresent, "a sanitizer's allocator flushes"))
  func theKernelTheLedgerAndTheLibraryAgree() throws {
    let loop = Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))) - 1
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [loop])
    configuration.isolatedInterrupter = .signal
    configuration.watchdog = nil
    let coordinator = try Coordinator(configuration)
    let kernel = try KernelLedger(processors: [loop], signal: coordinator.signal, kibibytes: 8192)
    defer { kernel.close() }
    let (isLooping, stop, counter) = (Flag(), Flag(), Counter())
    let work = try coordinator.registerSafe(counting: counter)
    let thread = try coordinator.launch(on: loop) { cpu in
      cpu.inUser {
        isLooping.raise()
        while !stop.isRaised { cpu.poll() }
      }
    }
    defer {
      stop.raise()
      thread.join()
    }
    isLooping.wait()
    let housekeeper = try ScriptedThread(coordinator, on: 0)
    let sender = try housekeeper.run { _ in CurrentThread.id }
    let ledger = InterferenceLedger(coordinator)
    try housekeeper.run { _ in
      for _ in 0..<500 {
        let ran = coordinator.statistics()[work].executed
        coordinator.send(work, to: loop, urgency: .immediate)
        while coordinator.statistics()[work].executed == ran { Flag.pause() }
      }
    }
    // Other threads of the process may flush between a snapshot and the reading beside it: of ten
    // rounds one has to agree.
    var differences: [(difference: Int, flushes: Int)] = []
    for _ in 0..<10 {
      let count = 3000
      _ = try kernel.read()
      let before = ledger.snapshot()
      try housekeeper.run { _ in Self.flush(times: count) }
      let after = ledger.snapshot()
      let report = try kernel.read()
      #expect(report.unknown == 0)
      let flushes = report.entries.filter { $0.callback == "flush_tlb_func" }
      let ours = flushes.filter { $0.thread == sender }
      #expect(ours.allSatisfy { $0.process == report.process && $0.processor == loop })
      // Where the processor flushes without an interrupt there are none, and the ledger says so.
      guard let last = after[loop]?[.tlbShootdowns], let first = before[loop]?[.tlbShootdowns]
      else { return }
      #expect(ours.count <= count + 10)
      let difference = abs(Int(last - first) - flushes.count)
      // The loop is not always there: another thread may have its processor, for a whole round, too.
      if report.lost > 0 || !ours.isEmpty && difference <= max(20, flushes.count / 50) { return }
      differences.append((difference, flushes.count))
    }
    Issue.record("the ledger and the kernel never agree: \(differences)")
  }

  private static func flush(times count: Int) {
    for _ in 0..<count {
      // Safety: memory of its own, unmapped once.
      let memory = unsafe mmap(
        nil, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)!
      unsafe memory.storeBytes(of: 1, as: UInt8.self)
      unsafe munmap(memory, 4096)
    }
  }

  @Test func theKernelsCountOfOurSignalsIsOurs() throws {
    let loop = Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))) - 1
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [loop])
    configuration.isolatedInterrupter = .signal
    configuration.watchdog = nil
    let coordinator = try Coordinator(configuration)
    let kernel = try KernelLedger(processors: [loop], signal: coordinator.signal)
    defer { kernel.close() }
    let counter = Counter()
    let work = try coordinator.registerSafe(counting: counter)
    let cpu = try ScriptedThread(coordinator, on: loop)
    let thread = try cpu.run { _ in CurrentThread.id }
    try cpu.enterUser()
    for count in 1...300 {
      coordinator.send(work, to: loop, urgency: .immediate)
      #expect(eventually { coordinator.statistics()[work].executed == count })
    }
    let report = try kernel.read()
    #expect(report.signals?[thread] == coordinator.statistics()[work].interrupted)
    #expect(report.signals?[thread] == 300)
    try cpu.enterKernel()
  }

  /// What reads the counts of a processor calls nothing there.
  @Test(.disabled(if: Sanitizer.isPresent, "a sanitizer's allocator flushes"))
  func readingALedgerIsNoInterrupt() throws {
    let loop = Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))) - 1
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [loop])
    configuration.watchdog = nil
    let coordinator = try Coordinator(configuration)
    let kernel = try KernelLedger(processors: [loop])
    defer { kernel.close() }
    let (isLooping, stop) = (Flag(), Flag())
    let thread = try coordinator.launch(on: loop) { cpu in
      cpu.inUser {
        isLooping.raise()
        while !stop.isRaised { cpu.poll() }
      }
    }
    defer {
      stop.raise()
      thread.join()
    }
    isLooping.wait()
    let housekeeper = try ScriptedThread(coordinator, on: 0)
    let ledger = InterferenceLedger(coordinator)
    let reader = try housekeeper.run { _ in
      // What is done once, at the first time, is done.
      for _ in 0..<20 { _ = ledger.snapshot() }
      return CurrentThread.id
    }
    _ = try kernel.read()
    try housekeeper.run { _ in for _ in 0..<1000 { _ = ledger.snapshot() } }
    let report = try kernel.read()
    // A wake-up is due to a timer that found this thread running, and not to what it did.
    let calls = report.entries.filter { $0.thread == reader && $0.callback != "rescheduling" }
    let count = calls.count
    #expect(count == 0, "\(calls.prefix(5))")
  }
}
