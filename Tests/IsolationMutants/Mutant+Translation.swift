// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  extension Mutant {
    private static let ring = "Handlers/Translation/FlushRing.swift"
    private static let cache = "Handlers/Translation/TranslationCache+Flush.swift"
    private static let nodes = "Handlers/Translation/PageTableNodes.swift"
    private static let mapping = "a page is mapped"
    private static let lazy = "a lazy CPU"
    private static let log = "a log that goes round"

    static let translationMutants: [Mutant] = [
      Mutant(
        "flush:G", .relaxed, "addition to the log's generation", in: ring, by: log, .weak),
      Mutant(
        "flush:G", .weakened, "addition to the log's generation, before the look at the flag",
        in: ring, by: lazy, .weak),
      Mutant(
        "flush:L", .relaxed, "load of the generation before a read of its range", in: ring, by: log,
        .weak),
      Mutant(
        "flush:B", .dropped, "fence after the mark of a slot of the log", in: ring, by: log, .weak),
      Mutant(
        "flush:E", .dropped, "fence before the second look at the stamp", in: ring, by: log, .weak),
      Mutant("lazy:U", .weakened, "store of the flag", in: cache, occurrence: 1, by: lazy, .weak),
      Mutant(
        "lazy:U", .weakened, "store of the flag", at: "TSO", in: cache, occurrence: 1, by: lazy,
        .totalStoreOrder),
      Mutant(
        "lazy:G", .weakened, "load of the generation after it", in: ring, by: lazy, .weak),
      Mutant("lazy:L", .weakened, "look at the flag", in: cache, by: lazy, .weak),
      Mutant("table:W", .relaxed, "store of an entry", in: nodes, by: mapping, .weak),
      Mutant(
        "table:L", .relaxed, "load of an entry by a miss", in: nodes, occurrence: 1, by: mapping,
        .weak),
    ]
  }
#endif
