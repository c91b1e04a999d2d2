// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CPUIsolationTrace

/// What one half of the experiment recorded.
struct HalfTrace: Sendable {
  let snapshot: Tracer.Snapshot
  /// The threads of the half: they have ended, and the system knows their names no more.
  let threadNames: [Int32: String]

  var events: Int { snapshot.rings.reduce(0) { $0 + $1.events.count } }

  /// Events that the rings had no room for.
  var lost: UInt64 { snapshot.rings.reduce(0) { $0 + $1.lost } }

  /// How many events each ring has to keep so that none is overwritten, as far as that is sensible.
  ///
  /// The load is known: a send leaves at most four events on one CPU (it is queued, an interrupt is
  /// sent, and there are its beginning and end), and an isolated CPU makes two transitions a stay,
  /// and many, which only count if they are recorded, in the hurry after it. Twice that is room for the random part. Memory that no
  /// event needs is never touched.
  static func eventsPerRing(_ options: Options) -> Int {
    let sends = Callback.allCases.reduce(0.0) { sum, callback in
      sum + Double(callback.sendsPerPeriod * (callback.isBroadcast ? options.isolated.count : 1))
    }
    let transitions: Set = [
      TraceEventFormat.contextUserEnter.name, TraceEventFormat.contextUserExit.name,
    ]
    let isEntryRecorded = options.events.contains { transitions.contains($0.format.name) }
    let stays =
      Duration.seconds(1) / IsolatedLoop.stay
      * Double(1 + (isEntryRecorded ? IsolatedLoop.entriesPerHurry : 0))
    let perSecond = 4 * sends / (Callback.period / .seconds(1)) + 4 * stays
    let wanted = 2 * perSecond * (options.duration / .seconds(1)) + 4096
    let rings = (options.housekeeping.union(options.isolated).last ?? 0) + 2
    return Int(min(wanted, Double(mostEvents / rings)))
  }

  /// Over all rings: a gigabyte of addresses.
  private static let mostEvents = 1 << 24
}

extension TraceRecording {
  /// The halves of the experiment, one after the other.
  init(halves: [HalfTrace]) {
    let cpuCount = halves.map(\.snapshot.cpuCount).max() ?? 1
    let hasOthers = halves.contains { half in
      half.snapshot.rings.contains { $0.cpu == nil && !$0.events.isEmpty }
    }
    // Threads that are no CPUs get a number of their own, above the last.
    self.init(cpuCount: cpuCount + (hasOthers ? 1 : 0))
    nameSymbols(of: halves)
    for half in halves {
      for format in half.snapshot.formats { define(format) }
      let names = half.threadNames.merging(half.snapshot.threadNames) { $1 }
      for (thread, name) in names { nameThread(thread, name) }
      for ring in half.snapshot.rings {
        for event in ring.events {
          let cpu = ring.cpu ?? cpuCount
          lost(cpu: cpu, count: event.lostBefore)
          append(
            cpu: cpu, timestamp: event.timestamp,
            event: Int(event.payload[0]) | Int(event.payload[1]) << 8, payload: event.payload)
        }
      }
    }
  }

  /// A call site has the same address in both halves. The last symbol needs one after it: in a
  /// file a symbol goes on to the next one.
  private mutating func nameSymbols(of halves: [HalfTrace]) {
    var names: [UInt64: String] = [:]
    var end: UInt64 = 0
    for symbol in halves.flatMap(\.snapshot.symbols) {
      names[symbol.addresses.lowerBound] = symbol.name
      end = max(end, symbol.addresses.upperBound)
    }
    if !names.isEmpty, names[end] == nil { names[end] = "_end" }
    for (address, name) in names.sorted(by: { $0.key < $1.key }) { nameSymbol(name, at: address) }
  }
}
