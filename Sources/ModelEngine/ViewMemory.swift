// SPDX-License-Identifier: Apache-2.0

/// Memory as release and acquire see it: each word has a history, each thread a view of how much of
/// it has passed.
///
/// After J. Kang et al., "A Promising Semantics for Relaxed-Memory Concurrency", POPL 2017, without
/// promises: a load returns a value that is not older than its thread's view; an acquiring load of
/// a released value joins the views. The sequentially consistent accesses have a view of their own,
/// as in Demsky and Norris, "SATCheck", 2015, and loom.
struct ViewMemory {
  private typealias View = [Int32]

  private struct Message {
    var value: UInt64
    /// What a thread that acquires this value sees.
    var released: View
  }

  private struct Thread {
    var now: View = []
    /// What relaxed loads have brought along, for an acquiring fence.
    var pending: View = []
    /// What a releasing fence has fixed, for relaxed stores.
    var fenced: View = []
    var lastWasConsistentModify = false
    /// A waiting loop has gone round: the next loads are fresh.
    var isFresh = false
  }

  private static let wordsKept = 1024
  private var numbers: [UInt: Int] = [:]
  private var histories: [[Message]] = []
  private var threads: [Thread] = []
  private var consistent: View = []

  mutating func reset() {
    if numbers.count > Self.wordsKept {
      // Bodies whose memory moves from one execution to the next.
      numbers.removeAll(keepingCapacity: true)
      histories.removeAll(keepingCapacity: true)
    }
    for index in histories.indices { histories[index].removeAll(keepingCapacity: true) }
    consistent.removeAll(keepingCapacity: true)
    threads.removeAll(keepingCapacity: true)
  }

  mutating func begin(threads count: Int) {
    threads = Array(repeating: Thread(), count: count)
  }

  private mutating func number(_ address: UInt, _ width: Int) -> Int {
    let number: Int
    if let known = numbers[address] {
      number = known
    } else {
      number = histories.count
      numbers[address] = number
      histories.append([])
    }
    if histories[number].isEmpty {
      histories[number].append(Message(value: RawMemory.read(address, width), released: []))
    }
    return number
  }

  private static func at(_ view: View, _ index: Int) -> Int32 {
    index < view.count ? view[index] : 0
  }

  private static func raise(_ view: inout View, _ index: Int, _ time: Int32) {
    while view.count <= index { view.append(0) }
    if view[index] < time { view[index] = time }
  }

  private static func join(_ view: inout View, _ other: View) {
    while view.count < other.count { view.append(0) }
    for index in other.indices where view[index] < other[index] { view[index] = other[index] }
  }

  /// How many values a load may return, the newest first.
  mutating func candidates(
    _ thread: Int, _ address: UInt, _ width: Int, _ strength: Strength, _ staleness: Int
  ) -> Int {
    let index = number(address, width)
    let last = Int32(histories[index].count - 1)
    if threads[thread].isFresh { return 1 }
    var oldest = Self.at(threads[thread].now, index)
    if strength.isSequentiallyConsistent { oldest = max(oldest, Self.at(consistent, index)) }
    return Int(min(last - oldest, Int32(staleness))) + 1
  }

  mutating func load(_ thread: Int, _ address: UInt, _ strength: Strength, age: Int) -> UInt64 {
    let index = numbers[address]!
    let time = histories[index].count - 1 - age
    let message = histories[index][time]
    Self.raise(&threads[thread].now, index, Int32(time))
    Self.join(&threads[thread].pending, message.released)
    if strength.acquires || strength.isSequentiallyConsistent {
      Self.join(&threads[thread].now, message.released)
    }
    // arm64: LDAR after a store-release waits for it, and holds back all that follows.
    if strength.isSequentiallyConsistent, threads[thread].lastWasConsistentModify {
      Self.join(&threads[thread].now, consistent)
      threads[thread].lastWasConsistentModify = false
    }
    return message.value
  }

  mutating func store(
    _ thread: Int, _ address: UInt, _ value: UInt64, _ width: Int, _ strength: Strength
  ) {
    append(thread, number(address, width), value, strength, continuing: [])
    threads[thread].lastWasConsistentModify = false
  }

  mutating func modify(
    _ thread: Int, _ address: UInt, old: UInt64, _ new: UInt64, _ width: Int, _ strength: Strength
  ) {
    let index = number(address, width)
    let read = histories[index].last!.released
    Self.join(&threads[thread].pending, read)
    if strength.acquires || strength.isSequentiallyConsistent {
      Self.join(&threads[thread].now, read)
    }
    append(thread, index, new, strength, continuing: read)
    threads[thread].lastWasConsistentModify = strength.isSequentiallyConsistent
  }

  private mutating func append(
    _ thread: Int, _ index: Int, _ value: UInt64, _ strength: Strength, continuing sequence: View
  ) {
    let time = Int32(histories[index].count)
    Self.raise(&threads[thread].now, index, time)
    // A read-modify-write continues the release sequence of what it read.
    var released = sequence
    if strength.releases || strength.isSequentiallyConsistent {
      Self.join(&released, threads[thread].now)
    } else {
      Self.join(&released, threads[thread].fenced)
      Self.raise(&released, index, time)
    }
    histories[index].append(Message(value: value, released: released))
    if strength.isSequentiallyConsistent { Self.raise(&consistent, index, time) }
  }

  mutating func fence(_ thread: Int, _ strength: Strength) {
    if strength.acquires || strength.isSequentiallyConsistent {
      Self.join(&threads[thread].now, threads[thread].pending)
    }
    if strength.isSequentiallyConsistent {
      Self.join(&threads[thread].now, consistent)
      Self.join(&consistent, threads[thread].now)
    }
    if strength.releases || strength.isSequentiallyConsistent {
      threads[thread].fenced = threads[thread].now
    }
    threads[thread].lastWasConsistentModify = false
  }

  /// All that a thread has seen and done.
  func now(_ thread: Int) -> [Int32] { threads[thread].now }

  /// Adds that to what another has seen.
  mutating func acquire(_ thread: Int, _ view: [Int32]) { Self.join(&threads[thread].now, view) }

  /// What a thread that keeps looking sees at last: the newest values, unordered.
  mutating func catchUp(_ thread: Int) {
    for index in histories.indices where !histories[index].isEmpty {
      Self.raise(&threads[thread].now, index, Int32(histories[index].count - 1))
    }
  }
}
