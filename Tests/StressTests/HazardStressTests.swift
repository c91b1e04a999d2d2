// SPDX-License-Identifier: Apache-2.0

import CForks
import CPUIsolation
import Glibc
import Synchronization
import Testing

extension StressTests {
  /// Hazard pointers among many threads: references that are replaced all the time, holders that
  /// come and go by the thousand, and a fork in the middle.
  @Suite struct Hazards {
    final class Table: Sendable {
      static let live = Atomic<Int>(0)
      let version: Int
      private let check: Int
      init(_ version: Int) {
        (self.version, check) = (version, ~version)
        Self.live.wrappingAdd(1, ordering: .relaxed)
      }
      deinit { Self.live.wrappingAdd(-1, ordering: .relaxed) }
      var isSound: Bool { check == ~version }
    }

    // Sendable: a reference of the library's, in an object that threads share.
    final class Shared: Sendable {
      let reference: ProtectedReference<Table>
      init(_ domain: HazardDomain) { reference = ProtectedReference(Table(0), in: domain) }
    }

    @Test(
      "readers of a reference see whole objects, never an older one after a newer one",
      arguments: [HazardDomain.Reclamation.retiring, .thread])
    func references(reclamation: HazardDomain.Reclamation) throws {
      let before = Table.live.load(ordering: .relaxed)
      do {
        let domain = try HazardDomain(reclamation: reclamation)
        let shared = Shared(domain)
        let stop = SharedFlag()
        let failures = Atomic<Int>(0)
        let reads = Atomic<Int>(0)
        withUnsafePointers(failures, reads) { failures, reads in
          let writer = TestThread {
            var version = 0
            while !stop.isSet {
              version += 1
              shared.reference.replace(with: Table(version))
            }
          }
          let readers = (0..<3).map { _ in
            TestThread {
              var last = 0
              while !stop.isSet {
                shared.reference.withObject { table in
                  if !table.isSound || table.version < last { failures() }
                  last = table.version
                }
                reads()
              }
            }
          }
          let until = Until(StressDuration.ofCase(1))
          while !until.isOver { usleep(10_000) }
          stop.set()
          for thread in readers + [writer] { thread.join() }
        }
        #expect(failures.load(ordering: .relaxed) == 0)
        #expect(reads.load(ordering: .relaxed) > 1000)
        #expect(domain.barrier(timeout: StressDuration.generous) == .settled)
        #expect(Table.live.load(ordering: .relaxed) == before + 1)
      }
      #expect(eventually { Table.live.load(ordering: .relaxed) == before })
    }

    /// Counts from several threads, without the tests' own objects in the way.
    private func withUnsafePointers(
      _ first: borrowing Atomic<Int>, _ second: borrowing Atomic<Int>,
      _ body: (@escaping @Sendable () -> Void, @escaping @Sendable () -> Void) -> Void
    ) {
      let counts = [SharedCount(), SharedCount()]
      body({ counts[0].increment() }, { counts[1].increment() })
      first.wrappingAdd(counts[0].value, ordering: .relaxed)
      second.wrappingAdd(counts[1].value, ordering: .relaxed)
    }

    private final class SharedCount: Sendable {
      private let count = Atomic<Int>(0)
      func increment() { count.wrappingAdd(1, ordering: .relaxed) }
      var value: Int { count.load(ordering: .acquiring) }
    }

    @Test("holders come and go on many threads, ten thousand at a time")
    func holders() throws {
      let domain = try HazardDomain(reclamation: .explicit)
      TestThread.run(4) { _ in
        for _ in 0..<StressDuration.rounds(2) {
          let holders = (0..<10_000).map { _ in Holder(domain) }
          withExtendedLifetime(holders) {}
        }
      }
      #expect(domain.barrier(timeout: StressDuration.generous) == .settled)
    }

    private final class Holder {
      let hazard: HazardPointer
      init(_ domain: HazardDomain) { hazard = HazardPointer(in: domain) }
    }

    @Test("a fork leaves the child what works without the other threads")
    func forks() async {
      // In a process of its own: locks that other tests hold would stay held in the child.
      await #expect(processExitsWith: .success) { try Self.forkBesideAReader() }
    }

    private static func forkBesideAReader() throws {
      let domain = try HazardDomain(reclamation: .explicit)
      let shared = Shared(domain)
      let stop = SharedFlag()
      let isThere = SharedFlag()
      let reader = TestThread {
        shared.reference.withObject { _ in
          isThere.set()
          while !stop.isSet { usleep(1000) }
        }
      }
      #expect(eventually { isThere.isSet })
      let child = cfk_fork()
      if child == 0 {
        // The reader is not in this process: it holds nothing back.
        shared.reference.replace(with: Table(1))
        let isReclaimed = domain.barrier(timeout: .seconds(20)) == .settled
        _exit(isReclaimed && shared.reference.withObject { $0.version } == 1 ? 0 : 1)
      }
      #expect(child > 0, "no fork: errno \(errno)")
      #expect(cfk_end(child, 120) == 0)
      // In this one it does.
      shared.reference.replace(with: Table(1))
      #expect(domain.reclaim() == 0)
      stop.set()
      reader.join()
      #expect(domain.reclaim() == 1)
    }
  }
}
