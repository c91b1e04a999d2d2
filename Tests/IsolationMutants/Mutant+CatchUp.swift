// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  extension Mutant {
    private static let sendPath = "Protocol/Sending/SendPath+CatchUp.swift"
    private static let drain = "Protocol/Draining/Drain+CatchUp.swift"
    private static let tracker = "CPUs/ContextTracker.swift"
    private static let attachment = "Protocol/Transitions/OwnerTransitions+Attachment.swift"
    private static let one = "catching up twice"

    static let catchUpMutants: [Mutant] = [
      Mutant(
        "catchUp:G", .split, "addition to a type's generation", in: sendPath, by: "catching up",
        .totalStoreOrder),
      Mutant(
        "catchUp:G", .relaxed, "addition to a type's generation", in: sendPath, by: one, .weak),
      Mutant("catchUp:S", .weakened, "addition to the summary", in: sendPath, by: one, .weak),
      Mutant("catchUp:W", .weakened, "look at W after it", in: sendPath, by: one, .weak),
      Mutant("entry:W", .weakened, "addition to W", at: "catchUp", in: tracker, by: one, .weak),
      Mutant("entry:K", .weakened, "load of K", at: "catchUp", in: tracker, by: one, .weak),
      Mutant(
        "catchUp:C", .relaxed, "load of the summary before the types", in: drain,
        by: "catching up on the way out", .weak),
      Mutant(
        "catchUp:A", .relaxed, "load of the summary of a thread that attaches", in: attachment,
        by: "a thread attaches to what moves", .weak),
      Mutant(
        "payload:M", .split, "merge of a payload", in: sendPath, by: "a payload",
        .totalStoreOrder),
      Mutant("payload:M", .relaxed, "merge of a payload", in: sendPath, by: "a payload", .weak),
      Mutant("payload:T", .relaxed, "take of a payload", in: drain, by: "a payload", .weak),
      Mutant(
        "payload:T", .split, "take of a payload", in: drain, by: "a payload", .totalStoreOrder),
      Mutant(
        "attach:P", .relaxed, "emptying of a payload by a thread that attaches", in: attachment,
        by: "a payload for a thread that attaches", .weak),
    ]
  }
#endif
