// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CPUIsolationTesting
import Glibc
import Synchronization
import Testing

/// Handlers that break one rule each: the check names that rule, and no other.
@Suite struct BrokenHandlerTests {
  /// For handlers that never return: short enough to wait for.
  static var impatient: HandlerConformance.Options {
    var options = HandlerConformance.Options()
    options.deadline = .seconds(4)
    return options
  }

  private func expect(
    _ report: ConformanceReport, breaks rule: ConformanceRule, saying words: String,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(report.broken == [rule], "\(report)", sourceLocation: sourceLocation)
    #expect(!report.isConforming, sourceLocation: sourceLocation)
    let detail = report.findings.first { $0.rule == rule }?.detail ?? ""
    #expect(detail.contains(words), "\(report)", sourceLocation: sourceLocation)
  }

  // MARK: The state

  @Test func doesNothing() throws {
    let report = try conformance(of: "nothing") { _, _ in }
    expect(report, breaks: .catchesUp, saying: "leave the state at 0")
    #expect(report[.coalescing] == .notChecked)
  }

  @Test func countsRuns() throws {
    let report = try conformance(of: "count") { catalogue, cpu in
      if catalogue.version.load(ordering: .relaxed) > 0 {
        catalogue.copies[cpu].value.add(1, ordering: .relaxed)
      }
    }
    expect(report, breaks: .idempotent, saying: "from 1 to 4")
    #expect(report[.coalescing] == .notChecked)
  }

  @Test func remembersThatNothingWasThere() throws {
    let report = try conformance(of: "negative cache") { catalogue, cpu in
      if catalogue.copies[cpu].value.load(ordering: .relaxed) == -1 { return }
      if catalogue.version.load(ordering: .relaxed) == 0 {
        return catalogue.copies[cpu].value.store(-1, ordering: .relaxed)
      }
      catalogue.copy(cpu)
    }
    expect(report, breaks: .harmlessUnsent, saying: "leads to -1")
  }

  @Test func doesOnePartPerRun() throws {
    let report = try conformance(of: "pop") { catalogue, cpu in
      let part = catalogue.queues.withLock { queues in
        queues[cpu].isEmpty ? 0 : queues[cpu].removeFirst()
      }
      catalogue.copies[cpu].value.add(part, ordering: .relaxed)
    }
    expect(report, breaks: .coalescing, saying: "16 changes and one run lead to 3")
  }

  @Test func usesUpWhatIsShared() throws {
    let report = try HandlerConformance.check("flag") { coordinator in
      let catalogue = Catalogue()
      let copied = Catalogue.Cell()
      let work = try coordinator.register("flag") { cpu in
        let version = catalogue.version.load(ordering: .relaxed)
        if copied.value.exchange(version, ordering: .relaxed) != version { catalogue.copy(cpu) }
      }
      return catalogue.subject(work)
    }
    expect(report, breaks: .drainOrder, saying: "after a run for another CPU")
  }

  @Test func looksUpTheCurrentCPU() throws {
    var options = WorkType.Options()
    options.mayRunOnBehalf = true
    let report = try HandlerConformance.check("current") { coordinator in
      let catalogue = Catalogue()
      let work = try coordinator.register("current", options: options) {
        [unowned coordinator] _ in
        catalogue.copy(coordinator.currentCPU ?? 0)
      }
      return catalogue.subject(work)
    }
    expect(report, breaks: .drainOrder, saying: "by another thread on behalf of the CPU")
  }

  @Test func reliesOnAnotherType() throws {
    let report = try HandlerConformance.check("second") { coordinator in
      let catalogue = Catalogue()
      let fetched = [Catalogue.Cell(), Catalogue.Cell(), Catalogue.Cell()]
      let first = try coordinator.register("first") { cpu in
        fetched[cpu].value.store(catalogue.sum.load(ordering: .relaxed), ordering: .relaxed)
      }
      let second = try coordinator.register("second") { cpu in
        let sum = fetched[cpu].value.load(ordering: .relaxed)
        catalogue.copies[cpu].value.store(sum, ordering: .relaxed)
      }
      return catalogue.subject(second, others: [first])
    }
    expect(report, breaks: .drainOrder, saying: "types [0, 1] of the subject drained in that order")
  }

  // MARK: The cost

  @Test func worksTooLong() throws {
    var options = HandlerConformance.Options()
    options.processorTime = .milliseconds(5)
    options.rounds = 4
    let report = try conformance(of: "slow", options) { catalogue, cpu in
      let start = processorNanoseconds()
      while processorNanoseconds() - start < 20_000_000 {}
      catalogue.copy(cpu)
    }
    expect(report, breaks: .bounded, saying: "over the limit of 0.005 seconds")
  }

  @Test func neverReturns() throws {
    let isOver = Atomic(false)
    defer { isOver.store(true, ordering: .relaxed) }
    let report = try conformance(of: "endless", Self.impatient) { _, _ in
      while !isOver.load(ordering: .relaxed) {}
    }
    expect(report, breaks: .bounded, saying: "its thread is busy")
    #expect(report.unchecked.count == ConformanceRule.allCases.count - 1)
  }

  @Test func sleeps() throws {
    let report = try conformance(of: "sleepy") { catalogue, cpu in
      usleep(100)
      catalogue.copy(cpu)
    }
    expect(report, breaks: .nonBlocking, saying: "gave its processor away")
  }

  @Test func waitsForEver() throws {
    let isOver = Atomic(false)
    defer { isOver.store(true, ordering: .relaxed) }
    let report = try conformance(of: "asleep", Self.impatient) { _, _ in
      while !isOver.load(ordering: .relaxed) { usleep(10_000) }
    }
    expect(report, breaks: .nonBlocking, saying: "its thread sleeps")
    #expect(report[.bounded] == .notChecked)
  }

  @Test func waitsForInput() throws {
    var ends: [Int32] = [0, 0]
    try #require(unsafe pipe(&ends) == 0)
    let (input, output) = (ends[0], ends[1])
    let writer = Owned<Bool>()
    let thread = try OtherThread {
      var byte: UInt8 = 1
      while writer.value != true {
        usleep(300)
        _ = unsafe write(output, &byte, 1)
      }
    }
    let report = try conformance(of: "reader") { catalogue, cpu in
      var byte: UInt8 = 0
      var state = pollfd(fd: input, events: Int16(POLLIN), revents: 0)
      while unsafe poll(&state, 1, 0) == 1 { _ = unsafe read(input, &byte, 1) }
      _ = unsafe read(input, &byte, 1)
      catalogue.copy(cpu)
    }
    writer.value = true
    thread.join()
    close(input)
    close(output)
    expect(report, breaks: .nonBlocking, saying: "input and output")
  }

  @Test func takesThePublishersLock() throws {
    let report = try HandlerConformance.check("locked", Self.impatient) { coordinator in
      let catalogue = Catalogue()
      let work = try coordinator.register("locked") { cpu in
        catalogue.lock.withLock { _ in catalogue.copy(cpu) }
      }
      return catalogue.subject(work) { body in catalogue.lock.withLock { _ in body() } }
    }
    expect(report, breaks: .nonBlocking, saying: "waits for what the publisher holds")
  }

  @Test(arguments: Allocation.allCases) func allocates(_ allocation: Allocation) throws {
    let report = try conformance(of: "allocating", .nonAllocating) { catalogue, cpu in
      allocation.make(catalogue.version.load(ordering: .relaxed))
      catalogue.copy(cpu)
    }
    let finding = try #require(report.findings.first { $0.rule == .nonAllocating })
    if finding.detail.contains("sanitizer") {
      #expect(finding.verdict == .notChecked)
      #expect(report.broken == [])
    } else {
      expect(report, breaks: .nonAllocating, saying: "16 of 16 runs allocated")
    }
  }

  // MARK: Sends

  @Test func sendsItselfForEver() throws {
    let report = try HandlerConformance.check("restless") { coordinator in
      let catalogue = Catalogue()
      let own = Owned<WorkType>()
      let work = try coordinator.register("restless") { [unowned coordinator] cpu in
        catalogue.copy(cpu)
        if let work = own.value { coordinator.send(work, to: cpu) }
      }
      own.value = work
      return catalogue.subject(work)
    }
    expect(report, breaks: .sendsFromInside, saying: "each run sends it again")
  }

  /// A state that says something else each time is no ground for a verdict.
  @Test func aStateThatIsNotReproducibleIsNotJudged() throws {
    let instances = Atomic(0)
    let report = try HandlerConformance.check("numbered") { coordinator in
      let catalogue = Catalogue()
      let number = instances.add(1, ordering: .relaxed).newValue
      let work = try coordinator.register("numbered") { catalogue.copy($0) }
      return HandlerSubject(work, publish: catalogue.publish, state: { _ in number })
    }
    #expect(report[.catchesUp] == .notChecked, "\(report)")
    #expect(report[.idempotent] == .notChecked)
    #expect(report.isConforming)
  }
}

/// Something that a handler might allocate.
enum Allocation: CaseIterable, Sendable {
  case array, object, text, memory

  private final class Object: Sendable {
    let number: Int
    init(_ number: Int) { self.number = number }
  }
  // Whatever is not kept, the optimizer puts on the stack.
  private static let kept = Owned<Object>()

  func make(_ number: Int) {
    switch self {
    case .array: keep([UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 64))
    case .object: Self.kept.value = Object(number)
    case .text: keep("a text that no longer fits into its own word: " + String(number))
    case .memory:
      unsafe keep(UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 8)).deallocate()
    }
  }
}

/// Hides from the optimizer that nobody looks at the value.
@inline(never) @discardableResult
private func keep<Value>(_ value: Value) -> Value { value }

/// Nanoseconds that this thread has been on a processor.
private func processorNanoseconds() -> Int {
  var time = timespec()
  unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return time.tv_sec * 1_000_000_000 + time.tv_nsec
}
