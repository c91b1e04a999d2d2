// SPDX-License-Identifier: Apache-2.0

import BenchmarkMachine
import CPUIsolation
import Foundation
import Synchronization

/// Prints how often operations of one thread interrupt another thread of the same process, on an
/// isolated processor: by the kernel's own count, as they are and with quiet memory.
///
/// Each operation has two processes of its own, since the allocator learns from what it has given.
/// Where tracefs may not be written the processor's counters are read, which have the interrupts of all
/// processes. With `--housekeeper` it makes the last part alone: what a housekeeping thread does.
@main
struct Interruptions {
  private static let arguments = CommandLine.arguments.dropFirst()

  static func main() throws {
    if let place = arguments.firstIndex(of: "--measure") {
      let names = arguments[(place + 1)...].filter { $0 != "--quiet" }
      return try measure(names.compactMap { Int($0) }, quietly: arguments.contains("--quiet"))
    }
    guard ProcessInfo.processInfo.activeProcessorCount > 1 else {
      print("an isolated processor is another one: this machine has one")
      exit(1)
    }
    print(Machine.description)
    let all = Operation.all + Housekeeper.operations
    let housekeeper = Array(all.indices.suffix(Housekeeper.operations.count))
    if !arguments.contains("--housekeeper") {
      print(
        "\n| interrupts per 1000 | shootdowns | other calls | rescheduling | with quiet memory |")
      print("|---|---|---|---|---|")
      for (index, operation) in all.enumerated() {
        let (before, after) = (try ask([index])[0], try ask([index], "--quiet")[0])
        print(
          "| \(operation.name) | \(before.shootdowns) | \(before.calls) | \(before.rescheduling) "
            + "| \(after.total) |")
      }
    }
    let before = try ask(housekeeper).reduce(0) { $0 + $1.total }
    let after = try ask(housekeeper, "--quiet").reduce(0) { $0 + $1.total }
    let share = before > 0 ? "\(Double(after * 1000 / before) / 10) %" : "nothing to compare with"
    print(
      "\na housekeeper that does the last \(housekeeper.count) 1000 times each, in one process: "
        + "\(before) interrupts, with quiet memory \(after): \(share)")
  }

  // MARK: The process that prints

  /// Has another process measure operations.
  private static func ask(_ indices: [Int], _ more: String...) throws -> [Counter.Count] {
    let process = Process()
    process.executableURL = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
    process.arguments = ["--measure"] + indices.map { "\($0)" } + more
    let output = Pipe()
    process.standardOutput = output
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    let counts = text.split(separator: "\n").compactMap { Counter.Count($0) }
    guard process.terminationStatus == 0, counts.count == indices.count else {
      print("the process that measures has failed: \(text)")
      exit(1)
    }
    return counts
  }

  // MARK: The process that measures

  private static func measure(_ indices: [Int], quietly: Bool) throws {
    let target = Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))) - 1
    var configuration = Coordinator.Configuration(
      housekeeping: [0, Housekeeper.cpu], isolated: [target])
    // The second one is for threads that come and go beside this one.
    configuration.pinning = .processors([0: 0, Housekeeper.cpu: 0, target: target])
    configuration.watchdog = nil
    let coordinator = try Coordinator(configuration)
    Housekeeper.coordinator = coordinator
    let counter = Counter(coordinator, processor: target)
    let stop = Stop()
    let loop = try coordinator.launch(on: target) { cpu in
      cpu.inUser { while !stop.isSet { cpu.poll() } }
    }
    if let reason = counter.refusal { FileHandle.standardError.write(Data("\(reason)\n".utf8)) }
    let all = Operation.all + Housekeeper.operations
    coordinator.keepingOffIsolatedProcessors {
      if quietly { coordinator.quietMemory() }
      for index in indices { print(counter.count(all[index]).line) }
    }
    stop.set()
    loop.join()
  }

  private final class Stop: Sendable {
    private let flag = Atomic<Bool>(false)
    var isSet: Bool { flag.load(ordering: .relaxed) }
    func set() { flag.store(true, ordering: .relaxed) }
  }
}
