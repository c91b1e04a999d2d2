// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Sees whether any send was lost, without asking the library.
///
/// Every send has a number: one sequence per sender, callback and CPU. Four words go with it.
///
/// | word | written by | when |
/// |---|---|---|
/// | written | the sender, relaxed | before the send, which has to publish it |
/// | promised | the sender, release | after the send, if its outcome says that the work will run |
/// | seen | the handler, on the CPU | what it read in `written` |
/// | expected | the CPU | what it read in `promised`, in user, just before an entry |
///
/// After the entry `seen` has to have reached `expected`:
/// - The CPU read the promise (acquire), so the send had returned, and its bit had been set, before
///   the entry.
/// - If the bit was still set at the entry, the drain took it, and its handler read `written`. That
///   handler reads this send's number or a later one, since the take acquires what the send
///   released.
/// - If the bit was not set any more, an earlier drain had taken it, after the send, and the same
///   holds for its handler. A send that was merged is covered by a bit that another send set: its
///   own number has to have been read all the same.
///
/// So a smaller number is a send that no run covers: the bit was never set, or taken and not run,
/// or run before the number could be seen. `written` is relaxed on purpose, so that nothing but the
/// send can order it. One case escapes: a loss that a later send of the same sequence covers before
/// the CPU looks. Bursts are about ten milliseconds apart, and the CPU looks every two.
///
/// Plain calls are looked at in the end alone: a call in a queue that another sender is about to
/// ring for may come one entry later.
// Sendable: memory of its own that does not move, in which every shared word is atomic, and
// `expected` and `charged` belong to the CPU's thread, later to whoever has joined it.
@safe
final class Witness: @unchecked Sendable {
  private let senders: Int
  private let cpus: Int
  private let columns: Int
  private let written: UnsafeMutablePointer<Word>
  private let promised: UnsafeMutablePointer<Word>
  private let seen: UnsafeMutablePointer<Word>
  private let expected: UnsafeMutablePointer<UInt64>
  private let charged: UnsafeMutablePointer<UInt64>
  private let runs: UnsafeMutablePointer<Word>
  private let rows: UnsafeMutablePointer<WitnessRow>
  private let losses = Atomic<UInt64>(0)

  typealias Word = Atomic<UInt64>

  /// A witness for senders 0 ..< `senders` and CPUs 0 ..< `cpus`.
  init(senders: Int, cpus: Int) {
    self.senders = senders
    self.cpus = cpus
    columns = cpus * senders
    let count = Callback.allCases.count * columns
    unsafe written = Self.words(count)
    unsafe promised = Self.words(count)
    unsafe seen = Self.words(count)
    unsafe runs = Self.words(cpus * WitnessRow.runStride)
    unsafe expected = .allocate(capacity: count)
    unsafe expected.initialize(repeating: 0, count: count)
    unsafe charged = .allocate(capacity: count)
    unsafe charged.initialize(repeating: 0, count: count)
    unsafe rows = .allocate(capacity: Callback.allCases.count)
    for callback in Callback.allCases {
      let first = callback.rawValue * columns
      unsafe (rows + callback.rawValue).initialize(
        to: WitnessRow(
          written: written + first, seen: seen + first, runs: runs, senders: senders))
    }
  }

  deinit {
    unsafe written.deallocate()
    unsafe promised.deallocate()
    unsafe seen.deallocate()
    unsafe runs.deallocate()
    unsafe expected.deallocate()
    unsafe charged.deallocate()
    unsafe rows.deallocate()
  }

  /// How many sends were promised and not covered by a run, as far as anybody has checked.
  var lost: UInt64 { losses.load(ordering: .relaxed) }

  // MARK: The sender

  /// Writes the number of the send that comes next, and returns it.
  func write(sender: Int, _ callback: Callback, to cpu: Int) -> UInt64 {
    let index = index(sender, callback, cpu)
    let number = unsafe written[index].load(ordering: .relaxed) + 1
    unsafe written[index].store(number, ordering: .relaxed)
    return number
  }

  /// Notes that the send of this number has returned, and that it is to be covered.
  func promise(_ number: UInt64, sender: Int, _ callback: Callback, to cpu: Int) {
    // Release — Witness:P. The send comes first. Pairs with Witness:E.
    unsafe promised[index(sender, callback, cpu)].store(number, ordering: .releasing)
  }

  // MARK: The handler

  /// The context of a callback's handler.
  func context(of callback: Callback) -> UnsafeMutableRawPointer {
    unsafe UnsafeMutableRawPointer(rows + callback.rawValue)
  }

  /// How often handlers have run on a CPU, as its own thread sees it.
  @inline(__always)
  func runs(on cpu: Int) -> UInt64 {
    unsafe runs[cpu * WitnessRow.runStride].load(ordering: .relaxed)
  }

  // MARK: The CPU

  /// Reads what has been promised to a CPU: called by its thread, in user, just before it enters
  /// kernel.
  func expect(on cpu: Int) {
    for callback in Callback.deferrable {
      for sender in 0..<senders {
        let index = index(sender, callback, cpu)
        // Acquire — Witness:E. The entry comes after the send that was promised. Pairs with
        // Witness:P.
        unsafe expected[index] = promised[index].load(ordering: .acquiring)
      }
    }
  }

  /// Looks whether what was expected has been seen: called by the CPU's thread, in kernel, just
  /// after the entry.
  func check(on cpu: Int) {
    for callback in Callback.deferrable { compare(callback, cpu) }
  }

  /// Looks once more, at all CPUs and plain calls too, when every thread has been joined.
  func checkAll() {
    for callback in Callback.allCases {
      for cpu in 0..<cpus {
        for sender in 0..<senders {
          let index = index(sender, callback, cpu)
          // Relaxed: the senders have been joined.
          unsafe expected[index] = promised[index].load(ordering: .relaxed)
        }
        compare(callback, cpu)
      }
    }
  }

  // MARK: -

  private func compare(_ callback: Callback, _ cpu: Int) {
    for sender in 0..<senders {
      let index = index(sender, callback, cpu)
      let expected = unsafe expected[index]
      let covered = max(unsafe seen[index].load(ordering: .relaxed), unsafe charged[index])
      guard covered < expected else { continue }
      losses.wrappingAdd(expected - covered, ordering: .relaxed)
      // Counted once, however often it is looked at.
      unsafe charged[index] = expected
    }
  }

  private func index(_ sender: Int, _ callback: Callback, _ cpu: Int) -> Int {
    callback.rawValue * columns + cpu * senders + sender
  }

  private static func words(_ count: Int) -> UnsafeMutablePointer<Word> {
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: count * MemoryLayout<Word>.stride, alignment: 128)
    let words = unsafe memory.bindMemory(to: Word.self, capacity: count)
    for index in 0..<count { unsafe (words + index).initialize(to: Word(0)) }
    return unsafe words
  }
}

/// What the handler of one callback needs: addresses alone, since it runs in a signal handler.
@safe
struct WitnessRow {
  fileprivate let written: UnsafeMutablePointer<Witness.Word>
  fileprivate let seen: UnsafeMutablePointer<Witness.Word>
  fileprivate let runs: UnsafeMutablePointer<Witness.Word>
  fileprivate let senders: Int

  /// A line of its own per CPU: its loop looks at the word all the time.
  fileprivate static let runStride = 128 / MemoryLayout<Witness.Word>.stride

  fileprivate init(
    written: UnsafeMutablePointer<Witness.Word>, seen: UnsafeMutablePointer<Witness.Word>,
    runs: UnsafeMutablePointer<Witness.Word>, senders: Int
  ) {
    unsafe self.written = unsafe written
    unsafe self.seen = unsafe seen
    unsafe self.runs = unsafe runs
    self.senders = senders
  }

  /// The handler of every callback: reads the numbers, and notes what it read. Interrupt-safe.
  static func observe(_ context: UnsafeMutableRawPointer?, on cpu: Int) {
    let row = unsafe context.unsafelyUnwrapped.assumingMemoryBound(to: WitnessRow.self).pointee
    for index in cpu * row.senders..<(cpu + 1) * row.senders {
      let number = unsafe row.written[index].load(ordering: .relaxed)
      unsafe row.seen[index].store(number, ordering: .relaxed)
    }
    let runs = unsafe row.runs + cpu * runStride
    unsafe runs.pointee.store(runs.pointee.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
  }
}
