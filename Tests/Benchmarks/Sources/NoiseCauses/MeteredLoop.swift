// SPDX-License-Identifier: Apache-2.0

import CKernelView
import CPUIsolation
import Foundation
import Synchronization

/// An isolated loop that names its gaps, and what it shares with the threads that disturb it.
final class MeteredLoop: Sendable {
  /// How often a handler of the library has run on the loop, inside a signal or a drain.
  let runs = Atomic<Int>(0)
  /// The thread, once it runs, as the kernel and as the C library know it.
  let thread = Atomic<Int32>(0)
  let handle = Atomic<UInt>(0)
  private let isStopped = Atomic<Bool>(false)
  private let result = Mutex<GapLog?>(nil)

  /// What the loop does itself besides turning.
  struct Work: Sendable {
    /// Memory that was never touched, whose pages it writes one after the other.
    var pages: (start: UInt, count: Int)?
    /// How often it does that, and how often it enters kernel, in cycles.
    var period: UInt64
  }

  var gaps: GapLog? { result.withLock { $0 } }

  func stop() { isStopped.store(true, ordering: .relaxed) }

  func run(_ cpu: borrowing LocalCPU, _ work: Work) {
    var meter = NoiseMeter()
    var log = GapLog(room: 1 << 18)
    // A gap of half the meter's threshold is shown to the log, which asks the meter.
    let limit = work.period / 4000
    var page = 0
    var value: UInt64 = 1
    handle.store(UInt(pthread_self()), ordering: .relaxed)
    thread.store(kernel_thread(), ordering: .releasing)
    meter.nameCauses()
    var seen = runs.load(ordering: .relaxed)
    var last = cycle_counter()
    log.begin = last
    while !isStopped.load(ordering: .relaxed) {
      let entry = last &+ work.period
      cpu.inUser {
        var fault = last &+ work.period / 2
        while last < entry {
          for _ in 0..<200 { value = value &* 6_364_136_223_846_793_005 &+ 1 }
          if last > fault {
            page = write(work.pages, from: page, Int(value >> 62) + 1)
            fault = .max
          }
          let begin = last
          let now = runs.load(ordering: .relaxed)
          let end = cycle_counter()
          meter.sample(after: now == seen ? .unknown : .signal)
          last = end
          if end &- begin > limit {
            log.note(from: begin, to: end, isOurs: now != seen, meter.report)
            // What the log took is no gap.
            meter.reset()
            last = cycle_counter()
          }
          seen = now
        }
      }
      let now = runs.load(ordering: .relaxed)
      let end = cycle_counter()
      meter.sample(after: .drain)
      // The entry is, if nothing else.
      log.note(from: last, to: end, isOurs: true, meter.report)
      seen = now
      meter.reset()
      last = cycle_counter()
    }
    precondition(value != 0)
    result.withLock { [log] in $0 = log }
  }

  @inline(never)
  private func write(_ pages: (start: UInt, count: Int)?, from first: Int, _ count: Int) -> Int {
    guard let pages, let memory = UnsafeMutableRawPointer(bitPattern: pages.start) else { return 0 }
    var page = first
    while page < min(first + count, pages.count) {
      memory.storeBytes(of: 1, toByteOffset: page * 4096, as: UInt8.self)
      page += 1
    }
    return page
  }
}
