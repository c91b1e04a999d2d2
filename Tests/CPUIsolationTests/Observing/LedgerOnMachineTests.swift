// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import CPUIsolation

/// What a ledger sees of this machine: things that happen are counted in their column.
///
/// One test at a time: each has a loop on the last processor.
@Suite(.serialized, .enabled("with two processors") { GivenProcessors.areAllOfSeveral })
struct LedgerOnMachineTests {
  /// A coordinator with CPU 0 and the last one, which spins in user until told to stop.
  private func withLoop(
    _ body: (Coordinator, InterferenceLedger, _ loop: Int) throws -> Void
  ) throws {
    let loop = Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))) - 1
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [loop])
    configuration.isolatedInterrupter = .signal
    configuration.watchdog = nil
    let coordinator = try Coordinator(configuration)
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
    try body(coordinator, InterferenceLedger(coordinator), loop)
  }

  /// The reason why nothing is to be expected, or none.
  private func isVisible(_ column: InterferenceLedger.Column, _ row: InterferenceLedger.Row) -> Bool
  {
    if row[column] != nil { return true }
    return row.reason(column) == nil
  }

  @Test func unmappingIsAShootdown() throws {
    try withLoop { coordinator, ledger, loop in
      let housekeeper = try ScriptedThread(coordinator, on: 0)
      try housekeeper.run { _ in
        for _ in 0..<2000 {
          // Safety: memory of its own, unmapped once.
          let memory = unsafe mmap(
            nil, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)!
          unsafe memory.storeBytes(of: 1, as: UInt8.self)
          unsafe munmap(memory, 4096)
        }
      }
      let row = try #require(ledger.snapshot()[loop])
      #expect(row.processor == loop && row.thread != nil)
      if isVisible(.tlbShootdowns, row) { #expect(row[.tlbShootdowns]! > 0) }
    }
  }

  /// A system without rights sees the same: nothing here needs any.
  @Test(.enabled("as root") { geteuid() == 0 })
  func withoutRightsTheSameIsVisible() async throws {
    await #expect(processExitsWith: .success) {
      let tests = LedgerOnMachineTests()
      try tests.withLoop { _, ledger, loop in
        let columns = InterferenceLedger.Column.allCases
        let asRoot = ledger.snapshot()[loop]!
        precondition(setgid(65534) == 0 && setuid(65534) == 0 && geteuid() == 65534)
        let row = ledger.snapshot()[loop]!
        for column in columns {
          precondition((row[column] == nil) == (asRoot[column] == nil), "\(column)")
          precondition(row[column] == nil || row[column]! >= asRoot[column]!)
        }
        precondition(row[.preemptions] != nil && row[.minorFaults] != nil)
      }
    }
  }

  @Test func faultsAndSleepsAreTheThreads() throws {
    let coordinator = try Coordinator(.scripted())
    let cpu = try ScriptedThread(coordinator, on: 1)
    try cpu.run { _ in }
    let ledger = InterferenceLedger(coordinator)
    let pages = 300
    try cpu.run { _ in
      let memory = unsafe mmap(
        nil, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)!
      unsafe madvise(memory, pages * 4096, 15)  // MADV_NOHUGEPAGE: a fault for each
      for page in 0..<pages {
        unsafe memory.storeBytes(of: 1, toByteOffset: page * 4096, as: UInt8.self)
      }
      unsafe munmap(memory, pages * 4096)
      for _ in 0..<20 { usleep(100) }
    }
    let row = try #require(ledger.snapshot()[1])
    #expect(row[.minorFaults]! >= UInt64(pages))
    #expect(row[.sleeps]! >= 20)
    if GivenProcessors.count > 1 {
      #expect(row.processor == nil && row[.tlbShootdowns] == nil, "it is bound to none")
    }
  }

  @Test(.needsQueuedSignals) func ourKicksAreCountedAndNotTheKernels() throws {
    try withLoop { coordinator, ledger, loop in
      let counter = Counter()
      let work = try coordinator.registerSafe(counting: counter)
      let housekeeper = try ScriptedThread(coordinator, on: 0)
      try housekeeper.run { _ in
        for _ in 0..<200 {
          let ran = coordinator.statistics()[work].executed
          coordinator.send(work, to: loop, urgency: .immediate)
          while coordinator.statistics()[work].executed == ran { Flag.pause() }
        }
      }
      let row = try #require(ledger.snapshot()[loop])
      #expect(row[.kicks] == coordinator.statistics()[work].interrupted)
      #expect(row[.kicks]! > 0 && row.kicks.map(\.work) == ["safe"])
      #expect(row.kicks[0].callSite?.contains("LedgerOnMachineTests.swift:") == true)
    }
  }

  @Test func theTickIsCounted() throws {
    try withLoop { _, ledger, loop in
      // A loop meets the tick, unless the kernel stops it there.
      let isTickless =
        (try? SystemFiles().text("/sys/devices/system/cpu/nohz_full"))
        .flatMap { CPUMask($0) }?.contains(loop) == true
      guard let row = ledger.snapshot()[loop], isVisible(.timer, row), !isTickless else { return }
      #expect(eventually { ledger.snapshot()[loop]?[.timer] ?? 0 > 0 })
    }
  }
}
