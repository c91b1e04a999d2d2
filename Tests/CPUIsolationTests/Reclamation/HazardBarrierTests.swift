// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization
import Testing

@testable import CPUIsolation

extension HazardDomainTests {
  /// Stops one thread at one of the points, until it may go on.
  private enum Halt {
    /// The kernel's id of the thread; 0 is nobody.
    static let thread = Atomic<Int32>(0)
    static let isThere = Atomic<Bool>(false)
    static let mayGo = Atomic<Bool>(false)
    static let point = 6

    static let hook: @convention(c) (Int) -> Void = { point in
      guard point == Halt.point, thread.load(ordering: .relaxed) == CurrentThread.knownID else {
        return
      }
      isThere.store(true, ordering: .releasing)
      while !mayGo.load(ordering: .acquiring) { _ = sched_yield() }
    }
  }

  @Test(
    "a barrier waits for the batch that a thread has in its hands",
    .enabled(if: HazardFault.isCompiledIn, "points exist in debug builds alone"),
    arguments: [1, Limits.hazardBatch - 1])
  func batchInHand(count: Int) async {
    // In a process of its own: other tests have hooks at the same points.
    await #expect(processExitsWith: .success) { [count = count as Int] in
      try Self.stopWithTheBatchInHand(count)
    }
  }

  private static func stopWithTheBatchInHand(_ count: Int) throws {
    let reclaimed = Counter()
    let domain = try HazardDomain(reclamation: .explicit)
    Halt.isThere.store(false, ordering: .relaxed)
    Halt.mayGo.store(false, ordering: .relaxed)
    HazardFault.setHook(Halt.hook)
    defer { HazardFault.setHook(nil) }
    let step = PlainThread.start { [reclaimed] in
      // These have been retired long before the barrier.
      for value in 0..<count { unsafe domain.retire(Witness.make(value), counting: reclaimed) }
      Halt.thread.store(CurrentThread.knownID, ordering: .relaxed)
      unsafe domain.retire(Witness.make(count))
      Halt.thread.store(0, ordering: .relaxed)
    }
    #expect(eventually { Halt.isThere.load(ordering: .acquiring) })
    #expect(domain.barrier(timeout: .milliseconds(20)) == .timedOut([]))
    #expect(reclaimed.value == 0)
    Halt.mayGo.store(true, ordering: .releasing)
    #expect(domain.barrier(timeout: .seconds(20)) == .settled)
    #expect(reclaimed.value == count)
    try step.value()
  }

  @Test("what reclaimers retire when the domain ends is reclaimed, however much it is")
  func retiresAtTheEnd() throws {
    @safe final class Tree: Sendable {
      // Not retained: it is looked at while the domain is there.
      let domain: Unmanaged<HazardDomain>
      let counter: Counter
      init(_ domain: HazardDomain, _ counter: Counter) {
        unsafe self.domain = unsafe Unmanaged.passUnretained(domain)
        self.counter = counter
      }
    }
    let tree: Tree
    do {
      let domain = try HazardDomain(reclamation: .thread)
      tree = Tree(domain, reclaimed)
      let context = unsafe Unmanaged.passUnretained(tree).toOpaque()
      unsafe domain.retire(UnsafeMutableRawPointer(Witness.make(0)), context: context) {
        address, context in
        unsafe address.assumingMemoryBound(to: Witness.self).deallocate()
        let tree = unsafe Unmanaged<Tree>.fromOpaque(context!).takeUnretainedValue()
        unsafe tree.domain._withUnsafeGuaranteedRef { domain in
          for value in 0..<100_000 {
            unsafe domain.retire(Witness.make(value), counting: tree.counter)
          }
        }
      }
    }
    // The thread that reclaims may have had the last reference, while it looked around.
    #expect(eventually { reclaimed.value == 100_000 })
    withExtendedLifetime(tree) {}
  }
}
