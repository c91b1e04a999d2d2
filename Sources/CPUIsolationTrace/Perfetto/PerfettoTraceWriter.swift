// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// Writes Perfetto's own format, packet by packet as the records come.
///
/// - Source: protos/perfetto/trace/trace_packet.proto (github.com/google/perfetto, v52).
struct PerfettoTraceWriter {
  typealias Schema = PerfettoSchema

  let recording: TraceRecording
  var timeline: TraceTimeline
  var interning = PerfettoInterning()
  private var tracks: [PerfettoTrack: UInt64] = [:]
  private var arguments: [Int: PerfettoArguments] = [:]
  /// What goes into the file next.
  private var output = ProtobufEncoder()
  private var event = ProtobufEncoder()
  var scratch = ProtobufEncoder()
  /// Where the sequence's clock stands; nil before the first packet.
  private var clock: UInt64?

  private static let sequence: UInt64 = 1
  /// Of one event, at most so many arrows: a broadcast to a hundred CPUs is a line of marks.
  static let mostArrows = 16

  init(_ recording: TraceRecording) {
    self.recording = recording
    timeline = TraceTimeline(recording)
  }

  mutating func write(to sink: inout TraceSink) throws(TraceFileError) -> [TraceFileError] {
    var records = recording.records()
    while let record = records.next() {
      if clock == nil { begin(at: record.timestamp) }
      timeline.add(record)
      write(timeline.occurrences)
      if output.bytes.count >= 1 << 15 { try flush(to: &sink) }
    }
    timeline.finish()
    write(timeline.occurrences)
    describeCPUs()
    try flush(to: &sink)
    return records.damage
  }

  private mutating func flush(to sink: inout TraceSink) throws(TraceFileError) {
    try sink.write(output.bytes)
    output.removeAll()
  }

  // MARK: Packets

  /// Times are differences to the packet before, on a clock that starts with the recording.
  private mutating func begin(at time: UInt64) {
    clock = time
    packet { packet in
      packet.number(
        Schema.Packet.sequenceFlags, Schema.Packet.incrementalStateCleared)
      packet.message(Schema.Packet.defaults) {
        $0.number(Schema.Packet.timestampClock, Schema.ClockSnapshot.own)
      }
      packet.message(Schema.Packet.clockSnapshot) { snapshot in
        for number in [Schema.ClockSnapshot.bootTime, Schema.ClockSnapshot.own] {
          snapshot.message(Schema.ClockSnapshot.clock) {
            $0.number(Schema.ClockSnapshot.clockNumber, number)
            $0.number(Schema.ClockSnapshot.clockTime, time)
            if number == Schema.ClockSnapshot.own {
              $0.number(Schema.ClockSnapshot.clockIsIncremental, 1)
            }
          }
        }
      }
    }
  }

  private mutating func packet(_ body: (inout ProtobufEncoder) -> Void) {
    output.message(Schema.Trace.packet) {
      $0.number(Schema.Packet.sequence, Self.sequence)
      body(&$0)
    }
  }

  /// Writes an event on a track; `body` adds what belongs to the event.
  mutating func event(
    _ kind: Schema.Event.Kind, on track: PerfettoTrack, at time: UInt64,
    _ body: (_ event: inout ProtobufEncoder, _ interning: inout PerfettoInterning) -> Void
  ) {
    let trackNumber = number(of: track)
    event.removeAll()
    event.number(Schema.Event.type, kind.rawValue)
    event.number(Schema.Event.track, trackNumber)
    body(&event, &interning)
    output.message(Schema.Trace.packet) { packet in
      if let clock, time >= clock {
        packet.number(Schema.Packet.timestamp, time - clock)
        self.clock = time
      } else {
        packet.number(Schema.Packet.timestamp, time)
        packet.number(Schema.Packet.timestampClock, Schema.ClockSnapshot.bootTime)
      }
      packet.number(Schema.Packet.sequence, Self.sequence)
      if !interning.fresh.bytes.isEmpty {
        packet.bytes(Schema.Packet.internedData, interning.fresh.bytes)
        interning.removeFresh()
      }
      packet.bytes(Schema.Packet.trackEvent, event.bytes)
    }
  }

  // MARK: Tracks

  private mutating func number(of track: PerfettoTrack) -> UInt64 {
    if let known = tracks[track] { return known }
    var parent: UInt64?
    if let above = track.parent { parent = self.number(of: above) }
    let number = UInt64(tracks.count + 1)
    tracks[track] = number
    // The name of a CPU's track says which thread it ran, which is known at the end.
    if case .cpu = track { return number }
    describe(track, number, parent)
    return number
  }

  private mutating func describeCPUs() {
    for (track, number) in tracks.sorted(by: { $0.value < $1.value }) {
      guard case .cpu = track else { continue }
      describe(track, number, tracks[.process])
    }
  }

  private mutating func describe(_ track: PerfettoTrack, _ number: UInt64, _ parent: UInt64?) {
    let name = name(of: track)
    packet { packet in
      packet.message(Schema.Packet.trackDescriptor) { descriptor in
        descriptor.number(Schema.Track.uuid, number)
        if let parent { descriptor.number(Schema.Track.parent, parent) }
        if track == .process {
          descriptor.message(Schema.Track.process) {
            $0.number(Schema.Track.processNumber, 1)
            $0.text(Schema.Track.processName, name)
          }
        } else {
          descriptor.text(Schema.Track.name, name)
          descriptor.number(Schema.Track.siblingOrder, UInt64(track.rank))
        }
        descriptor.number(Schema.Track.childOrdering, Schema.Track.orderedByRank)
        if track.isCounter {
          descriptor.message(Schema.Track.counter) {
            $0.number(Schema.Track.counterUnit, Schema.Track.unitCount)
          }
        }
      }
    }
  }

  /// With zeros in front: Perfetto orders what lies below a process by its letters.
  private func label(_ cpu: Int) -> String {
    let digits = String(recording.cpuCount - 1).count
    let number = String(cpu)
    return "CPU " + String(repeating: "0", count: max(0, digits - number.count)) + number
  }

  private func name(of track: PerfettoTrack) -> String {
    switch track {
    case .process: "CPUs"
    case .cpu(let cpu): label(cpu) + (timeline.soleThread(of: cpu).map { " (\($0))" } ?? "")
    case .pending(let cpu): "\(label(cpu)) pending work"
    case .deferrals(let cpu): "\(label(cpu)) deferred work"
    case .work(_, let name): timeline.names[name]
    case .threads(let cpu): "\(label(cpu)) threads"
    case .noise(let cpu): "\(label(cpu)) noise"
    case .counter(let cpu, let name): "\(label(cpu)) \(name)"
    case .others(let cpu): "\(label(cpu)) other events"
    }
  }

  /// What an event's fields are called and where they stand, found once.
  mutating func arguments(of record: TraceRecord) -> PerfettoArguments {
    if let known = arguments[record.event] { return known }
    let found = PerfettoArguments(record.event, recording.formats[record.event])
    arguments[record.event] = found
    return found
  }
}
