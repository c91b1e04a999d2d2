// SPDX-License-Identifier: Apache-2.0

extension Benchmark {
  /// All rows, in the order in which they run and are printed.
  static let catalog: [Benchmark] =
    TransitionBenchmarks.all + SendBenchmarks.all + DrainBenchmarks.all + WakeBenchmarks.all
    + CatchUpBenchmarks.all
    + TraceBenchmarks.all
    + StaticKeyBenchmarks.all
    + TextPatchingBenchmarks.all
    + TranslationBenchmarks.all
    + PoolBenchmarks.all
    + HazardBenchmarks.all
    + ProbeBenchmarks.all + ReturnBenchmarks.all
    + RegionBenchmarks.all
    + MeterBenchmarks.all
    + CountBenchmarks.all
}
