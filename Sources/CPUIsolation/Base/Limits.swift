// SPDX-License-Identifier: Apache-2.0

internal import CPlatform

/// How many of each thing there are, and how wide counters are.
///
/// The checking build has few of each: every further word is one more place to switch, and a mistake
/// that rests on a counter shows only when the counter comes round.
///
/// All are computed: a stored global would be initialized by its first reader, which may be a hot
/// path or a signal handler.
enum Limits {
  /// Work types, the built-in ones included: one bit each in a CPU's work word.
  static var workTypes: Int { 64 }

  #if ModelChecking
    static var counterBits: Int { 2 }
    static var ticketedTypes: Int { 1 }
    static var hazardThreads: Int { 4 }
    static var hazardBatch: Int { 2 }
    static var hazardScopes: Int { 1 }
    static var hazardHolderLines: Int { 2 }
    static var hazardHolderSlots: Int { 2 }
    static var spareBatches: UInt64 { 0 }
    static var keyWords: Int { 8 }
    static var keyGroupWords: Int { 4 }
    static var regionFan: Int { 2 }
    static var histogramLog: Int { 2 }
  #else
    /// The width of the transition counter in W, in bits.
    static var counterBits: Int { 60 }
    /// Work types that may have tickets and payloads.
    static var ticketedTypes: Int { workTypes }
    /// Threads with a line of hazard slots of their own.
    static var hazardThreads: Int { Int(CPI_THREAD_NUMBERS) }
    /// Retired objects in one batch: as many as fit into 2.5 KB with the batch's header.
    static var hazardBatch: Int { 62 }
    /// Hazard slots of one thread for protections that end with their closure.
    static var hazardScopes: Int { 13 }
    /// Lines of hazard slots in one chunk of holders.
    static var hazardHolderLines: Int { 63 }
    /// Hazard slots in one line of holders.
    static var hazardHolderSlots: Int { 15 }
    /// Empty batches that a domain keeps for the next retirements.
    static var spareBatches: UInt64 { 64 }
    /// Words of static keys and calls of a coordinator: a key takes one, a call two.
    static var keyWords: Int { 512 }
    /// Words of keys and calls that are copied together: one cache line.
    static var keyGroupWords: Int { 8 }
    /// Entries of a node of a region map: with its count they fill two lines but for two words.
    static var regionFan: Int { 14 }
    /// Values of a histogram that a thread has not put into their buckets yet; a power of two.
    static var histogramLog: Int { 64 }
  #endif
}
