// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Synchronization
import Testing

extension HotPathTests {
  /// Bringing work to others, and running what was brought.
  @Suite struct Sends {
    @Test func bySender() throws {
      let companion = try Companion()
      let work = try companion.register("work")
      let sender = try companion.coordinator.makeSender()
      Counting.expectFree { sender.send(work, to: 1) }
      Counting.expectFree { sender.send(work, to: 0) }
      companion.stop()
    }

    @Test func byLocalCPU() throws {
      let companion = try Companion()
      let work = try companion.register("work")
      let local = try companion.coordinator.attach(to: 0)
      Counting.expectFree { local.send(work, to: 1) }
      Counting.expectFree { local.send(work, to: 0) }
      local.detach()
      companion.stop()
    }

    @Test func byCoordinator() throws {
      let companion = try Companion()
      let work = try companion.register("work")
      let coordinator = companion.coordinator
      Counting.expectFree { coordinator.send(work, to: 1) }
      let local = try coordinator.attach(to: 0)
      Counting.expectFree { coordinator.send(work, to: 1) }
      local.detach()
      companion.stop()
    }

    @Test func urgently() throws {
      let companion = try Companion()
      var options = WorkType.Options()
      options.mayRunOnBehalf = true
      options.expectsManySenders = true
      let coordinator = companion.coordinator
      let work = try unsafe coordinator.register("work", options: options, context: nil) { _, _ in }
      let sender = try coordinator.makeSender()
      Counting.expectFree { sender.send(work, to: 1) }
      Counting.expectFree { sender.send(work, to: 1, urgency: .onBehalf) }
      Counting.expectFree { sender.send(work, to: 1, urgency: .immediate) }
      companion.stop()
    }

    @Test func toAMask() throws {
      let companion = try Companion()
      let work = try companion.register("work")
      let coordinator = companion.coordinator
      let sender = try coordinator.makeSender()
      let mask: CPUMask = [0, 1]
      Counting.expectFree { sender.send(work, to: mask) }
      Counting.expectFree { sender.send(work, to: mask, where: { $0 == 1 }) }
      Counting.expectFree { coordinator.send(work, to: coordinator.isolated) }
      companion.stop()
    }

    /// CPUs up to 127 fit into a mask without an array.
    @Test func toAWideMask() throws {
      let all = CPUMask(0..<128)
      let coordinator = try Coordinator(.init(housekeeping: [], isolated: all))
      let work = try unsafe coordinator.register("work", context: nil) { _, _ in }
      let sender = try coordinator.makeSender()
      Counting.expectFree(rounds: 100) { sender.send(work, to: all) }
    }

    @Test func drain() throws {
      let companion = try Companion()
      let coordinator = companion.coordinator
      let works = try (0..<3).map { try companion.register("work \($0)") }
      let (first, second, third) = (works[0], works[1], works[2])
      let local = try coordinator.attach(to: 0)
      let runs = companion.exchange
      let before = runs.runs.load(ordering: .relaxed)
      Counting.expectFree { local.inUser { _ = local.send(first, to: 0) } }
      #expect(runs.runs.load(ordering: .relaxed) == before + 2010)
      Counting.expectFree {
        local.inUser {
          local.send(first, to: 0)
          local.send(second, to: 0)
          local.send(third, to: 0)
        }
      }
      #expect(runs.runs.load(ordering: .relaxed) == before + 4 * 2010)
      // In kernel it runs at once.
      Counting.expectFree { local.send(first, to: 0) }
      #expect(runs.runs.load(ordering: .relaxed) == before + 5 * 2010)
      local.detach()
      companion.stop()
    }

    @Test func post() throws {
      let companion = try Companion()
      let coordinator = companion.coordinator
      let exchange = companion.exchange
      let call = unsafe CrossCall(context: Unmanaged.passUnretained(exchange).toOpaque()) {
        exchange, _ in
        unsafe Unmanaged<Exchange>.fromOpaque(exchange.unsafelyUnwrapped)
          ._withUnsafeGuaranteedRef { _ = $0.runs.wrappingAdd(1, ordering: .relaxed) }
      }
      Counting.expectFree { coordinator.post(call, on: 1) }
      Counting.expectFree(rounds: 100, waits: true) {
        while coordinator.post(call, on: 1) == .busy { sched_yield() }
      }
      let mask: CPUMask = [0, 1]
      Counting.expectFree {
        _ = unsafe coordinator.post(on: mask, context: nil) { _, _ in }
      }
      while call.isInFlight { sched_yield() }
      #expect(exchange.runs.load(ordering: .relaxed) > 0)
      companion.stop()
    }

    /// A ticket holds the coordinator, and counts that reference; it allocates nothing.
    @Test func ticket() throws {
      let companion = try Companion()
      let work = try companion.register("work")
      let coordinator = companion.coordinator
      let mask: CPUMask = [0, 1]
      Counting.expectFree(.referenceCounts) {
        let ticket = coordinator.sendWithTicket(work, to: mask)
        _ = ticket.state(of: 1)
        _ = ticket.unsettled(.covered)
        _ = ticket.wait(until: .covered)
      }
      companion.stop()
    }

    /// A grace period that is over at once keeps nothing, not even the coordinator.
    @Test func gracePeriodThatIsOver() throws {
      let companion = try Companion()
      let coordinator = companion.coordinator
      Counting.expectFree(.nothingInRelease) { _ = coordinator.startGracePeriod() }
      companion.stop()
    }

    @Test func gracePeriodPoll() throws {
      let companion = try Companion(in: .kernel)
      var gracePeriod = companion.coordinator.startGracePeriod()
      #expect(gracePeriod.stragglers == [1])
      Counting.expectFree(.nothingInRelease) { _ = gracePeriod.poll() }
      #expect(gracePeriod.stragglers == [1])
      companion.stop()
      let isOver = gracePeriod.poll()
      #expect(isOver)
      Counting.expectFree(.nothingInRelease) { _ = gracePeriod.poll() }
    }
  }
}
