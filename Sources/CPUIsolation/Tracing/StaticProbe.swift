// SPDX-License-Identifier: Apache-2.0

internal import CPlatform

/// The static probes of the built-in events: places in the program that tools from outside attach to.
enum StaticProbe {
  /// Whether a tool watches the event's probe. No event of a program's own has one.
  @inline(__always)
  static func isWatched(_ event: TraceEvent) -> Bool {
    event.index < CPI_STATIC_PROBES && cpi_probe_is_watched(Int32(truncatingIfNeeded: event.index))
  }

  /// Passes the event's probe. Its arguments are the fields of the record, but that a mask and a text
  /// are told by where they are, and a mask by how many words it has besides.
  ///
  /// The payload has six words at least, unless it holds a mask: then four, and the mask's.
  @inline(never)
  static func hit(_ event: TraceEvent, _ payload: Table<UInt64>, words: Int) {
    let maskWords = UInt64(truncatingIfNeeded: words &- 4)
    func address(ofWord word: Int) -> UInt64 {
      UInt64(payload.place(word).address.bits)
    }
    var (first, second, third, fourth) = (payload[1], payload[2], payload[3], payload[4])
    switch event {
    case .ipiSendCPUMask:
      (first, second, third, fourth) = (address(ofWord: 4), maskWords, second, third)
    case .gracePeriod:
      (second, third, fourth) = (address(ofWord: 2), address(ofWord: 4), maskWords)
    default: break
    }
    cpi_hit_probe(Int32(truncatingIfNeeded: event.index), first, second, third, fourth)
  }
}
