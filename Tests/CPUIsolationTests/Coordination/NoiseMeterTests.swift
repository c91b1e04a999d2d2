// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

@Suite("NoiseMeter")
struct NoiseMeterTests {
  /// Keeps the processor for at least so long.
  static func spin(for duration: Duration) {
    let start = ContinuousClock.now
    while ContinuousClock.now - start < duration {}
  }

  @Test("a meter that has not looked has seen nothing")
  func fresh() {
    let report = NoiseMeter().report
    #expect(report.samples == 0)
    #expect(report.noise == .zero)
    #expect(report.maximumSingle == .zero)
    #expect(report.percentAvailable == 100)
  }

  @Test("a gap above the threshold is noise, by its source", arguments: NoiseMeter.Source.allCases)
  func sources(source: NoiseMeter.Source) {
    var meter = NoiseMeter(threshold: .milliseconds(1))
    Self.spin(for: .milliseconds(3))
    meter.sample(after: source)
    let report = meter.report
    #expect(report.samples == 1)
    #expect(report.noise >= .microseconds(2_900))
    #expect(report.maximumSingle == report.noise)
    #expect(report.runtime >= report.noise)
    #expect(report.percentAvailable < 50)
    let counts = [report.kicks, report.drains, report.signals, report.unknown]
    #expect(counts.enumerated().allSatisfy { $1 == ($0 == source.rawValue ? 1 : 0) })
  }

  @Test("gaps below the threshold are the loop's own")
  func quiet() {
    var meter = NoiseMeter(threshold: .seconds(60))
    for _ in 0..<1_000 { meter.sample() }
    let report = meter.report
    #expect(report.samples == 1_000)
    #expect(report.noise == .zero)
    #expect(report.unknown == 0)
    #expect(report.percentAvailable == 100)
    #expect(report.runtime > .zero)
  }

  @Test("gaps add up, and the longest is remembered")
  func sum() {
    var meter = NoiseMeter(threshold: .milliseconds(1))
    for milliseconds in [2, 6, 2] {
      Self.spin(for: .milliseconds(milliseconds))
      meter.sample()
    }
    let report = meter.report
    #expect(report.unknown == 3)
    #expect(report.noise >= .microseconds(9_900))
    #expect(report.maximumSingle >= .microseconds(5_900))
    #expect(report.maximumSingle < report.noise)
  }

  @Test("a meter can begin again, with its threshold")
  func reset() {
    var meter = NoiseMeter(threshold: .milliseconds(1))
    Self.spin(for: .milliseconds(2))
    meter.sample()
    meter.reset()
    #expect(meter.report.samples == 0)
    #expect(meter.report.noise == .zero)
    Self.spin(for: .milliseconds(2))
    meter.sample()
    #expect(meter.report.unknown == 1)
  }

  /// A loop that begins again for each of its rounds counts by the same threshold in all of them.
  @Test func beginningAgainKeepsTheThreshold() {
    var meter = NoiseMeter(threshold: .microseconds(10))
    // Were one of these to lose a cycle, the threshold would be gone.
    for _ in 0..<200_000 { meter.reset() }
    for _ in 0..<1000 { meter.sample() }
    let report = meter.report
    #expect(report.samples == 1000)
    #expect(report.unknown < 500, "most samples follow each other within 10 µs")
  }
}
