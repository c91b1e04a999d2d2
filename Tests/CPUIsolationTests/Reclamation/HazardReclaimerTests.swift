// SPDX-License-Identifier: Apache-2.0

import CForks
import Glibc
import Testing

@testable import CPUIsolation

/// The thread that reclaims in the background.
@Suite struct HazardReclaimerTests {
  #if !CPUISOLATION_THREAD_SANITIZER  // The sanitizer has no threads after a fork.
    /// A fork while a pass is due, which the parent's thread would have made. In a process of its own:
    /// in the child, locks that other tests hold would stay held.
    @Test func theChildOfAForkHasAThreadOfItsOwn() async {
      await #expect(processExitsWith: .success) {
        let isThere = Flag()
        let mayGo = Flag()
        let gate = Gate(isThere, mayGo)
        let busy = try HazardDomain(reclamation: .thread)
        var due = [try HazardDomain(reclamation: .thread)]
        let context = unsafe Unmanaged.passUnretained(gate).toOpaque()
        unsafe busy.retire(UnsafeMutableRawPointer(Witness.make(0)), context: context) {
          address, context in
          unsafe address.assumingMemoryBound(to: Witness.self).deallocate()
          let gate = unsafe Unmanaged<Gate>.fromOpaque(context!).takeUnretainedValue()
          gate.isThere.raise()
          gate.mayGo.sleepUntilRaised()
        }
        Self.retireMany(in: busy)
        isThere.wait()
        // Nobody makes this pass before the gate opens.
        Self.retireMany(in: due[0])

        let child = cfk_fork()
        if child == 0 {
          Self.retireMany(in: due[0])
          // No clock that others may have locked.
          for _ in 0..<20_000 where due[0].counts.reclaimed == 0 { usleep(1000) }
          if due[0].counts.reclaimed == 0 { _exit(1) }
          weak let domain = due[0]
          // Only the thread of the parent, which is not here, would hold it.
          due = []
          for _ in 0..<20_000 where domain != nil { usleep(1000) }
          _exit(domain == nil ? 0 : 2)
        }
        mayGo.raise()
        #expect(child > 0, "no fork: errno \(errno)")
        #expect(cfk_end(child, 120) == 0, "in the child nobody reclaims, or the domain never ends")
        #expect(eventually(within: .seconds(60)) { due[0].counts.reclaimed > 0 })
        #expect(busy.barrier(timeout: .seconds(20)) == .settled)
        withExtendedLifetime(gate) {}
      }
    }

    /// A fork while another thread of the parent rings the reclaimer: the child has its lock, and not
    /// the thread that holds it.
    @Test func aForkInTheMiddleOfARing() async {
      await #expect(processExitsWith: .success) {
        let isLocked = Flag()
        let mayGo = Flag()
        let domain = try HazardDomain(reclamation: .thread)
        let ring = PlainThread.start {
          HazardReclaimer.shared.withLock {
            isLocked.raise()
            mayGo.sleepUntilRaised()
          }
        }
        isLocked.wait()
        let child = cfk_fork()
        if child == 0 {
          Self.retireMany(in: domain)
          for _ in 0..<20_000 where domain.counts.reclaimed == 0 { usleep(1000) }
          _exit(domain.counts.reclaimed > 0 ? 0 : 1)
        }
        mayGo.raise()
        try ring.value()
        #expect(child > 0, "no fork")
        #expect(cfk_end(child, 120) == 0, "in the child nobody reclaims")
      }
    }
  #endif

  private static func retireMany(in domain: HazardDomain) {
    for value in 0..<10_000 { unsafe domain.retire(Witness.make(value)) }
  }

  private final class Gate: Sendable {
    let isThere: Flag
    let mayGo: Flag
    init(_ isThere: Flag, _ mayGo: Flag) { (self.isThere, self.mayGo) = (isThere, mayGo) }
  }
}
