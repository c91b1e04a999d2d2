// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

/// What a coordinator records of itself, and of its users' events.
@Suite struct TracerTests {
  private func makeCoordinator(_ configure: (inout Coordinator.Configuration) -> Void = { _ in })
    throws -> Coordinator
  {
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1, 2])
    configuration.watchdog = nil
    configuration.pinning = .none
    configure(&configuration)
    return try Coordinator(configuration)
  }

  private func number(_ event: Tracer.Snapshot.Event, _ offset: Int) -> UInt64 {
    unsafe event.payload.withUnsafeBytes {
      unsafe $0.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
    }
  }

  private func names(_ ring: Tracer.Snapshot.Ring, _ snapshot: Tracer.Snapshot) -> [String] {
    ring.events.map { event in
      let id = Int(number(event, 0) & 0xffff)
      return snapshot.formats.first { $0.id == id }?.name ?? "?"
    }
  }

  @Test func nothingIsRecordedUnasked() throws {
    let coordinator = try makeCoordinator()
    let work = try coordinator.register("flush") { _ in }
    coordinator.send(work, to: 1)
    let snapshot = coordinator.tracer.snapshot()
    #expect(snapshot.rings.count == 4)
    #expect(snapshot.rings.map(\.cpu) == [0, 1, 2, nil])
    #expect(snapshot.rings.allSatisfy { $0.events.isEmpty && $0.lost == 0 })
    #expect(coordinator.tracer.events.isEmpty)
  }

  /// One CPU, one sender: every event where it belongs, in order, with its names.
  @Test func recordsADeferralFromSendToDrain() throws {
    let coordinator = try makeCoordinator()
    let work = try coordinator.register("flush") { _ in }
    let tracer = coordinator.tracer
    for event in [
      TraceEventFormat.deferredWorkSet, .deferredWorkMerge, .deferredWorkDrain,
      .contextUserEnter, .contextUserExit,
    ] {
      try tracer.start(event)
    }
    #expect(tracer.events.count == 5)
    let line: UInt = #line + 4
    let local = try coordinator.attach(to: 1)
    local.inUser {
      // Sends from another thread, while this CPU is in user.
      Self.onAnotherThread { for _ in 0..<2 { coordinator.send(work, to: 1) } }
    }
    local.detach()

    let snapshot = tracer.snapshot()
    #expect(
      names(snapshot.rings[1], snapshot) == [
        "context_user_enter", "context_user_exit", "deferred_work_drain",
      ])
    #expect(
      names(snapshot.rings[3], snapshot) == ["deferred_work_set", "deferred_work_merge"])
    let set = snapshot.rings[3].events[0]
    #expect(number(set, 8) & 0xffff_ffff == 1)
    let workName = snapshot.symbols.first { $0.addresses.contains(number(set, 16)) }
    #expect(workName?.name == "flush")
    let site = snapshot.symbols.first { $0.addresses.contains(number(set, 24)) }
    #expect(site?.name == "TracerTests.swift:\(line)")
    #expect(number(snapshot.rings[1].events[2], 16) == number(set, 16))
    // The thread that recorded is told.
    let me = Int32(truncatingIfNeeded: number(snapshot.rings[1].events[0], 0) >> 32)
    #expect(me == CurrentThread.id)
    #expect(snapshot.threadNames[me] != nil)
    // Times of both rings are of one clock.
    #expect(snapshot.rings[1].events[0].timestamp <= set.timestamp)
    #expect(set.timestamp <= snapshot.rings[1].events[1].timestamp)
  }

  private static func onAnotherThread(_ body: @escaping @Sendable () -> Void) {
    _ = try? PlainThread.start(body).value()
  }

  @Test func recordsCallsAndTheirInterrupts() throws {
    let coordinator = try makeCoordinator()
    let tracer = coordinator.tracer
    for event in [
      TraceEventFormat.ipiSendCPU, .csdQueueCPU, .csdFunctionEntry, .csdFunctionExit,
    ] {
      try tracer.start(event)
    }
    let local = try coordinator.attach(to: 1)
    Self.onAnotherThread {
      let call = unsafe CrossCall(context: nil) { _, _ in }
      #expect(coordinator.post(call, on: 1) == .queued)
      while call.isInFlight { continue }
    } beside: {
      while tracer.snapshot().rings[1].events.count < 2 { local.poll() }
    }
    local.detach()
    let snapshot = tracer.snapshot()
    #expect(names(snapshot.rings[3], snapshot) == ["csd_queue_cpu", "ipi_send_cpu"])
    #expect(names(snapshot.rings[1], snapshot) == ["csd_function_entry", "csd_function_exit"])
    // The record is the same one from queue to exit.
    #expect(
      number(snapshot.rings[3].events[0], 32) == number(snapshot.rings[1].events[0], 16))
    let statistics = coordinator.statistics()
    #expect(statistics[cpu: 1].calls.interrupted == 1)
  }

  private static func onAnotherThread(
    _ body: @escaping @Sendable () -> Void, beside own: () -> Void
  ) {
    let step = PlainThread.start(body)
    own()
    _ = try? step.value()
  }

  /// One send that interrupts several CPUs is one event with a mask, as in the kernel.
  @Test func recordsInterruptsOfOneSendTogether() throws {
    let coordinator = try makeCoordinator { $0.isolatedInterrupter = .poll }
    let work = try coordinator.register("flush") { _ in }
    try coordinator.tracer.start(.ipiSendCPU)
    try coordinator.tracer.start(.ipiSendCPUMask, filter: "cpumask & CPUS{2}")
    let threads = try (1...2).map { cpu in
      try coordinator.launch(on: cpu) { local in
        let enough: UInt64 = cpu == 1 ? 2 : 1
        local.inUser {
          while coordinator.statistics()[work, on: cpu].executed < enough { local.poll() }
        }
      }
    }
    let line: UInt = #line + 1
    let both = coordinator.send(work, to: [1, 2], urgency: .immediate)
    #expect(both[.interrupted] == [1, 2])
    while (1...2).contains(where: { coordinator.statistics()[work, on: $0].executed == 0 }) {
      continue
    }
    let one = coordinator.send(work, to: [1], urgency: .immediate)
    #expect(one[.interrupted] == [1])
    for thread in threads { thread.join() }

    let snapshot = coordinator.tracer.snapshot()
    let events = snapshot.rings[3].events
    #expect(names(snapshot.rings[3], snapshot) == ["ipi_send_cpumask", "ipi_send_cpu"])
    #expect(number(events[0], 8) == 8 << 16 | 32)
    #expect(number(events[0], 32) == 0b110)
    #expect(number(events[1], 8) == 1)
    for (event, line) in zip(events, [line, line + 5]) {
      let site = snapshot.symbols.first { $0.addresses.contains(number(event, 16)) }
      #expect(site?.name == "TracerTests.swift:\(line)")
      let callback = snapshot.symbols.first { $0.addresses.contains(number(event, 24)) }
      #expect(callback?.name == "flush")
    }
  }

  @Test func filtersKnowTheThreadsName() throws {
    let coordinator = try makeCoordinator()
    let refreshed = try coordinator.tracer.declare(Self.refreshed)
    try coordinator.tracer.start(Self.refreshed, filter: "comm == \"router\"")
    refreshed.record((UInt32(1), UInt32(1)))
    var options = CPUThread.Options()
    options.name = "router"
    let thread = try coordinator.launch(on: 1, options: options) { _ in
      refreshed.record((UInt32(2), UInt32(2)))
    }
    thread.join()
    let snapshot = coordinator.tracer.snapshot()
    #expect(snapshot.rings[3].events.isEmpty)
    #expect(snapshot.rings[1].events.map { number($0, 8) & 0xffff_ffff } == [2])
    // The thread has ended, and its name is known still.
    #expect(snapshot.threadNames.values.contains("router"))
  }

  @Test func recordsGracePeriods() throws {
    let coordinator = try makeCoordinator()
    try coordinator.tracer.start(.gracePeriod)
    let local = try coordinator.attach(to: 0)
    let hasLooked = Flag()
    Self.onAnotherThread {
      var gracePeriod = coordinator.startGracePeriod()
      let isOver = gracePeriod.poll()
      hasLooked.raise()
      #expect(!isOver)
      while !gracePeriod.poll() { continue }
      _ = gracePeriod.poll()
    } beside: {
      hasLooked.wait()
      local.declareQuiescent()
    }
    local.detach()
    let snapshot = coordinator.tracer.snapshot()
    let events = snapshot.rings[3].events
    try #require(events.count == 2)
    #expect(events.map { number($0, 8) } == [1, 1])
    let stages = events.map {
      String(decoding: $0.payload[16..<24].prefix { $0 != 0 }, as: UTF8.self)
    }
    #expect(stages == ["start", "end"])
    // The mask stands where the word says, and names the CPU that was waited for.
    for event in events {
      let location = number(event, 24)
      #expect(location & 0xffff == 32 && location >> 16 == 8)
      #expect(number(event, 32) == 1)
    }
  }

  // MARK: Filters

  @Test func filtersDecideWhatIsRecorded() throws {
    let coordinator = try makeCoordinator()
    let work = try coordinator.register("flush") { _ in }
    let tracer = coordinator.tracer
    try tracer.start(.deferredWorkSet, filter: "cpu & CPUS{2}")
    for cpu in 1...2 {
      let local = try coordinator.attach(to: cpu)
      local.inUser { Self.onAnotherThread { coordinator.send(work, to: cpu) } }
      local.detach()
    }
    let events = tracer.snapshot().rings[3].events
    #expect(events.map { number($0, 8) & 0xffff_ffff } == [2])
  }

  @Test func workTypesHaveNamesInFilters() throws {
    let coordinator = try makeCoordinator()
    let flush = try coordinator.register("flush") { _ in }
    let other = try coordinator.register("other") { _ in }
    let tracer = coordinator.tracer
    try tracer.start(.deferredWorkDrain, filter: "work.function == flush")
    let local = try coordinator.attach(to: 1)
    coordinator.send(flush, to: 1)
    coordinator.send(other, to: 1)
    local.detach()
    #expect(coordinator.statistics()[other, on: 1].executed == 1)
    let snapshot = tracer.snapshot()
    #expect(snapshot.rings[1].events.count == 1)
    #expect(
      snapshot.symbols.first {
        $0.addresses.contains(number(snapshot.rings[1].events[0], 16))
      }?.name == "flush")
  }

  /// A filter that is refused changes nothing.
  @Test func aRefusedFilterLeavesTheOldOne() throws {
    let coordinator = try makeCoordinator()
    let work = try coordinator.register("flush") { _ in }
    let tracer = coordinator.tracer
    try tracer.start(.deferredWorkDrain, filter: "cpu == 2")
    #expect(throws: TraceFilter.ParseError.self) {
      try tracer.start(.deferredWorkDrain, filter: "cpu == ")
    }
    #expect(throws: TraceFilter.ParseError.self) {
      try tracer.start(.contextUserExit, filter: "nothing == 1")
    }
    #expect(tracer.events == [.deferredWorkDrain])
    let local = try coordinator.attach(to: 1)
    coordinator.send(work, to: 1)
    local.safePoint()
    #expect(tracer.snapshot().rings[1].events.isEmpty)
    // "0" takes the filter away, as in the kernel.
    try tracer.start(.deferredWorkDrain, filter: "0")
    coordinator.send(work, to: 1)
    local.safePoint()
    #expect(tracer.snapshot().rings[1].events.count == 1)
    tracer.stop(.deferredWorkDrain)
    coordinator.send(work, to: 1)
    local.detach()
    #expect(tracer.snapshot().rings[1].events.count == 1)
  }

  /// Old filters are freed once every CPU in kernel has moved on.
  @Test func oldFiltersAreFreed() throws {
    let coordinator = try makeCoordinator()
    let tracer = coordinator.tracer
    let local = try coordinator.attach(to: 0)
    for value in 1...10 { try tracer.start(.deferredWorkSet, filter: "cpu == \(value)") }
    let before = coordinator.registry.withLock { $0.trace.retiredFilters }
    #expect(before == 9)
    local.declareQuiescent()
    tracer.stop(.deferredWorkSet)
    let after = coordinator.registry.withLock { $0.trace.retiredFilters }
    #expect(after == 1)
    local.detach()
    tracer.stop(.deferredWorkSet)
    #expect(coordinator.registry.withLock { $0.trace.retiredFilters } == 0)
  }

  /// However many threads look at filters all the time, those of before a change have an end.
  @Test func readersWhoKeepComing() throws {
    let coordinator = try makeCoordinator()
    let tracer = coordinator.tracer
    try tracer.start(.deferredWorkSet, filter: "cpu == 1")
    let address = coordinator.core.line.trace.load(ordering: .relaxed)
    let base = try #require(Address(at: address))
    let buffers = TraceBuffers(base: base)
    let entered = (0..<4).map { _ in Flag() }
    let released = (0..<4).map { _ in Flag() }
    func startReader(_ number: Int) -> Step<Void> {
      PlainThread.start {
        buffers.withFilter(of: TraceEvent.deferredWorkSet.index, isProtected: false) { _ in
          entered[number].raise()
          _ = eventually { released[number].isRaised }
        }
      }
    }
    var reader = startReader(0)
    for next in 1..<4 {
      #expect(eventually { entered[next - 1].isRaised })
      try tracer.start(.deferredWorkSet, filter: "cpu == \(next + 1)")
      #expect(coordinator.registry.withLock { $0.trace.retiredFilters } > 0, "somebody looks at it")
      let follower = startReader(next)
      #expect(eventually { entered[next].isRaised })
      released[next - 1].raise()
      try reader.value()
      reader = follower
    }
    // Two sides, so two looks; the last reader is still there, and holds back what it may look at.
    try tracer.start(.deferredWorkSet, filter: "cpu == 7")
    #expect(coordinator.registry.withLock { $0.trace.retiredFilters } <= 2)
    released[3].raise()
    try reader.value()
    tracer.stop(.deferredWorkSet)
    #expect(coordinator.registry.withLock { $0.trace.retiredFilters } == 0)
  }

  // MARK: Users' events

  private static let refreshed = TraceEventFormat(
    system: "routes", name: "refreshed", id: 2001,
    declaring: [.number("count", as: UInt32.self), .number("version", as: UInt32.self)],
    printFormat: #""count=%u version=%u", REC->count, REC->version"#)

  @Test func recordsEventsOfUsers() throws {
    let coordinator = try makeCoordinator()
    let refreshed = try coordinator.tracer.declare(Self.refreshed)
    var evaluated = 0
    func fields() -> (UInt32, UInt32) {
      evaluated += 1
      return (UInt32(100 * evaluated), 7)
    }
    refreshed.record(fields())
    #expect(evaluated == 0 && !refreshed.isOn)
    try coordinator.tracer.start(Self.refreshed, filter: "count > 100 && version == 7")
    #expect(refreshed.isOn)
    for _ in 0..<3 { refreshed.record(fields()) }
    #expect(evaluated == 3)
    let snapshot = coordinator.tracer.snapshot()
    let events = snapshot.rings[3].events
    #expect(events.map { number($0, 8) & 0xffff_ffff } == [200, 300])
    #expect(events.allSatisfy { $0.payload.count == 16 && number($0, 0) & 0xffff == 2001 })
    #expect(snapshot.formats.contains(Self.refreshed))
  }

  @Test func badDeclarationsAreRefused() throws {
    let coordinator = try makeCoordinator()
    let tracer = coordinator.tracer
    _ = try tracer.declare(Self.refreshed)
    #expect(throws: IsolationError.self) { try tracer.declare(Self.refreshed) }
    #expect(throws: IsolationError.self) { try tracer.declare(.ipiSendCPU) }
    let wide = TraceEventFormat(
      system: "routes", name: "wide", id: 2002,
      declaring: (0..<6).map { .number("n\($0)", as: UInt64.self) }, printFormat: #""""#)
    #expect(throws: IsolationError.self) { try tracer.declare(wide) }
    let dynamic = TraceEventFormat(
      system: "routes", name: "dynamic", id: 2003, declaring: [.cpuMask("mask")],
      printFormat: #""""#)
    #expect(throws: IsolationError.self) { try tracer.declare(dynamic) }
    for id in 3000..<3050 {
      _ = try tracer.declare(
        TraceEventFormat(
          system: "s", name: "e\(id)", id: id, declaring: [], printFormat: #""""#))
    }
    let error = #expect(throws: IsolationError.self) {
      try tracer.declare(
        TraceEventFormat(
          system: "s", name: "last", id: 4000, declaring: [], printFormat: #""""#))
    }
    #expect(error?.code == .tooManyTraceEvents)
  }

  /// The size of the rings is what the configuration says, rounded up.
  @Test func theRingsHaveTheSizeThatWasAskedFor() throws {
    let coordinator = try makeCoordinator { $0.traceEvents = 5 }
    let refreshed = try coordinator.tracer.declare(Self.refreshed)
    try coordinator.tracer.start(Self.refreshed)
    for value in 0..<20 { refreshed.record((UInt32(value), UInt32(0))) }
    let ring = coordinator.tracer.snapshot().rings[3]
    #expect(ring.events.count == 8)
    #expect(ring.lost == 12)
  }
}
