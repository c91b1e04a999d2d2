// SPDX-License-Identifier: Apache-2.0

import BenchmarkMachine
import CKernelView
import CPUIsolation
import Foundation
import Synchronization

/// Compares the causes that a ``NoiseMeter`` names with what the kernel recorded on the same processor: once with
/// nothing but the machine's own noise, and once with all that a meter can name; and an ``InterferenceLedger`` of the
/// same seconds with that record. As root: `noise-causes [SECONDS]`.
@main
struct NoiseCauses {
  static func main() throws {
    let arguments = CommandLine.arguments.dropFirst().map { Double($0) }
    guard arguments.count <= 1, arguments.allSatisfy({ (0.001...3600).contains($0 ?? 0) }) else {
      print("usage: noise-causes [SECONDS]")
      exit(64)
    }
    let seconds = arguments.compactMap { $0 }.first ?? 20
    #if !arch(x86_64)
      print("not measured: the kernel's trace has no clock that a loop can read here")
      return
    #endif
    guard ProcessInfo.processInfo.activeProcessorCount > 1 else {
      print("an isolated processor is another one: this machine has one")
      exit(1)
    }
    print(Machine.description)
    do {
      for isMixed in [false, true] { try compare(isMixed: isMixed, seconds: seconds) }
    } catch let refusal as KernelRecording.Refusal {
      print("not measured: \(refusal.sentence)")
    }
  }

  /// The signal of the coordinator.
  private static let kick = free_signal()

  private static func compare(isMixed: Bool, seconds: Double) throws {
    let target = Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))) - 1
    var configuration = Coordinator.Configuration(
      housekeeping: [Disturbance.sibling, Disturbance.sender], isolated: [target])
    configuration.pinning = .processors([
      Disturbance.sibling: target, Disturbance.sender: 0, target: target,
    ])
    configuration.isolatedInterrupter = .signal
    configuration.interruptSignal = kick
    configuration.watchdog = nil
    let coordinator = try Coordinator(configuration)
    try coordinator.keepingOffIsolatedProcessors {
      try compare(coordinator, target, isMixed: isMixed, seconds: seconds)
    }
  }

  private static func compare(
    _ coordinator: Coordinator, _ target: Int, isMixed: Bool, seconds: Double
  ) throws {
    let loop = MeteredLoop()
    let disturbance = Disturbance(coordinator, loop)
    let handler = try coordinator.register("work", options: .init(isInterruptSafe: true)) { _ in
      loop.runs.wrappingAdd(1, ordering: .relaxed)
      let end = cycle_counter() &+ 10_000
      while cycle_counter() < end {}
    }
    let period = cycles(of: 2000)
    let work = MeteredLoop.Work(
      pages: isMixed ? Disturbance.freshPages(1 << 15) : nil, period: period)
    let recording = try KernelRecording(processor: target)
    let thread = try coordinator.launch(on: target) { cpu in loop.run(cpu, work) }
    while loop.thread.load(ordering: .acquiring) == 0 { usleep(1000) }
    // Until the thread has settled on its processor, and what a ledger reads the first time has been read.
    _ = InterferenceLedger(coordinator).snapshot()
    usleep(200_000)
    var check = LedgerCheck(coordinator, cpu: target)
    let others = isMixed ? try disturbance.start(handler, target: target) : []
    usleep(UInt32(seconds * 1e6))
    check.finish()
    disturbance.stop()
    for other in others { other.join() }
    loop.stop()
    thread.join()
    let (lines, lost) = try recording.end()
    let number = loop.thread.load(ordering: .relaxed)
    let events = lines.compactMap { KernelEvent($0, thread: number) }
    report(isMixed ? "mixed load" : "quiet", loop.gaps, events, lost: lost)
    print("\nthe ledger, read without rights, and the kernel's trace of the same seconds:\n")
    print(check.table(lines, thread: number, signal: kick, frequency: Double(period) * 500))
  }

  /// How many cycles so many microseconds are.
  private static func cycles(of microseconds: UInt64) -> UInt64 {
    let (clock, begin) = (ContinuousClock.now, cycle_counter())
    usleep(20_000)
    let (cycles, time) = (cycle_counter() - begin, clock.duration(to: .now))
    return UInt64(Double(cycles) * (.microseconds(microseconds) / time))
  }

  private static func report(
    _ load: String, _ gaps: GapLog?, _ events: [KernelEvent], lost: UInt64
  ) {
    guard let gaps else { return }
    let confusion = Confusion(gaps, events)
    print("\n\(load): \(confusion.total) gaps, \(gaps.dropped) not noted, \(lost) events lost\n")
    print(confusion.table)
    print("")
    rate("preemptions and signals right", confusion.right(.preempted, .signalled), ">= 99 %")
    rate("faults right", confusion.right(.faulted), ">= 95 %")
    rate("ticks right", confusion.right(.tick), "no limit")
    rate("false names", confusion.falselyNamed, "<= 3 %")
    rate("wrongly ours", confusion.falselyOurs, "<= 0.1 %")
    for (name, count) in confusion.falseNames.sorted(by: { $0.value > $1.value }) {
      print("  \(count) \(name)")
    }
    let outside = confusion.outside.sorted { $0.key.rawValue < $1.key.rawValue }
    print("in no gap: " + outside.map { "\($0.value) \($0.key)" }.joined(separator: ", "))
  }

  private static func rate(_ name: String, _ part: (right: Int, all: Int), _ wanted: String) {
    let percent = part.all == 0 ? 0 : Double(part.right * 100_000 / part.all) / 1000
    print("\(name): \(part.right) of \(part.all), \(percent) % (\(wanted))")
  }
}
