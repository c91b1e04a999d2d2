// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import CPUIsolation

/// Mappings and stacks that quiet memory keeps: each test has a process of its own.
@Suite(
  .serialized,
  .disabled(if: Sanitizer.isPresent, "a sanitizer has to see when memory is given back"))
struct KeptMemoryTests {
  private static let options = Coordinator.QuietMemory.Options(
    heapBytes: 0, makesDataPrivate: false, locksMemory: false)

  /// Whether there is memory at an address.
  private static func isMapped(_ address: UInt) -> Bool {
    // Safety: the kernel looks for a mapping, and at nothing in it.
    unsafe msync(UnsafeMutableRawPointer(bitPattern: address & ~4095), 4096, Int32(MS_ASYNC)) == 0
  }

  /// Writes a mapping from end to end, gives it back, and returns where it was.
  private static func writeAndRelease(_ bytes: Int) throws -> UInt {
    let memory = try MappedMemory(byteCount: bytes)
    let words = unsafe UnsafeMutableRawBufferPointer(start: memory.address.pointer, count: bytes)
    precondition(unsafe words.allSatisfy { $0 == 0 }, "a mapping is not empty")
    unsafe memset(words.baseAddress!, 1, bytes)
    return unsafe UInt(bitPattern: memory.address.pointer)
  }

  @Test func aMappingIsKeptAndUsedAgainEmpty() async {
    await #expect(processExitsWith: .success) {
      typealias Tests = KeptMemoryTests
      let (small, large) = (100_000, 17 << 20)
      let usual = try Tests.writeAndRelease(small)
      precondition(!Tests.isMapped(usual), "it is kept unasked")
      let coordinator = try Coordinator(.scripted())
      let quiet = coordinator.quietMemory(Tests.options)
      precondition(quiet.report[.mappings] == .done)
      let first = try Tests.writeAndRelease(small)
      precondition(Tests.isMapped(first), "it was given back")
      for _ in 0..<3 {
        let next = try Tests.writeAndRelease(small)
        precondition(next == first, "another mapping each time")
      }
      let tooLarge = try Tests.writeAndRelease(large)
      precondition(!Tests.isMapped(tooLarge))
      precondition(quiet.undo().isEmpty)
      precondition(!Tests.isMapped(first), "it is kept for good")
      let last = try Tests.writeAndRelease(small)
      precondition(!Tests.isMapped(last))
    }
  }

  /// No more than 64 MiB are kept.
  @Test func whatIsKeptHasALimit() async {
    await #expect(processExitsWith: .success) {
      typealias Tests = KeptMemoryTests
      let coordinator = try Coordinator(.scripted())
      let quiet = coordinator.quietMemory(Tests.options)
      let bytes = 16 << 20
      var addresses: [UInt] = []
      do {
        let all = try (0..<6).map { _ in try MappingBox(byteCount: bytes) }
        addresses = all.map { unsafe UInt(bitPattern: $0.memory.address.pointer) }
      }
      let kept = addresses.count { Tests.isMapped($0) }
      precondition(kept > 0 && kept <= 4, "\(kept) are kept")
      quiet.undo()
      precondition(!addresses.contains { Tests.isMapped($0) })
    }
  }

  /// Launches a thread, and returns where its stack is.
  private static func useStack(_ coordinator: Coordinator, bytes: Int?, joins: Bool) throws -> UInt
  {
    let address = Guarded<UInt>(0)
    let thread = try coordinator.launch(on: 1, options: .init(stackSize: bytes)) { cpu in
      var word: UInt = 0
      unsafe withUnsafeMutablePointer(to: &word) { place in
        address.withLock { $0 = UInt(bitPattern: place) }
      }
      cpu.inUser { cpu.poll() }
    }
    if joins { thread.join() }
    precondition(
      eventually { coordinator.context(of: 1) == .offline && address.withLock { $0 } != 0 })
    return address.withLock { $0 }
  }

  @Test func aStackIsUsedAgainOnceItsThreadHasEnded() async {
    await #expect(processExitsWith: .success) {
      typealias Tests = KeptMemoryTests
      let coordinator = try Coordinator(.scripted())
      let quiet = coordinator.quietMemory(Tests.options)
      for bytes in [nil, CPUThread.Options.minimumStackSize, 100_000] {
        let first = try Tests.useStack(coordinator, bytes: bytes, joins: true)
        precondition(Tests.isMapped(first), "it was given back")
        for joins in [true, false] {
          precondition(
            eventually { (try? Tests.useStack(coordinator, bytes: bytes, joins: joins)) == first },
            "another stack each time")
        }
        // Not joined: the thread gives it back by itself.
        precondition(
          eventually { (try? Tests.useStack(coordinator, bytes: bytes, joins: true)) == first })
      }
      let last = try Tests.useStack(coordinator, bytes: nil, joins: true)
      precondition(quiet.undo().isEmpty)
      // The kernel may know a thread for a moment after it has been joined: the next one's end looks again.
      precondition(
        eventually {
          if !Tests.isMapped(last) { return true }
          coordinator.quietMemory(Tests.options).undo()
          return false
        }, "it is kept for good")
      try coordinator.launch(on: 1) { _ in }.join()
    }
  }

  /// Below a stack is a page that nobody may touch.
  @Test func aStackEndsAtAGuard() async {
    await #expect(processExitsWith: .success) {
      typealias Tests = KeptMemoryTests
      let coordinator = try Coordinator(.scripted())
      coordinator.quietMemory(Tests.options)
      let bytes = 256 << 10
      let address = try Tests.useStack(coordinator, bytes: bytes, joins: true)
      var guardEnd: UInt? = nil
      for line in try SystemFiles().text("/proc/self/maps").split(separator: "\n") {
        let words = line.split(separator: " ")
        let ends = words[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
        if ends[0] <= address, address < ends[1] {
          precondition(guardEnd == ends[0], "no guard before \(line)")
          return
        }
        guardEnd = words[1].hasPrefix("---") ? ends[1] : nil
      }
      preconditionFailure("the stack is not mapped")
    }
  }

  /// Threads that start while others end, and quiet memory that comes and goes meanwhile.
  @Test func stacksComeAndGoWithTheirThreads() async {
    await #expect(processExitsWith: .success) {
      typealias Tests = KeptMemoryTests
      let coordinator = try Coordinator(.scripted(isolated: 4))
      let stop = Flag()
      let changer = PlainThread.start {
        while !stop.isRaised { coordinator.quietMemory(Tests.options).undo() }
      }
      let starters = (1...4).map { cpu in
        PlainThread.start {
          for round in 0..<200 {
            // The thread before may be on its way out.
            var started: CPUThread? = nil
            let isStarted = eventually {
              started = try? coordinator.launch(on: cpu) { local in local.inUser { local.poll() } }
              return started != nil
            }
            guard isStarted, let thread = started else {
              preconditionFailure("a thread did not start")
            }
            if round % 3 != 0 {
              thread.join()
            } else {
              precondition(eventually { coordinator.context(of: cpu) == .offline })
            }
          }
        }
      }
      for starter in starters { try starter.value() }
      stop.raise()
      try changer.value()
    }
  }
}

/// One mapping, for arrays.
private final class MappingBox {
  let memory: MappedMemory

  init(byteCount: Int) throws { memory = try MappedMemory(byteCount: byteCount) }
}
