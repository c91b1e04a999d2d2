// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Synchronization
import Testing

extension HotPathTests {
  /// Coming and going.
  @Suite struct Transitions {
    private func coordinator() throws -> Coordinator {
      var configuration = Coordinator.Configuration(housekeeping: [], isolated: [0])
      configuration.pinning = .none
      return try Coordinator(configuration)
    }

    @Test func explicit() throws {
      let local = try coordinator().attach(to: 0)
      Counting.expectFree {
        local.enterUser()
        local.enterKernel()
      }
      local.detach()
    }

    @Test func scoped() throws {
      let local = try coordinator().attach(to: 0)
      var sum = 0
      Counting.expectFree {
        sum &+= local.inUser { local.inKernel { 1 } }
        local.inGuest { sum &+= 1 }
        local.inKernel { sum &+= 1 }
      }
      #expect(sum > 0)
      local.detach()
    }

    @Test func byHandle() throws {
      let coordinator = try coordinator()
      let handle = try coordinator.attachHandle(to: 0)
      Counting.expectFree {
        handle.enterUser()
        handle.poll()
        handle.enterKernel()
        handle.safePoint()
        handle.declareQuiescent()
      }
      handle.detach()
    }

    @Test func safePointsAndQuiescentStates() throws {
      let local = try coordinator().attach(to: 0)
      Counting.expectFree {
        local.safePoint()
        local.declareQuiescent()
      }
      local.detach()
    }

    @Test func idle() throws {
      let local = try coordinator().attach(to: 0)
      Counting.expectFree(rounds: 50) { local.idle(for: .microseconds(1)) }
      local.detach()
    }

    @Test func pollWithNothingToDo() throws {
      let local = try coordinator().attach(to: 0)
      local.inUser { Counting.expectFree { local.poll() } }
      local.detach()
    }

    /// The companion kicks as often as it is asked to.
    @Test func pollThatAnswers() throws {
      let works = Mutex<WorkType?>(nil)
      let companion = try Companion { coordinator, exchange in
        guard exchange.requests.load(ordering: .acquiring) > 0,
          let work = works.withLock({ $0 })
        else { return }
        exchange.requests.store(0, ordering: .relaxed)
        coordinator.send(work, to: 0, urgency: .immediate)
      }
      let work = try companion.register("kick")
      works.withLock { $0 = work }
      let exchange = companion.exchange
      let local = try companion.coordinator.attach(to: 0)
      local.inUser {
        Counting.expectFree(rounds: 100, waits: true) {
          let before = exchange.runs.load(ordering: .relaxed)
          exchange.requests.store(1, ordering: .releasing)
          while exchange.runs.load(ordering: .relaxed) == before {
            local.poll()
            sched_yield()
          }
        }
      }
      local.detach()
      companion.stop()
    }

    @Test func noiseMeter() {
      var meter = NoiseMeter()
      Counting.expectFree(.nothingInRelease) {
        meter.sample()
        meter.sample(after: .drain)
      }
      #expect(meter.report.samples > 0)
    }
  }
}
