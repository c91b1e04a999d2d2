// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolationTrace
@testable import TraceLoad

/// Perfetto's own format, read field by field. `.ci/pictures` opens it in Perfetto's own page.
@Suite struct PerfettoTests {
  /// An event with what its numbers stand for.
  private struct Event {
    enum Kind: UInt64 { case begin = 1, end, instant, counter }
    var kind: Kind
    var track: String
    var time: UInt64
    var name: String
    var category: String?
    var arguments: [String: String] = [:]
    var flows: [UInt64] = []
    var lastFlows: [UInt64] = []
    var value: UInt64?
  }

  private struct Trace {
    var events: [Event] = []
    /// By their paths: names from the process on.
    var tracks: [UInt64: (name: String, parent: UInt64?)] = [:]
    var size = 0
  }

  private func read(_ recording: TraceRecording) throws -> Trace {
    let (bytes, damage) = try recording.encoded(as: .perfetto)
    #expect(damage.isEmpty)
    var trace = Trace(size: bytes.count)
    var clock: UInt64 = 0
    var interned: [Int: [UInt64: String]] = [:]
    var raw: [(event: ProtobufReading, time: UInt64, name: UInt64?)] = []
    for packet in try ProtobufReading(bytes[...]).messages(1) {
      #expect(packet.number(10) == 1, "every packet belongs to the sequence")
      for snapshot in try packet.messages(6) {
        let clocks = try snapshot.messages(1)
        #expect(clocks.map { $0.number(1) } == [6, 64])
        clock = try #require(clocks[1].number(2))
      }
      for data in try packet.messages(12) {
        for table in [1, 2, 3, 29] {
          for entry in try data.messages(table) {
            let number = try #require(entry.number(1))
            #expect(interned[table]?[number] == nil, "told once")
            interned[table, default: [:]][number] = entry.text(2)
          }
        }
      }
      for track in try packet.messages(60) {
        let name = try track.messages(3).first?.text(6) ?? track.text(2)
        trace.tracks[try #require(track.number(1))] = (name ?? "", track.number(5))
      }
      for event in try packet.messages(11) {
        var time = try #require(packet.number(8))
        if packet.number(58) == nil {
          clock += time
          time = clock
        }
        raw.append((event, time, event.number(10)))
      }
    }
    for (event, time, name) in raw {
      var read = Event(
        kind: try #require(event.number(9).flatMap { Event.Kind(rawValue: $0) }),
        track: try path(event.number(11) ?? 0, trace), time: time,
        name: name.flatMap { interned[2]?[$0] } ?? "",
        category: event.number(3).flatMap { interned[1]?[$0] }, flows: event.numbers(47),
        lastFlows: event.numbers(48), value: event.number(30))
      for argument in try event.messages(4) {
        let key = try #require(argument.number(1).flatMap { interned[3]?[$0] })
        let number = argument.number(3).map { "\($0)" }
        let signed = argument.number(4).map { "\(Int64(bitPattern: $0))" }
        let text = argument.number(17).flatMap { interned[29]?[$0] }
        read.arguments[key] = text ?? argument.text(6) ?? number ?? signed
      }
      trace.events.append(read)
    }
    return trace
  }

  private func path(_ track: UInt64, _ trace: Trace) throws -> String {
    let (name, parent) = try #require(trace.tracks[track], "every track is described")
    return try parent.map { try path($0, trace) + "/" + name } ?? name
  }

  private let cpu1 = "CPUs/CPU 1 (router one)"
  private let cpu0 = "CPUs/CPU 0 (housekeeper)"

  /// Who defers for whom, from a send over the wait to the drain.
  @Test func deferralsAreSlices() throws {
    let trace = try read(TestRecording.interplay())
    let flush = trace.events.filter { $0.track == "\(cpu1)/CPU 1 deferred work/flush" }
    #expect(flush.map(\.kind) == [.begin, .end, .begin])
    #expect(flush.map(\.time) == [2_000, 9_100, 9_500])
    let sync = trace.events.filter { $0.track == "\(cpu1)/CPU 1 deferred work/sync_text" }
    #expect(sync.map(\.time) == [200, 9_200], "its set is told by its age")
    let set = try #require(trace.events.first { $0.name == "defer flush" })
    #expect(set.track == cpu0 && set.time == 2_000 && set.kind == .instant)
    #expect(set.arguments == ["thread": "housekeeper-100", "from": "Housekeeper.run"])
    let drain = try #require(trace.events.first { $0.name == "drain flush" })
    #expect(drain.track == cpu1 && drain.time == 9_100)
    #expect(set.flows == flush[0].flows && set.flows == drain.lastFlows && set.flows.count == 1)
    #expect(trace.events.contains { $0.name == "merge flush" && $0.time == 2_500 })
    let counter = trace.events.filter { $0.track == "\(cpu1)/CPU 1 pending work" }
    #expect(counter.map(\.value) == [1, 0, 1])
    #expect(counter.allSatisfy { $0.kind == .counter })
  }

  /// Sections, calls and interrupts lie on the CPU's own track, and arrows join them.
  @Test func arrowsJoinTracks() throws {
    let trace = try read(TestRecording.interplay())
    let own = trace.events.filter { $0.track == cpu1 && ($0.kind == .begin || $0.kind == .end) }
    #expect(own.map(\.name) == ["user", "sync_text", "", "sync_text", "", ""])
    #expect(own.map(\.time) == [1_000, 3_100, 3_200, 4_100, 4_200, 9_000])
    #expect(own[0].category == "context" && own[1].category == "call")
    let sends = trace.events.filter { $0.name == "IPI to CPU 1: sync_text" }
    let arrivals = trace.events.filter { $0.name == "IPI from CPU 0: sync_text" }
    #expect(sends.map(\.flows) == arrivals.map(\.lastFlows))
    #expect(sends.count == 2 && sends.allSatisfy { $0.track == cpu0 && $0.flows.count == 1 })
    #expect(arrivals.allSatisfy { $0.track == cpu1 })
    let queued = trace.events.filter { $0.name == "call sync_text" }
    #expect(queued.map(\.flows) == [own[1].lastFlows, own[3].lastFlows])
  }

  /// Whatever a recording has: each end ends something, and no slice of a track reaches out of
  /// another.
  @Test(arguments: [true, false])
  func slicesNest(hasKernel: Bool) throws {
    let recording = TraceLoad(cpuCount: 8, isolated: 4...7, events: 6_000, hasKernel: hasKernel)
      .recording()
    let trace = try read(recording)
    var depths: [String: Int] = [:]
    var ends: [String: UInt64] = [:]
    for event in trace.events where event.kind == .begin || event.kind == .end {
      depths[event.track, default: 0] += event.kind == .begin ? 1 : -1
      #expect(depths[event.track] ?? 0 >= 0)
      #expect(event.time >= ends[event.track] ?? 0, "\(event)")
      ends[event.track] = event.time
    }
    #expect(depths.values.reduce(0, +) < 60, "only what is open at the end stays open")
    var flows: [UInt64: Int] = [:]
    for event in trace.events {
      for flow in event.flows + event.lastFlows { flows[flow, default: 0] += 1 }
    }
    #expect(flows.values.allSatisfy { $0 <= 3 })
    #expect(flows.values.count { $0 >= 2 } > 500)
  }

  /// The slices are as many as the records that begin something.
  @Test func slicesAreCounted() throws {
    let recording = TraceLoad(cpuCount: 8, isolated: 4...7, events: 6_000).recording()
    var records: [String: Int] = [:]
    for record in recording.records() {
      records[recording.format(of: record)?.name ?? "", default: 0] += 1
    }
    let begun = Dictionary(grouping: try read(recording).events.filter { $0.kind == .begin }) {
      $0.category ?? ""
    }.mapValues(\.count)
    for (category, event) in [
      ("tick", "local_timer_entry"), ("irq", "irq_handler_entry"), ("softirq", "softirq_entry"),
      ("call", "csd_function_entry"), ("ipi_handler", "call_function_single_entry"),
      ("deferral", "deferred_work_set"), ("context", "context_user_enter"),
      ("osnoise", "irq_noise"),
    ] {
      #expect(try #require(begun[category]) == records[event] ?? 0, "\(category)")
    }
  }

  /// An event that means nothing to a timeline is a mark with its fields.
  @Test func otherEventsAreMarks() throws {
    var recording = TestRecording.empty(cpuCount: 2)
    recording.append(
      cpu: 0, timestamp: 7, event: TestRecording.id("tlb_flush"),
      payload: TestPayload.head(100) + TestPayload.bytes(UInt32(1)) + TestPayload.bytes(UInt32(0))
        + TestPayload.bytes(UInt64(3)) + TestPayload.bytes(UInt64(9)) + TestPayload.bytes(UInt64(2))
    )
    let event = try #require(try read(recording).events.first)
    #expect(event.name == "tlb_flush" && event.kind == .instant && event.time == 7)
    #expect(
      event.arguments == [
        "thread": "housekeeper-100", "cpu": "1", "start": "3", "end": "9", "generation": "2",
      ])
  }

  /// Losses, times that go back, masks wider than the machine, and nothing at all.
  @Test func oddRecordings() throws {
    let trace = try read(TestRecording.manifold())
    #expect(trace.events.contains { $0.name == "17 events are missing" })
    #expect(try read(TestRecording.empty(cpuCount: 1)).events.isEmpty)
  }

  /// At most a hundred bytes an event, and a tenth of what JSON takes.
  @Test(arguments: [true, false])
  func isSmall(hasKernel: Bool) throws {
    let recording = TraceLoad(cpuCount: 64, isolated: 32...63, events: 20_000, hasKernel: hasKernel)
      .recording()
    let size = try recording.encoded(as: .perfetto).bytes.count
    #expect(size <= 100 * 20_000)
    #expect(size * 10 <= (try recording.encoded(as: .chrome).bytes.count))
  }

  @Test(arguments: [0, 1, 127, 128, 300, 16_383, 16_384, 40_000])
  func messagesOfEveryLength(length: Int) throws {
    var encoder = ProtobufEncoder()
    encoder.message(3) { $0.text(1, String(repeating: "x", count: length)) }
    encoder.fixed(4, .max)
    let read = try ProtobufReading(encoder.bytes[...])
    #expect(try read.messages(3).first?.text(1)?.utf8.count == length)
    #expect(read.number(4) == .max)
  }
}
