// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

extension HotPathTests {
  /// Recording what happens: events of users, and the library's own.
  @Suite struct Tracing {
    private static let format = TraceEventFormat(
      system: "test", name: "turn", id: 2001,
      declaring: [.number("count", as: UInt32.self), .number("version", as: UInt32.self)],
      printFormat: #""count=%u version=%u", REC->count, REC->version"#)

    private func coordinator() throws -> Coordinator {
      var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1, 2, 3])
      configuration.pinning = .none
      configuration.traceEvents = 64
      return try Coordinator(configuration)
    }

    /// How many events the rings have seen.
    private func recorded(_ coordinator: Coordinator) -> UInt64 {
      coordinator.tracer.snapshot().rings.reduce(0) { $0 + UInt64($1.events.count) + $1.lost }
    }

    /// An event that is off, or that a filter keeps out, is not recorded, and costs no more than the question.
    @Test(arguments: [nil, "count > 0 && version == 7 && common_pid != 1 && cpu & CPUS{2-3}"])
    func nothingIsRecorded(_ filter: String?) throws {
      let coordinator = try coordinator()
      let tracepoint = try coordinator.tracer.declare(Self.format)
      if let filter { try coordinator.tracer.start(Self.format, filter: filter) }
      #expect(tracepoint.isOn == (filter != nil))
      Counting.expectFree { tracepoint.record((1 as UInt32, 7 as UInt32)) }
      let local = try coordinator.attach(to: 1)
      Counting.expectFree { tracepoint.record((1 as UInt32, 7 as UInt32)) }
      local.detach()
      #expect(recorded(coordinator) == 0)
    }

    /// Every call was recorded: by a thread that is no CPU, by a CPU in kernel and by one in user.
    @Test(arguments: [
      nil, "count > 0 && version == 7 && common_pid != 1 && !(cpu & CPUS{2-3})",
      #"comm ~ "*" && version == 7"#,
    ])
    func everythingIsRecorded(_ filter: String?) throws {
      let coordinator = try coordinator()
      let tracepoint = try coordinator.tracer.declare(Self.format)
      try coordinator.tracer.start(Self.format, filter: filter)
      var calls: UInt64 = 0
      func record() {
        calls += 1
        tracepoint.record((1 as UInt32, 7 as UInt32))
      }
      Counting.expectFree { record() }
      let local = try coordinator.attach(to: 1)
      Counting.expectFree { record() }
      local.inUser { Counting.expectFree { record() } }
      local.detach()
      #expect(recorded(coordinator) == calls)
    }

    /// The library's own events: transitions, sends and drains.
    @Test func transitionsAndSends() throws {
      let companion = try Companion()
      let work = try companion.register("work")
      let coordinator = companion.coordinator
      for event in [
        TraceEventFormat.contextUserEnter, .contextUserExit, .deferredWorkSet, .deferredWorkMerge,
        .deferredWorkDrain, .csdQueueCPU, .csdFunctionEntry, .csdFunctionExit,
      ] {
        try coordinator.tracer.start(event)
      }
      let sender = try coordinator.makeSender()
      let local = try coordinator.attach(to: 0)
      let call = unsafe CrossCall(context: nil) { _, _ in }
      Counting.expectFree {
        local.enterUser()
        sender.send(work, to: 1)
        sender.send(work, to: 0)
        coordinator.post(call, on: 0)
        local.enterKernel()
      }
      local.detach()
      companion.stop()
      #expect(recorded(coordinator) > 5000)
    }
  }
}
