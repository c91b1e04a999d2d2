// SPDX-License-Identifier: Apache-2.0

import Testing

/// Everything that runs many threads at each other for a while.
///
/// The suites run one after the other: a stress test that shares two processors with another one finds
/// less, not more. Each test prints its seed and its thread counts when it fails, since they are its arguments. It runs
/// for a fraction of a second; `CPUISOLATION_STRESS_SECONDS` sets how long each case runs.
@Suite(.serialized, .tags(.stress), .timeLimit(.minutes(StressDuration.limitInMinutes)))
struct StressTests {}

extension Tag {
  @Tag static var stress: Self
  @Tag static var failureCase: Self
}
