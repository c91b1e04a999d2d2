// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import CPUIsolation

extension StressTests {
  /// Rings that are written, read and switched at the same time.
  @Suite struct Tracing {
    struct Case: Sendable, CustomTestStringConvertible {
      var seed: UInt64
      /// Whether somebody changes filters, and switches events on and off, meanwhile.
      var changes = true
      var interrupter = Interrupter.poll
      var testDescription: String { "seed \(seed): changes \(changes), \(interrupter)" }
    }

    @Test(arguments: [
      Case(seed: 91, changes: false), Case(seed: 92), Case(seed: 93, interrupter: .signal),
    ])
    func storm(_ test: Case) throws { try TracingExperiment(test).run() }
  }
}

/// What writers record: a number that only goes up, and what it has to be multiplied out to.
private struct StressFields: BitwiseCopyable {
  var writer: UInt64
  var sequence: UInt64
  var hash: UInt64

  init(writer: UInt64, sequence: UInt64) {
    self.writer = writer
    self.sequence = sequence
    hash = Self.hash(writer, sequence)
  }

  static func hash(_ writer: UInt64, _ sequence: UInt64) -> UInt64 {
    var generator = SeededGenerator(seed: sequence, stream: Int(writer))
    return generator.next()
  }
}

/// Two CPUs, their interrupt handlers and two threads that are no CPUs write; one thread reads.
private final class TracingExperiment: Sendable {
  private static let cpus = 2
  private static let threads = 2
  /// CPUs, other threads, and the handlers on the CPUs.
  private static let writers = 2 * cpus + threads
  private static let slots = 16

  private enum Event: Int {
    /// Always on, and without a filter.
    case steady
    /// Filtered, off or on.
    case changing

    var format: TraceEventFormat {
      TraceEventFormat(
        system: "stress", name: "\(self)", id: 3001 + rawValue,
        declaring: ["writer", "sequence", "hash"].map { .number($0, as: UInt64.self) },
        printFormat: #""writer=%llu", REC->writer"#)
    }
  }

  private let test: StressTests.Tracing.Case
  private let coordinator: Coordinator
  private let steady: Tracepoint
  private let changing: Tracepoint
  /// Per writer and event, how often it was to be recorded so far.
  private let issued = WordTable(2 * writers)
  private let violations = Violations()
  private let stop = SharedFlag()
  private let interrupts = SharedCounter()
  private let eventsRead = SharedCounter()

  init(_ test: StressTests.Tracing.Case) throws {
    self.test = test
    var configuration = Coordinator.Configuration(
      housekeeping: [], isolated: CPUMask(0..<Self.cpus))
    configuration.isolatedInterrupter = test.interrupter
    configuration.pinning = .none
    configuration.watchdog?.report = { _ in }
    configuration.traceEvents = Self.slots
    coordinator = try Coordinator(configuration)
    let tracer = coordinator.tracer
    steady = try tracer.declare(Event.steady.format)
    changing = try tracer.declare(Event.changing.format)
    try tracer.start(Event.steady.format)
  }

  func run() throws {
    let work = try registerHandler()
    let owners = try (0..<Self.cpus).map { cpu in
      try coordinator.launch(on: cpu) { [self] local in own(local, cpu) }
    }
    let others = (0..<Self.threads).map { index in
      TestThread { [self] in
        while !stop.isSet {
          record(as: Self.cpus + index)
          if StressDuration.isThreadSanitized { sched_yield() }
        }
      }
    }
    let reader = TestThread { [self] in read() }
    let until = Until(StressDuration.ofCase(0.7))
    TestThread.run(test.interrupter == .signal ? 2 : 1) { [self] index in
      var random = SeededGenerator(seed: test.seed, stream: 100 + index)
      while !until.isOver {
        if index == 0 {
          if test.changes { change(&random) }
        } else if coordinator.send(work, to: random.below(Self.cpus), urgency: .immediate)
          == .interrupted
        {
          interrupts.add()
        }
        usleep(UInt32(random.below(50)))
      }
    }
    stop.set()
    for owner in owners { owner.join() }
    for other in others { other.join() }
    reader.join()
    checkEnd()
    violations.expectNone(
      "\(test.testDescription): \(eventsRead.value) read, \(interrupts.value) interrupts")
  }

  // MARK: Writers

  /// Allocates nothing, without optimisation either: a signal handler comes here.
  private func record(as writer: Int) {
    record(as: writer, .steady, steady)
    record(as: writer, .changing, changing)
  }

  private func record(as writer: Int, _ event: Event, _ tracepoint: Tracepoint) {
    let index = Self.index(writer, event)
    let sequence = issued.load(index) + 1
    issued.store(index, sequence)
    tracepoint.record(StressFields(writer: UInt64(writer), sequence: sequence))
  }

  private static func index(_ writer: Int, _ event: Event) -> Int { writer * 2 + event.rawValue }

  /// The number of calls of a writer so far.
  private func calls(_ writer: Int, _ event: Event) -> UInt64 {
    issued.load(Self.index(writer, event))
  }

  private func own(_ local: borrowing LocalCPU, _ cpu: Int) {
    var random = SeededGenerator(seed: test.seed, stream: cpu)
    while !stop.isSet {
      for _ in 0..<random.below(20) { record(as: cpu) }
      local.inUser {
        for _ in 0..<random.below(200) {
          record(as: cpu)
          local.poll()
        }
        // The sanitizer holds a signal back until here.
        if StressDuration.isThreadSanitized { usleep(1) }
      }
    }
  }

  /// The handler records too: in the signal handler, where one interrupts.
  private func registerHandler() throws -> WorkType {
    var options = WorkType.Options()
    options.isInterruptSafe = true
    return try unsafe coordinator.register(
      "record", options: options, context: Unmanaged.passUnretained(self).toOpaque()
    ) { context, cpu in
      unsafe Unmanaged<TracingExperiment>.fromOpaque(context.unsafelyUnwrapped)
        ._withUnsafeGuaranteedRef { $0.record(as: TracingExperiment.handler(of: cpu)) }
    }
  }

  private static func handler(of cpu: Int) -> Int { cpus + threads + cpu }

  // MARK: Filters

  private func change(_ random: inout SeededGenerator) {
    let tracer = coordinator.tracer
    let filters = [
      nil, "writer == 1", "sequence & 3 && cpu & CPUS{0}", #"comm ~ "*" || hash == 0"#,
      "common_pid != 0 && (writer < 2 || !(CPU & CPUS{0-1}))",
    ]
    do {
      if random.oneIn(3) {
        tracer.stop(Event.changing.format)
      } else {
        try tracer.start(Event.changing.format, filter: filters[random.below(filters.count)])
      }
      if random.oneIn(4) {
        try tracer.start(.contextUserExit, filter: random.oneIn(2) ? "cpu == 1" : nil)
      }
      if random.oneIn(4) { tracer.stop(.contextUserExit) }
    } catch {
      violations.note("a filter was refused: \(error)")
    }
  }

  // MARK: The reader

  private func read() {
    var ends = [UInt64](repeating: 0, count: Self.cpus + 1)
    while !stop.isSet {
      let snapshot = coordinator.tracer.snapshot()
      for (index, ring) in snapshot.rings.enumerated() {
        check(ring)
        let end = ring.lost + UInt64(ring.events.count)
        violations.check(end >= ends[index], "the ring \(index) went back from \(ends[index])")
        ends[index] = end
      }
      if StressDuration.isThreadSanitized { sched_yield() }
    }
  }

  private func check(_ ring: Tracer.Snapshot.Ring) {
    var latest = [UInt64](repeating: 0, count: issued.count)
    var time: UInt64 = 0
    violations.check(ring.events.count <= Self.slots, "\(ring.events.count) events in a ring")
    violations.check(
      ring.events.reduce(0) { $0 + $1.lostBefore } <= ring.lost,
      "the gaps of a ring are wider than its loss of \(ring.lost)")
    for event in ring.events {
      violations.check(event.timestamp >= time, "time goes back from \(time)")
      time = event.timestamp
      guard let (kind, fields) = decode(event) else { continue }
      eventsRead.add()
      let writer = Int(truncatingIfNeeded: fields.writer)
      guard fields.writer < UInt64(Self.writers),
        fields.hash == StressFields.hash(fields.writer, fields.sequence)
      else {
        violations.note("torn: \(fields)")
        continue
      }
      let home = writer < Self.cpus ? writer : writer - Self.cpus - Self.threads
      violations.check(
        ring.cpu == (home >= 0 ? home : nil),
        "writer \(writer) in the ring of \(ring.cpu.map(String.init) ?? "all")")
      let index = Self.index(writer, kind)
      violations.check(
        fields.sequence > latest[index],
        "writer \(writer): \(fields.sequence) behind \(latest[index])")
      latest[index] = fields.sequence
      // What a writer did before it recorded is seen by who reads the record.
      violations.check(
        fields.sequence <= issued.load(index), "\(fields) was read before it was written")
    }
  }

  /// The fields, if it is one of our events; another one has to be as long as it should.
  private func decode(_ event: Tracer.Snapshot.Event) -> (Event, StressFields)? {
    let id = Int(event.payload[0]) | Int(event.payload[1]) << 8
    guard let kind = Event(rawValue: id - 3001) else {
      violations.check(
        id == TraceEventFormat.contextUserExit.id && event.payload.count == 16,
        "a record of event \(id) with \(event.payload.count) bytes")
      return nil
    }
    guard event.payload.count == 8 + MemoryLayout<StressFields>.size else {
      violations.note("a record of event \(id) with \(event.payload.count) bytes")
      return nil
    }
    return unsafe event.payload.withUnsafeBytes {
      unsafe (kind, $0.loadUnaligned(fromByteOffset: 8, as: StressFields.self))
    }
  }

  // MARK: The end

  private func checkEnd() {
    let rings = coordinator.tracer.snapshot().rings
    for ring in rings {
      check(ring)
      let end = ring.lost + UInt64(ring.events.count)
      let writers =
        ring.cpu.map { [$0, Self.handler(of: $0)] } ?? Array(Self.cpus..<Self.cpus + Self.threads)
      let steady = writers.reduce(0) { $0 + calls($1, .steady) }
      violations.check(steady > 0, "nothing was recorded")
      violations.check(
        test.changes ? end >= steady : end == steady,
        "\(steady) calls, but \(end) positions: \(ring.lost) lost, \(ring.events.count) there")
      // Nobody gives up in a ring of one thread.
      if let cpu = ring.cpu {
        violations.check(
          ring.events.count == min(Self.slots, Int(end)),
          "CPU \(cpu) keeps \(ring.events.count) of \(end) events")
      }
    }
    violations.check(eventsRead.value > 0, "nothing was read")
    if test.interrupter == .signal, QueuedSignals.areAllowed {
      violations.check(interrupts.value > 0, "nobody was interrupted")
    }
    checkFilters()
  }

  /// The last filter is the one that counts, and the others are freed.
  private func checkFilters() {
    let tracer = coordinator.tracer
    do {
      tracer.stop(Event.steady.format)
      tracer.stop(.contextUserExit)
      try tracer.start(Event.changing.format, filter: "writer == 1")
      let before = tracer.snapshot().rings[Self.cpus]
      for writer in 0..<Self.writers { record(as: writer) }
      let after = tracer.snapshot().rings[Self.cpus]
      violations.check(
        after.lost + UInt64(after.events.count) == before.lost + UInt64(before.events.count) + 1,
        "a filter for one of the writers did not find one event")
      tracer.stop(Event.changing.format)
    } catch {
      violations.note("a filter was refused: \(error)")
    }
    let retired = coordinator.registry.withLock { $0.trace.retiredFilters }
    violations.check(retired == 0, "\(retired) filters are kept that nobody looks at")
  }
}
