// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  extension Mutant {
    private static let ring = "Reclamation/Pools/PoolRing.swift"
    private static let shelf = "Reclamation/Pools/PoolShelf.swift"
    private static let exchange = "Reclamation/Pools/PoolCore+Exchange.swift"
    private static let life = "Reclamation/Pools/PoolCore+Life.swift"
    private static let thieves = "a ring and two thieves"
    private static let mutual = "two threads that steal from each other"
    private static let guests = "threads without a ring"
    private static let hands = "a ring that changes hands"
    private static let closing = "closing while objects are out"

    static let poolMutants: [Mutant] = [
      Mutant(
        "pool:P", .relaxed, "store of the bottom after the entry", in: ring, by: mutual, .weak),
      Mutant(
        "pool:E", .weakened, "exchange that lowers the bottom", in: ring, by: thieves, .weak),
      Mutant("pool:L", .weakened, "look at the top after it", in: ring, by: thieves, .weak),
      Mutant("pool:C", .split, "claim of the last entry", in: ring, by: thieves, .totalStoreOrder),
      Mutant("pool:B", .weakened, "a thief's look at the bottom", in: ring, by: thieves, .weak),
      Mutant("pool:S", .weakened, "a thief's claim", in: ring, by: thieves, .weak),
      Mutant("pool:S", .split, "a thief's claim", in: ring, by: thieves, .totalStoreOrder),
      Mutant("pool:O", .relaxed, "claim of a ring", in: ring, by: hands, .weak),
      Mutant("pool:U", .relaxed, "store that leaves a ring", in: ring, by: hands, .weak),
      Mutant("poolShelf:O", .relaxed, "OR of an object's bit", in: shelf, by: guests, .weak),
      Mutant("poolShelf:O", .weakened, "OR of an object's bit", in: shelf, by: closing, .weak),
      Mutant(
        "poolShelf:O", .split, "OR of an object's bit", in: shelf, by: guests, .totalStoreOrder),
      Mutant("poolShelf:T", .relaxed, "AND that takes an object", in: shelf, by: guests, .weak),
      Mutant(
        "poolShelf:T", .split, "AND that takes an object", in: shelf, by: guests, .totalStoreOrder),
      Mutant("pool:X", .weakened, "look whether it was closed", in: exchange, by: closing, .weak),
      Mutant(
        "pool:F", .dropped, "fence before a thread that leaves looks", in: life, by: closing,
        .totalStoreOrder),
      Mutant(
        "pool:F", .dropped, "fence before a thread that leaves looks", in: life, by: closing, .weak),
      Mutant("pool:Q", .dropped, "fence after the closing", in: life, by: closing, .weak),
      Mutant("pool:D", .relaxed, "subtraction of references", in: life, by: closing, .weak),
      Mutant(
        "pool:D", .split, "subtraction of references", in: life, by: closing, .totalStoreOrder),
    ]
  }
#endif
