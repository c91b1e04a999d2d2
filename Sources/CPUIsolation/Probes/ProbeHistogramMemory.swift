// SPDX-License-Identifier: Apache-2.0

/// The memory of a histogram that hits add to: a stripe for each of the first threads, as `ProbeCounts`,
/// and the buckets alone for those that share one.
// Sendable: an address of memory in which every word is atomic.
@safe
struct ProbeHistogramMemory: @unchecked Sendable {
  let base: Table<SharedWord>

  private static var buckets: Int { ProbeRegistry.Histogram.limit }
  private static var stripeWords: Int { ProbeHistogramStripe.wordCount(buckets: buckets) }
  static var byteCount: Int { ProbeCounts.stripes * stripeWords * 8 }

  init(base: Address) {
    // Safety: the memory has that many bytes.
    self.base = unsafe Table(base)
  }

  @inline(__always)
  private func stripe(_ thread: Int) -> ProbeHistogramStripe {
    ProbeHistogramStripe(
      words: base.dropping(thread &* Self.stripeWords), buckets: Self.buckets)
  }

  /// Counts a value in the calling thread's section, where nothing interrupts it that counts.
  @inline(__always)
  func add(_ value: UInt64, thread: Int) {
    let bucket = ProbeRegistry.Histogram.bucket(of: value)
    if thread < ProbeCounts.stripes {
      stripe(thread).append(bucket)
    } else {
      base[bucket].wrappingAdd(1, ordering: .relaxed)
    }
  }

  /// How many values have been counted.
  var count: UInt64 {
    let shared = (0..<Self.buckets).reduce(0) { $0 &+ base[$1].load(ordering: .relaxed) }
    return (1..<ProbeCounts.stripes).reduce(shared) {
      $0 &+ stripe($1).written.value.load(ordering: .relaxed)
    }
  }

  /// What has been counted.
  var histogram: ProbeRegistry.Histogram {
    // The stripe that is shared has no log.
    var counts = (0..<Self.buckets).map { base[$0].load(ordering: .relaxed) }
    for thread in 1..<ProbeCounts.stripes { stripe(thread).add(to: &counts) }
    return ProbeRegistry.Histogram(counts)
  }
}

/// What one thread has counted: a log of the last values, and buckets into which the log is moved when
/// it is full.
///
///     words    976  buckets
///                8  a line: how many values were written to the log, and twice how many of them have
///                   been moved, and 1 while one of them is on its way
///               64  the log: the buckets of the last values
///
/// A hit does not count in a bucket, whose address it has from a clock read just now: the next reading of
/// the clock would wait for that load, for 6 of a scope's 26 ns. It writes to the log, whose address it
/// knows.
///
/// The thread alone writes. A reader looks at the sequence of the moves before and after: where it is the
/// same, no value came from the log into a bucket meanwhile, and none is counted twice or not at all.
@safe
struct ProbeHistogramStripe {
  let words: Table<SharedWord>
  /// How many buckets there are.
  let buckets: Int

  static var logLength: Int { Limits.histogramLog }
  static func wordCount(buckets: Int) -> Int { buckets + 8 + logLength }
  /// How often a reader looks before it takes what it sees: a move takes a tenth of a microsecond, and
  /// this is tens of milliseconds.
  private static var looks: Int { 100 }

  var written: Place<SharedWord> { words.place(buckets) }
  var sequence: Place<SharedWord> { words.place(buckets &+ 1) }

  @inline(__always)
  func entry(_ index: UInt64) -> Place<SharedWord> {
    words.place(buckets &+ 8 &+ Int(truncatingIfNeeded: index) & (Self.logLength &- 1))
  }

  /// Counts a value. Wait-free.
  @inline(__always)
  func append(_ bucket: Int) {
    // Relaxed: this thread writes it.
    let count = written.value.load(ordering: .relaxed)
    // Release — histogram:E. The moves that made room before the entry: who reads it sees in the second
    // look that there were some. Pairs with histogram:L.
    entry(count).value.store(UInt64(truncatingIfNeeded: bucket), ordering: .releasing)
    // Release — histogram:W. The entry before the count that it is in. Pairs with histogram:N.
    written.value.store(count &+ 1, ordering: .releasing)
    if (count &+ 1) & UInt64(Self.logLength &- 1) == 0 { moveAll() }
  }

  /// Moves a full log into the buckets.
  @inline(never)
  func moveAll() {
    // Relaxed, as all loads here: this thread writes them.
    var moves = sequence.value.load(ordering: .relaxed)
    for index in 0..<UInt64(Self.logLength) {
      sequence.value.store(moves &+ 1, ordering: .relaxed)
      let bucket = Int(truncatingIfNeeded: entry(index).value.load(ordering: .relaxed))
      let count = words[bucket].load(ordering: .relaxed)
      // Release — histogram:B. The mark before the bucket: who reads the new count sees in the second look
      // that there was a move. Pairs with histogram:C.
      words[bucket].store(count &+ 1, ordering: .releasing)
      moves &+= 2
      // Release — histogram:M. The bucket before the sequence that says what is in it. Pairs with histogram:S.
      sequence.value.store(moves, ordering: .releasing)
    }
  }

  /// Adds what the thread has counted to a table of counts.
  ///
  /// A thread that has been stopped in the middle of a move for tens of milliseconds, or does not exist
  /// any more since the process was forked, may have one value counted twice.
  func add(to counts: inout [UInt64]) {
    if written.value.load(ordering: .relaxed) == 0 { return }
    var backoff = Backoff()
    for _ in 1..<Self.looks {
      if let seen = look(), seen.isSettled { return seen.add(to: &counts) }
      backoff.wait()
    }
    look()?.add(to: &counts)
  }

  /// One look, in the order that the argument needs; nil where moves came in between.
  func look() -> Look? {
    // Acquire — histogram:S. The sequence before the buckets that it speaks of. Pairs with histogram:M.
    let moves = sequence.value.load(ordering: .acquiring)
    // Acquire — histogram:C. A count before the second look. Pairs with histogram:B.
    let buckets = (0..<buckets).map { words[$0].load(ordering: .acquiring) }
    // Acquire — histogram:N. The count before its entries. Pairs with histogram:W.
    let count = written.value.load(ordering: .acquiring)
    let first = moves &>> 1
    guard count &- first <= UInt64(Self.logLength) else { return nil }
    // Acquire — histogram:L. An entry before the second look. Pairs with histogram:E.
    let log = (0..<count &- first).map { entry(first &+ $0).value.load(ordering: .acquiring) }
    // Relaxed: the loads above are before it.
    guard sequence.value.load(ordering: .relaxed) == moves else { return nil }
    return Look(buckets: buckets, log: log, isSettled: moves & 1 == 0)
  }

  /// What a reader saw.
  struct Look {
    let buckets: [UInt64]
    /// The buckets of what is not in them yet.
    let log: [UInt64]
    /// Whether no value was on its way.
    let isSettled: Bool

    func add(to counts: inout [UInt64]) {
      for (bucket, count) in buckets.enumerated() { counts[bucket] &+= count }
      for bucket in log { counts[Int(truncatingIfNeeded: bucket)] &+= 1 }
    }
  }
}
