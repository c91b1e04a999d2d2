// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// A turn of a loop that measures what is taken from it, with the causes of gaps named and without.
enum MeterBenchmarks {
  static let all: [Benchmark] = [
    Benchmark(
      "noise-meter:causes", budget: 1.1, against: "the same meter without causes",
      { stage, count in
        var meter = NoiseMeter()
        return stage.time(count) { samples(&meter, count) }
      }
    ) { stage, count in
      var meter = NoiseMeter()
      meter.nameCauses()
      return stage.time(count) { samples(&meter, count) }
    }
  ]

  @inline(never)
  private static func samples(_ meter: inout NoiseMeter, _ count: Int) {
    for _ in 0..<count { meter.sample() }
  }
}
