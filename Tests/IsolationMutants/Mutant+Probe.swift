// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  extension Mutant {
    private static let tree = "Probes/RegionTree.swift"
    private static let changing = "Probes/RegionTree+Changing.swift"
    private static let split = "a region that is split while it is looked up"
    private static let reuse = "a region whose memory is used again"

    private static let sections = "Probes/ProbeSections.swift"
    private static let places = "Probes/ProbePlaces.swift"
    private static let usedAgain = "an entry of points that is used again"
    private static let histogram = "Probes/ProbeHistogramMemory.swift"
    private static let read = "a histogram that is read while it is written"
    private static let removed = "a probe that is removed while it is hit"

    static let probeMutants: [Mutant] = [
      Mutant(
        "region:B", .dropped, "fence after the mark of a change", in: changing, by: split, .weak),
      Mutant(
        "region:P", .relaxed, "store of the sequence after the words", in: changing, by: split,
        .weak),
      Mutant(
        "region:R", .relaxed, "load of the sequence before the words", in: tree, by: split, .weak),
      Mutant(
        "region:E", .dropped, "fence before the second look at the sequence", in: tree, by: reuse,
        .weak),
      Mutant(
        "probe:E", .weakened, "exchange that begins a section", in: sections, by: removed, .weak),
      Mutant(
        "probe:F", .dropped, "fence after the removal from the list", in: sections, by: removed,
        .weak),
      Mutant(
        "probe:F", .dropped, "fence after the removal from the list", in: sections, by: removed,
        .totalStoreOrder),
      Mutant("probe:L", .relaxed, "store that ends a section", in: sections, by: removed, .weak),
      Mutant("probe:S", .relaxed, "look at a section", in: sections, by: removed, .weak),
      Mutant(
        "place:P", .relaxed, "store of an entry's site, after its key", in: places, by: usedAgain,
        .weak),
      Mutant(
        "place:V", .relaxed, "load of an entry's site, in a section", in: places, by: usedAgain,
        .weak),
      Mutant(
        "histogram:E", .relaxed, "store of an entry of the log", in: histogram, by: read, .weak),
      Mutant(
        "histogram:W", .relaxed, "store of the count of entries", in: histogram, by: read, .weak),
      Mutant("histogram:B", .relaxed, "store of a bucket", in: histogram, by: read, .weak),
      Mutant(
        "histogram:M", .relaxed, "store of the sequence after a bucket", in: histogram, by: read,
        .weak),
      Mutant(
        "histogram:S", .relaxed, "load of the sequence before the buckets", in: histogram, by: read,
        .weak),
      Mutant("histogram:C", .relaxed, "load of a bucket", in: histogram, by: read, .weak),
      Mutant(
        "histogram:N", .relaxed, "load of the count of entries", in: histogram, by: read, .weak),
      Mutant(
        "histogram:L", .relaxed, "load of an entry of the log", in: histogram, by: read, .weak),
    ]
  }
#endif
