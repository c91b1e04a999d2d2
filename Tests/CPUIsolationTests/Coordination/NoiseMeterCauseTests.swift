// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import CPUIsolation

/// Causes of gaps. The machine may add causes of its own to each gap: a test makes gaps of one kind
/// until one of them has that name.
@Suite struct NoiseMeterCauseTests {
  private func expect(
    _ cause: KeyPath<NoiseMeter.Causes, UInt64?>, threshold: Duration = .microseconds(20),
    after source: NoiseMeter.Source = .unknown,
    sourceLocation: SourceLocation = #_sourceLocation, _ makeGap: () -> Void
  ) {
    var meter = NoiseMeter(threshold: threshold)
    meter.nameCauses()
    let isNamed = eventually {
      meter.reset()
      makeGap()
      meter.sample(after: source)
      let report = meter.report
      guard let causes = report.causes else { return false }
      #expect(Self.sum(causes) == report.unknown, sourceLocation: sourceLocation)
      return causes[keyPath: cause] ?? 0 > 0
    }
    #expect(isNamed, sourceLocation: sourceLocation)
  }

  private static func sum(_ causes: NoiseMeter.Causes) -> UInt64 {
    causes.preempted + causes.slept + causes.faulted + (causes.signalled ?? 0)
      + (causes.tick ?? 0) + causes.interruptOrHost
  }

  @Test func withoutBeingAskedNothingIsNamed() {
    var meter = NoiseMeter(threshold: .milliseconds(1))
    NoiseMeterTests.spin(for: .milliseconds(2))
    meter.sample()
    #expect(meter.report.causes == nil)
  }

  @Test func aSleepIsNamed() {
    expect(\.slept.optional) { usleep(2000) }
  }

  /// Unless another thread had the processor in it, as may be.
  @Test func whatTheLoopKnowsHasNoCause() {
    var meter = NoiseMeter(threshold: .milliseconds(1))
    meter.nameCauses()
    let isCounted = eventually {
      meter.reset()
      NoiseMeterTests.spin(for: .milliseconds(2))
      meter.sample(after: .drain)
      let report = meter.report
      #expect(report.drains + report.unknown == 1)
      #expect(report.causes.map(Self.sum) == report.unknown)
      #expect(report.causes?.preempted == report.unknown)
      return report.drains == 1
    }
    #expect(isCounted)
  }

  @Test func aFaultIsNamed() {
    expect(\.faulted.optional) {
      let bytes = 4096 * 20
      // Safety: memory of its own, unmapped once.
      let memory = unsafe mmap(
        nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)!
      unsafe memset(memory, 1, bytes)
      unsafe munmap(memory, bytes)
      NoiseMeterTests.spin(for: .microseconds(50))
    }
  }

  @Test func aGapThatNothingExplainsIsAnInterruptOrTheHost() {
    expect(\.interruptOrHost.optional) { NoiseMeterTests.spin(for: .microseconds(100)) }
  }

  /// The signal is sent by the thread to itself: it is delivered at the end of the system call.
  @Test func aSignalIsNamed() {
    var meter = NoiseMeter()
    meter.nameCauses()
    guard meter.report.causes?.signalled != nil else { return }
    // Ignored by default, and so without a handler of its own.
    let number = SIGURG
    let before = signal(number) { _ in }
    defer { signal(number, before) }
    expect(\.signalled) {
      pthread_kill(pthread_self(), number)
      NoiseMeterTests.spin(for: .microseconds(50))
    }
  }

  /// More threads than processors that never sleep: each is preempted, in the middle of a drain too.
  @Test(arguments: NoiseMeter.Source.allCases)
  func aPreemptionIsNamed(after source: NoiseMeter.Source) throws {
    let stop = Flag()
    let others = (0..<2 * Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))).map { _ in
      PlainThread.start { while !stop.isRaised {} }
    }
    expect(\.preempted.optional, after: source) { NoiseMeterTests.spin(for: .milliseconds(2)) }
    stop.raise()
    for thread in others { try thread.value() }
  }

  /// The kernel takes the announcement back for its own purposes every 100 ms at most.
  @Test func aTickThatTakesTheAnnouncementBackIsNoSignal() {
    let tick: UInt64 = 4_000_000
    var witnesses = NoiseMeter.Witnesses(tick: tick)
    let due = 1_000_000_000_000 / tick * tick
    let first = [due + tick / 2, due + 10_000, due + tick + 10_000].map {
      witnesses.isRetraction(end: $0, length: 5000)
    }
    #expect(first == [false, true, false])
    let later = due + (100_000_000 / tick + 1) * tick
    let second = [later + tick / 2, later + 10_000].map {
      witnesses.isRetraction(end: $0, length: 5000)
    }
    #expect(second == [false, true])
  }

  @Test func aGapThatIsMuchShorterThanTicksAreIsNone() {
    var witnesses = NoiseMeter.Witnesses(tick: 4_000_000)
    func names(_ count: Int, length: UInt64) -> [Bool] {
      (0..<count).map { _ in witnesses.resemblesTick(end: 8_010_000, length: length) }
    }
    #expect(names(50, length: 20_000).allSatisfy { $0 })
    #expect(names(1, length: 3000) == [false])
    #expect(names(1, length: 10_000) == [true])
    // Until all are.
    #expect(names(200, length: 3000).last == true)
  }

  @Test(arguments: [
    // Due in the gap; up to 50 µs before it; more than that before it; after it; and a gap that is too
    // long to say.
    (8_005_000, 10_000, true), (8_060_000, 10_000, true), (8_070_000, 10_000, false),
    (7_999_000, 10_000, false), (8_040_000, 90_000, false),
  ])
  func theTickIsDueAtMultiples(end: UInt64, length: UInt64, isTick: Bool) {
    typealias Witnesses = NoiseMeter.Witnesses
    #expect(Witnesses.isTick(end: end, length: length, tick: 4_000_000) == isTick)
    #expect(!Witnesses.isTick(end: end, length: length, tick: 0))
  }
}

extension UInt64 {
  fileprivate var optional: UInt64? { self }
}
