// SPDX-License-Identifier: Apache-2.0

/// Numbers of the fields that are written, by their messages.
///
/// - Source: protos/perfetto/trace (github.com/google/perfetto, v52).
enum PerfettoSchema {
  enum Trace {
    static let packet: UInt64 = 1
  }
  enum Packet {
    static let clockSnapshot: UInt64 = 6
    static let timestamp: UInt64 = 8
    static let sequence: UInt64 = 10
    static let trackEvent: UInt64 = 11
    static let internedData: UInt64 = 12
    static let sequenceFlags: UInt64 = 13
    static let timestampClock: UInt64 = 58
    static let defaults: UInt64 = 59
    static let trackDescriptor: UInt64 = 60

    static let incrementalStateCleared: UInt64 = 1
  }
  enum ClockSnapshot {
    static let clock: UInt64 = 1
    static let clockNumber: UInt64 = 1
    static let clockTime: UInt64 = 2
    static let clockIsIncremental: UInt64 = 3
    /// The clock that the trace's times are of.
    static let bootTime: UInt64 = 6
    /// The first number of a clock that belongs to a sequence of packets.
    static let own: UInt64 = 64
  }
  enum Track {
    static let uuid: UInt64 = 1
    static let name: UInt64 = 2
    static let process: UInt64 = 3
    static let parent: UInt64 = 5
    static let counter: UInt64 = 8
    static let childOrdering: UInt64 = 11
    static let siblingOrder: UInt64 = 12

    static let processNumber: UInt64 = 1
    static let processName: UInt64 = 6
    static let counterUnit: UInt64 = 3
    static let unitCount: UInt64 = 2
    static let orderedByRank: UInt64 = 3
  }
  enum Event {
    static let categories: UInt64 = 3
    static let annotation: UInt64 = 4
    static let type: UInt64 = 9
    static let name: UInt64 = 10
    static let track: UInt64 = 11
    static let counterValue: UInt64 = 30
    static let flow: UInt64 = 47
    static let lastFlow: UInt64 = 48

    enum Kind: UInt64 {
      case begin = 1
      case end = 2
      case instant = 3
      case counter = 4
    }
  }
  enum Annotation {
    static let name: UInt64 = 1
    static let unsigned: UInt64 = 3
    static let signed: UInt64 = 4
    static let text: UInt64 = 6
    static let internedText: UInt64 = 17
  }
  enum Interned {
    static let categories: UInt64 = 1
    static let names: UInt64 = 2
    static let annotationNames: UInt64 = 3
    static let texts: UInt64 = 29

    static let number: UInt64 = 1
    static let text: UInt64 = 2
  }
}
