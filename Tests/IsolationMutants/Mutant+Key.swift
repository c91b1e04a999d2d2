// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  extension Mutant {
    private static let table = "Handlers/Keys/KeyTable.swift"
    private static let counting = "Handlers/Keys/KeyTable+Counting.swift"
    private static let changing = "Handlers/Keys/KeyTable+Changing.swift"
    private static let call = "a call is exchanged"
    private static let both = "a key and a call are changed at once"
    private static let users = "users of a key come and go"
    private static let next = "the first user of a key, and the next"

    static let keyMutants: [Mutant] = [
      Mutant("patch:C", .split, "claim of the tables", in: table, by: users, .totalStoreOrder),
      Mutant("patch:C", .relaxed, "claim of the tables", in: table, by: users, .weak),
      Mutant("patch:U", .relaxed, "end of a claim", in: table, by: users, .weak),
      Mutant(
        "patch:B", .dropped, "fence before the words of a group", in: table, by: both, .weak),
      Mutant(
        "patch:P", .relaxed, "store of the stamp after the words", in: table, by: call, .weak),
      Mutant(
        "patch:R", .relaxed, "load of the stamp before the words", in: table, by: call, .weak),
      Mutant(
        "patch:E", .dropped, "fence before the second look at the stamp", in: table, by: both,
        .weak),
      Mutant(
        "key:S", .relaxed, "load of the stamp before a shared value", in: table,
        by: "two keys beside each other are turned", .weak),
      Mutant("key:P", .relaxed, "store of the first count", in: changing, by: next, .weak),
      Mutant("key:I", .relaxed, "addition of a later user", in: counting, by: next, .weak),
      Mutant(
        "key:I", .split, "addition of a later user", in: counting, by: users, .totalStoreOrder),
      Mutant(
        "key:D", .relaxed, "subtraction of a user", in: counting, by: "what the users of a key did",
        .weak),
    ]
  }
#endif
