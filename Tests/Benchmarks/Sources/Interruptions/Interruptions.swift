// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Synchronization

/// Prints how often operations of one thread interrupt another thread of the same process, on an
/// isolated processor: by the kernel's own count, as they are and with quiet memory.
///
/// Where tracefs may not be written the processor's counters are read, which have the interrupts of
/// all processes.
@main
struct Interruptions {
  static func main() throws {
    let processors = Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    guard processors > 1 else {
      print("an isolated processor is another one: this machine has one")
      exit(1)
    }
    let target = processors - 1
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [target])
    configuration.watchdog = nil
    let coordinator = try Coordinator(configuration)
    let counter = Counter(coordinator, processor: target)
    let stop = Stop()
    let loop = try coordinator.launch(on: target) { cpu in
      cpu.inUser { while !stop.isSet { cpu.poll() } }
    }
    print(Machine.description)
    print(
      "interrupts of processor \(target) per 1000 operations of a thread on processor 0, \(counter.source)\n"
    )
    let results = Results()
    let worker = try coordinator.launch(on: 0) { _ in
      for operation in Operation.all { results.add(counter.count(operation)) }
      let quiet = coordinator.quietMemory()
      results.note(quiet.report)
      for operation in Operation.all { results.add(counter.count(operation)) }
    }
    worker.join()
    stop.set()
    loop.join()
    print(results.table)
  }

  private final class Stop: Sendable {
    private let flag = Atomic<Bool>(false)
    var isSet: Bool { flag.load(ordering: .relaxed) }
    func set() { flag.store(true, ordering: .relaxed) }
  }

  /// What the thread that works has found out, for the one that prints.
  private final class Results: Sendable {
    private let state = Mutex<(counts: [Counter.Count], report: String)>(([], ""))

    func add(_ count: Counter.Count) { state.withLock { $0.counts.append(count) } }
    func note(_ report: Coordinator.QuietMemory.Report) {
      state.withLock { $0.report = report.description }
    }

    var table: String {
      state.withLock { state in
        let half = state.counts.count / 2
        var text = "| operation | shootdowns | other calls | rescheduling | with quiet memory |\n"
        text += "|---|---|---|---|---|\n"
        for (index, operation) in Operation.all.enumerated() {
          let (before, after) = (state.counts[index], state.counts[half + index])
          text += "| \(operation.name) | \(before.shootdowns) | \(before.calls) "
          text += "| \(before.rescheduling) | \(after.total) |\n"
        }
        return text + "\nquiet memory:\n" + state.report
      }
    }
  }
}
