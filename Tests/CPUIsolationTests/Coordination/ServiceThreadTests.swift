// SPDX-License-Identifier: Apache-2.0

import CPlatform
import Foundation
import Glibc
import Testing

@testable import CPUIsolation

/// The library's own threads have nothing from the thread that starts them.
@Suite struct ServiceThreadTests {
  /// What `/proc` says of a thread: the field's value.
  private func status(_ thread: Int32, _ field: String) throws -> String {
    let text = try String(contentsOfFile: "/proc/self/task/\(thread)/status", encoding: .utf8)
    let line = try #require(text.split(separator: "\n").first { $0.hasPrefix(field + ":") })
    return line.dropFirst(field.count + 1).trimmingCharacters(in: .whitespaces)
  }

  @Test func theyKeepOffTheCPUThatStartsThem() throws {
    let coordinator = try Coordinator(.init(housekeeping: [0], isolated: [1]))
    let started = Guarded<(Coordinator, GracePeriodCallbacks, HazardDomain)?>(nil)
    let isOver = Flag()
    let thread = try coordinator.launch(on: 1) { cpu in
      // As a busy real-time loop: where the class is refused, the processor alone is to be left.
      _ = cpi_set_scheduling(1, 10)
      do {
        let inner = try Coordinator(.init(housekeeping: [0], isolated: [1]))
        let callbacks = try GracePeriodCallbacks(inner, capacity: 4)
        let domain = try inner.makeHazardDomain()
        started.withLock { $0 = (inner, callbacks, domain) }
      } catch {
        Issue.record("\(error)")
      }
      while !isOver.isRaised { cpu.poll() }
    }
    defer {
      isOver.raise()
      thread.join()
    }
    #expect(eventually { started.withLock { $0 != nil } })
    let (inner, callbacks, _) = try #require(started.withLock { $0 })
    #expect(
      eventually {
        Set(inner.statistics().serviceThreads.map(\.name))
          == ["cpu/watchdog", "cpu/callbacks", "hazard-reclaim"]
      })
    let isolated = inner.configuration.processor(of: 1)
    let hasOthers = ProcessorSet.given.contains { $0 != isolated }
    // The process's reclaimer keeps off the CPUs of other tests, too: if that leaves nothing, it has all.
    #expect(
      eventually {
        inner.statistics().serviceThreads.allSatisfy {
          $0.name == "hazard-reclaim"
            || $0.keepsOffIsolated == (isolated == nil || hasOthers && thread.isPinned)
        }
      }, "\(inner.statistics().serviceThreads)")
    for service in inner.statistics().serviceThreads {
      #expect(sched_getscheduler(service.threadID) & ~0x4000_0000 == SCHED_OTHER, "\(service)")
      // All but the two that nothing blocks, and those that glibc keeps for itself.
      let blocked = try #require(UInt64(try status(service.threadID, "SigBlk"), radix: 16))
      for signal in [SIGTERM, SIGINT, SIGUSR1, SIGALRM] {
        #expect(blocked >> UInt64(signal - 1) & 1 == 1, "\(service) takes signal \(signal)")
      }
    }
    callbacks.close()
  }

  @Test func theReclaimerKeepsOffTheCPUsOfEveryCoordinator() async {
    await #expect(processExitsWith: .success) {
      // A domain of nobody's, whose thread is there before the isolated CPU is.
      let domain = try HazardDomain()
      unsafe domain.retire(Witness.make(1))
      func processors() -> [Int32]? {
        HazardReclaimer.shared.serviceThread.flatMap { ProcessorSet.allowed(forThread: $0.id) }
          .map(Array.init)
      }
      let given = Array(ProcessorSet.given)
      guard eventually({ processors() == given }) else { exit(3) }
      do {
        let first = try Coordinator(.init(housekeeping: [0], isolated: [1]))
        let second = try Coordinator(.init(housekeeping: [0], isolated: [1]))
        let others = given.count > 1 ? given.filter { $0 != given[1] } : given
        guard eventually({ processors() == others }) else { exit(4) }
        withExtendedLifetime((first, second)) {}
      }
      // The processors of coordinators that have ended are like any other.
      guard eventually({ processors() == given }) else { exit(5) }
    }
  }

  @Test func theProcessorsOfIsolatedCPUs() {
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: CPUMask(1..<8192))
    #expect(Array(configuration.isolatedProcessors) == Array(ProcessorSet.given.dropFirst()))
    configuration.pinning = .none
    #expect(Array(configuration.isolatedProcessors) == [])
    configuration = .init(housekeeping: [0], isolated: [1, 3], pinning: .processors([3: 0]))
    #expect(Array(configuration.isolatedProcessors) == [0])
  }

  @Test func aCPUThatIsBoundToNothingInheritsNoBinding() throws {
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1])
    configuration.pinning = .none
    let coordinator = try Coordinator(configuration)
    let given = ProcessorSet.given
    let first = try #require(given.first { _ in true })
    let step = PlainThread.start {
      let seen = Guarded<[Int32]>([])
      guard cpi_pin_to_processor(first) == 0 else { return seen }
      _ = try? coordinator.launch(on: 1) { _ in
        let allowed = ProcessorSet.allowed(forThread: CurrentThread.id)
        seen.withLock { $0 = allowed.map(Array.init) ?? [] }
      }.join()
      return seen
    }
    #expect(try step.value().withLock { $0 } == Array(given))
  }

  @Test func aCPUsOwnThreadsHaveTheOrdinaryClass() throws {
    let coordinator = try Coordinator(.init(housekeeping: [0], isolated: [1]))
    let flags = Guarded<Int32>(0)
    try coordinator.launch(on: 1) { _ in
      flags.withLock { $0 = sched_getscheduler(0) }
    }.join()
    #expect(flags.withLock { $0 } & 0x4000_0000 != 0, "SCHED_RESET_ON_FORK is not set")
  }

  @Test func theNthCPUIsBoundToTheNthProcessorThatThereIs() throws {
    let given = Array(ProcessorSet.given)
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1])
    #expect(configuration.processor(of: 0) == given.first)
    #expect(configuration.processor(of: given.count) == nil)
    configuration.pinning = .sameNumber
    #expect(configuration.processor(of: given.count) == Int32(given.count))
  }
}
