// SPDX-License-Identifier: Apache-2.0

/// The events of several recordings in the order of time, such as the kernel's and a program's of
/// the same run.
///
/// ```swift
/// var merge = try TraceMerge([("kernel.dat", kernel), ("t.dat", program)])
/// while let (index, record) = merge.next() { print(index, record.timestamp) }
/// ```
///
/// Times can be compared where the clocks are the same, where both files have the date, and between
/// a guest's recording and its host's. Equal times come in the order of the recordings.
///
/// - Progress: blocking: reads the files
/// - Context: any thread
/// - Allocates: some pages for each CPU
public struct TraceMerge: Sendable {
  /// Two recordings whose times have nothing to do with each other.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: for the text
  public struct ClockMismatch: Error, Sendable, Equatable, CustomStringConvertible {
    /// The names of the two recordings.
    public let names: [String]
    /// The clock of each.
    public let clocks: [String]

    public var description: String {
      "the times of \(names[0]) (clock \(clocks[0])) and of \(names[1]) (clock \(clocks[1])) "
        + "cannot be compared"
    }
  }

  private var records: [TraceRecords]
  /// The time of each one's next event.
  private var heads: [UInt64?]

  /// Merges recordings, each with the name that an error calls it.
  ///
  /// - Parameter recordings: in the order in which events of one time are to come; their clocks
  ///   have to be one.
  /// - Throws: `ClockMismatch`, for the first two that do not go together.
  /// - Progress: blocking: reads the files
  /// - Context: any thread
  /// - Allocates: some pages for each CPU
  public init(
    _ recordings: [(name: String, recording: TraceRecording)]
  ) throws(ClockMismatch) {
    var first: (name: String, clock: String, base: TimeBase)?
    for (index, (name, recording)) in recordings.enumerated() {
      for clock in recording.recordedClocks {
        let base = TimeBase(recording, clock: clock, index, among: recordings.map(\.recording))
        guard let before = first else {
          first = (name, clock, base)
          continue
        }
        guard before.base == base || recordings.count == 1 else {
          throw ClockMismatch(names: [before.name, name], clocks: [before.clock, clock])
        }
      }
    }
    records = recordings.map { $0.recording.records() }
    heads = records.map(\.nextTimestamp)
  }

  /// What could not be read; complete when `next` has returned nil.
  public var damage: [TraceFileError] { records.flatMap(\.damage) }

  /// The next event, and which recording it is from.
  ///
  /// `while let (index, record) = merge.next() { … }`
  ///
  /// - Progress: blocking: reads the files
  /// - Context: any thread
  /// - Allocates: some pages, when those at hand are used up
  public mutating func next() -> (recording: Int, record: TraceRecord)? {
    var least: Int?
    for (index, head) in heads.enumerated() {
      guard let head else { continue }
      if let other = least.flatMap({ heads[$0] }), other <= head { continue }
      least = index
    }
    guard let least, let record = records[least].next() else { return nil }
    heads[least] = records[least].nextTimestamp
    return (least, record)
  }

  /// The next event of the CPU and buffer that the last one came from. Nothing is taken.
  package func following(_ record: TraceRecord, of recording: Int) -> TraceRecord? {
    records[recording].following(record)
  }

  /// The next event of a recording, whatever CPU it is from. Nothing is taken.
  package func upcoming(of recording: Int) -> TraceRecord? { records[recording].upcoming }
}

/// What the times of a recording are measured from.
private enum TimeBase: Equatable {
  case calendar
  case clock(String)
  /// The clock of a host, whose recording is not there.
  case host(UInt64)
  /// Numbers that every recorder counts for itself.
  case own(Int)

  init(
    _ recording: TraceRecording, clock: String, _ index: Int, among all: [TraceRecording]
  ) {
    if recording.options.hasDate {
      self = .calendar
    } else if let peer = recording.options.timeShift?.peer {
      guard
        let host = all.firstIndex(where: { $0.traceID == peer && $0.options.timeShift == nil }),
        let clock = all[host].recordedClocks.first
      else {
        self = .host(peer)
        return
      }
      self = TimeBase(all[host], clock: clock, host, among: all)
    } else {
      self = clock == "counter" ? .own(index) : .clock(clock)
    }
  }
}

extension TraceRecording {
  /// The clocks of the buffers that have events.
  fileprivate var recordedClocks: [String] {
    let recorded = buffers.filter { !$0.pages().isEmpty }
    return Array(Set(recorded.map { $0.hasTickRate ? "tsc2nsec" : $0.clock })).sorted()
  }
}
