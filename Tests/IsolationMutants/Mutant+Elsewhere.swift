// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  extension Mutant {
    private static let parker = "Base/Parker.swift"
    private static let scenario = "a wake function that goes"

    static let elsewhereMutants: [Mutant] = [
      Mutant(
        "wake:C", .weakened, "addition to the count of wakers", in: parker, by: scenario, .weak),
      Mutant(
        "wake:F", .weakened, "load of the wake function after it", in: parker, by: scenario, .weak),
      Mutant(
        "wake:E", .weakened, "exchange that empties the wake function", in: parker, by: scenario,
        .weak),
      Mutant(
        "wake:L", .weakened, "look at the count after it", in: parker, by: scenario, .weak),
      Mutant(
        "wake:D", .relaxed, "end of a call of the wake function", in: parker, by: scenario, .weak),
    ]
  }
#endif
