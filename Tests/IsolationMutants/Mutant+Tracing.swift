// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  extension Mutant {
    private static let ring = "Tracing/TraceRing.swift"
    private static let buffers = "Tracing/TraceBuffers.swift"
    private static let threads = "a ring of many threads"
    private static let filter = "a filter that is changed"

    static let traceMutants: [Mutant] = [
      Mutant(
        "ring:B", .dropped, "fence after the mark of a slot", in: ring, by: threads, .weak),
      Mutant(
        "ring:P", .relaxed, "store of the stamp after the words", in: ring, by: threads, .weak),
      Mutant(
        "ring:R", .relaxed, "load of the stamp before the words", in: ring, by: threads, .weak),
      Mutant(
        "ring:E", .dropped, "fence before the second look at the stamp", in: ring, by: threads,
        .weak),
      Mutant(
        "filter:R", .weakened, "addition to the readers", in: buffers, by: filter, .weak),
      Mutant("filter:L", .weakened, "load of the filter", in: buffers, by: filter, .weak),
      Mutant(
        "gracePeriod:F", .dropped, "fence after the change of a filter", at: "filter",
        in: "CPUs/GracePeriodWait.swift", by: filter, .totalStoreOrder),
    ]
  }
#endif
