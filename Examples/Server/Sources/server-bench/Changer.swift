// SPDX-License-Identifier: Apache-2.0

import CMachine
import Dispatch
import Glibc
import KeyValue
import Synchronization

/// The thread that changes the table.
final class Changer<Table: KeyValueTable>: Sendable {
  private let table: Table
  private let options: Options
  private let isOver = Atomic(false)
  private let isAlone = Atomic(false)
  private let changes = Atomic(0)
  private let threads = DispatchGroup()

  /// Begins to change one key after the other, at a rate.
  ///
  /// In a process that is to lose its processor in the middle of a change, the thread is one of SCHED_IDLE beside a
  /// busy one on the last processor, and a change is of all keys.
  init(_ table: Table, _ options: Options) {
    self.table = table
    self.options = options
    DispatchQueue(label: "changes").async(group: threads) { [self] in change() }
    if options.isPreempted {
      DispatchQueue(label: "busy").async(group: threads) { [self] in occupy() }
    }
  }

  private func change() {
    _ = machine_wake_on_time()
    if options.isPreempted {
      Machine.bind(to: Machine.processors.suffix(1))
      _ = machine_run_when_idle()
    }
    let names = (0..<options.keys).map { "key\($0)" }
    let start = Machine.now
    var count = 0
    while !isOver.load(ordering: .relaxed) {
      let value = count.isMultiple(of: 2) ? "even" : "odd"
      let name = names[count % names.count]
      if options.isPreempted {
        table.update { for name in names { $0[name] = value } }
      } else {
        table.update { $0[name] = value }
      }
      count += 1
      changes.store(count, ordering: .relaxed)
      let next = start + Int64(count) * 1_000_000_000 / Int64(options.changes)
      if next > Machine.now { Machine.sleep(until: next) }
    }
  }

  private func occupy() {
    Machine.bind(to: Machine.processors.suffix(1))
    while !isAlone.load(ordering: .relaxed) {}
  }

  /// Ends it, and tells how many changes it has made.
  func stop() -> Int {
    isAlone.store(true, ordering: .relaxed)
    isOver.store(true, ordering: .relaxed)
    threads.wait()
    return changes.load(ordering: .relaxed)
  }
}
