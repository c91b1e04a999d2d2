// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  extension Mutant {
    private static let protecting = "Reclamation/Hazards/HazardCore+Protecting.swift"
    private static let lines = "Reclamation/Hazards/HazardLines.swift"
    private static let scopes = "Reclamation/Hazards/HazardCore+Scopes.swift"
    private static let alarm = "Reclamation/Hazards/HazardAlarm.swift"
    private static let holders = "Reclamation/Hazards/HazardHolders.swift"
    private static let scanner = "Reclamation/Hazards/HazardScanner.swift"
    private static let fences = "a hazard by fences"
    private static let tried = "a hazard that is tried"
    private static let transition = "a hazard by transition"
    private static let wildcard = "a wildcard"
    private static let chunk = "holders in a new chunk"
    private static let newChunk = "a holder in a new chunk"
    private static let batches = "batches of several threads"
    private static let rest = "a reclaimer that goes to rest"

    // Not here: hazard:D and hazard:G, whose acquire and release count where the look at the link is
    // no sequentially consistent one (membarriers, which the engine does not know); hazard:M, for
    // the same reason; hazard:C, which brings plain memory along; hazardBatch:P, hazardScan and
    // hazardFault, whose data are no words of the engine.
    static let hazardMutants: [Mutant] = [
      Mutant(
        "hazard:P", .weakened, "store of the node to the slot", in: protecting, by: fences,
        .totalStoreOrder),
      Mutant(
        "hazard:P", .weakened, "store of the node to try", at: "try", in: protecting,
        occurrence: 1, by: tried, .totalStoreOrder),
      Mutant(
        "hazard:P", .weakened, "store of the wildcard", at: "wildcard", in: protecting,
        occurrence: 2, by: wildcard, .totalStoreOrder),
      Mutant(
        "hazard:V", .weakened, "second look at the link", in: protecting, by: fences, .weak),
      Mutant(
        "hazard:V", .weakened, "look at the link after the try", at: "try", in: protecting,
        occurrence: 1, by: tried, .weak),
      Mutant(
        "hazard:V", .weakened, "look at the link after the wildcard", at: "wildcard",
        in: protecting, occurrence: 2, by: wildcard, .weak),
      Mutant(
        "hazard:F", .dropped, "fence between the unlinking and the slots", in: scanner, by: fences,
        .weak),
      Mutant(
        "hazard:F", .dropped, "fence between the unlinking and the looks at W", at: "transition",
        in: scanner, occurrence: 1, by: transition, .weak),
      Mutant("hazard:S", .relaxed, "load of a slot", in: scanner, by: fences, .weak),
      Mutant("hazard:R", .relaxed, "store that empties a slot", in: scopes, by: fences, .weak),
      Mutant(
        "hazard:T", .relaxed, "store to the slot in a section", in: protecting, occurrence: 1,
        by: transition, .weak),
      Mutant(
        "hazard:W", .relaxed, "load of W after the fence", in: scanner, by: transition, .weak),
      Mutant(
        "hazard:A", .relaxed, "store of the node over the wildcard", in: protecting, by: wildcard,
        .weak),
      Mutant("hazard:I", .weakened, "the new chunk's address", in: holders, by: newChunk, .weak),
      Mutant(
        "hazardHolder:T", .split, "the bit of a free slot", in: holders, by: chunk,
        .totalStoreOrder),
      Mutant(
        "hazardBatch:T", .split, "taking a line's batch for a pass", in: lines, occurrence: 3,
        by: batches, .totalStoreOrder),
      Mutant(
        "hazardBatch:T", .split, "taking one's own batch", at: "retire", in: lines,
        occurrence: 1, by: batches, .totalStoreOrder),
      Mutant(
        "hazardAlarm:B", .relaxed, "count of a batch that has begun", in: alarm, by: rest, .weak),
      Mutant(
        "hazardAlarm:B", .split, "count of a batch that has begun", in: alarm, by: rest,
        .totalStoreOrder),
      Mutant("hazardAlarm:L", .relaxed, "load before the pass", in: alarm, by: rest, .weak),
    ]
  }
#endif
