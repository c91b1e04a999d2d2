// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  extension Mutant {
    /// Every mutant, by part of the protocol.
    static let catalog: [Mutant] =
      entryMutants + sendMutants + drainMutants + sleepMutants + ticketMutants + helpMutants
      + gracePeriodMutants
      + slotMutants
      + callMutants
      + traceMutants
      + catchUpMutants
      + keyMutants
      + translationMutants
      + poolMutants
      + hazardMutants
      + probeMutants
      + elsewhereMutants

    private static let tracker = "CPUs/ContextTracker.swift"
    private static let sendPath = "Protocol/Sending/SendPath.swift"
    private static let drain = "Protocol/Draining/Drain.swift"
    private static let onBehalf = "Protocol/Draining/Drain+OnBehalf.swift"
    private static let transitions = "Protocol/Transitions/OwnerTransitions.swift"
    private static let attachment = "Protocol/Transitions/OwnerTransitions+Attachment.swift"
    private static let kick = "Protocol/Transitions/Kick.swift"
    private static let generation = "Protocol/Work/CoordinatorCore+Generation.swift"
    private static let ticket = "Coordination/Ticket.swift"
    private static let gracePeriod = "CPUs/GracePeriodWait.swift"
    private static let registration = "Coordination/Coordinator+Unregistration.swift"
    private static let callQueue = "Protocol/Calls/CallPath.swift"
    private static let callRecord = "Protocol/Calls/CallRecord.swift"
    private static let parker = "Base/Parker.swift"
    private static let stack = "Base/Inbox.swift"

    private static let entryMutants: [Mutant] = [
      Mutant(
        "entry:W", .weakened, "addition to W, user to kernel", in: tracker, by: "two types", .weak),
      Mutant(
        "entry:W", .split, "addition to W, user to kernel", in: tracker, by: "what a helper did",
        .weak),
      Mutant("entry:K", .weakened, "load of K after it", in: tracker, by: "two types", .weak),
      Mutant(
        "entry:P", .relaxed, "load of the pin after it", in: tracker, by: "what a helper did",
        .weak),
      Mutant(
        "entry:P", .relaxed, "load of the pin before a drain", at: "drain", in: drain,
        by: "what a helper did",
        .weak),
      Mutant(
        "exit:W", .relaxed, "store of W, kernel to user", in: tracker,
        by: "a grace period shows what sections did", .weak),
    ]

    private static let sendMutants: [Mutant] = [
      Mutant(
        "send:O", .split, "OR of the bit", in: sendPath, by: "entry and exit against two senders",
        .totalStoreOrder),
      Mutant("send:O", .weakened, "OR of the bit", in: sendPath, by: "two types", .weak),
      Mutant("send:O", .relaxed, "OR of the bit", in: sendPath, by: "two types", .weak),
      Mutant(
        "send:O", .split, "OR of the bit, slow path", at: "slow-path", in: sendPath, occurrence: 1,
        by: "merging without writing", .totalStoreOrder),
      Mutant("send:L", .weakened, "look at W after it", in: sendPath, by: "two types", .weak),
      Mutant(
        "send:L", .weakened, "look at W after it, slow path", at: "slow-path", in: sendPath,
        occurrence: 1,
        by: "on behalf", .weak),
      Mutant(
        "merge:F", .dropped, "fence before the looks: the plain-look merge", in: sendPath,
        by: "merging without writing", .totalStoreOrder),
      Mutant(
        "merge:F", .dropped, "fence before the looks: the plain-look merge", in: sendPath,
        by: "merging without writing", .weak),
    ]

    private static let drainMutants: [Mutant] = [
      Mutant(
        "drain:T", .split, "take at the entry", at: "entry", in: tracker, by: "two types",
        .totalStoreOrder),
      Mutant(
        "drain:T", .split, "take in a drain", at: "drain", in: drain, by: "two types",
        .totalStoreOrder),
      Mutant(
        "drain:T", .split, "take of a helper", at: "helper", in: onBehalf,
        by: "two helpers",
        .totalStoreOrder),
      Mutant(
        [
          (LabelledPlace(label: "drain:T", path: tracker), .relaxed),
          (LabelledPlace(label: "drain:T", path: tracker, isFence: true), .dropped),
        ], "take at the entry, and the fence after it", by: "entry and exit against one sender",
        .weak),
      Mutant("drain:G", .relaxed, "load of the generation", in: drain, by: "ticket", .weak),
      Mutant(
        "drain:A", .relaxed, "store of the applied generation", in: drain,
        by: "a ticket carries what the handler did", .weak),
    ]

    private static let sleepMutants: [Mutant] = [
      Mutant(
        "leave:W", .weakened, "addition to W, kernel to idle", in: tracker,
        by: "a housekeeper that sleeps", .weak),
      Mutant(
        "leave:K", .weakened, "load of K before sleeping", in: transitions,
        by: "a housekeeper that sleeps", .weak),
      Mutant(
        "kick:W", .weakened, "look at W, to wake", in: kick,
        by: "a kick wakes an isolated CPU that sleeps", .weak),
      Mutant(
        "kick:A", .weakened, "OR of the attention bit", in: kick,
        by: "a kick wakes an isolated CPU that sleeps", .weak),
      Mutant(
        "kick:A", .split, "OR of the attention bit", in: kick, by: "signal",
        .totalStoreOrder),
      Mutant(
        "Parker:U", .relaxed, "exchange that leaves the token", in: parker,
        by: "parker carries data", .weak),
      Mutant(
        "Parker:U", .split, "exchange that leaves the token", in: parker, by: "parker",
        .totalStoreOrder),
      Mutant(
        "Parker:P", .relaxed, "exchange that takes a token that was there", in: parker,
        by: "parker carries data", .weak),
      Mutant(
        "Parker:P", .relaxed, "exchange after the sleep", at: "awake", in: parker, occurrence: 1,
        by: "parker carries data", .weak),
    ]

    private static let ticketMutants: [Mutant] = [
      Mutant("ticket:G", .relaxed, "drawing a generation", in: generation, by: "ticket", .weak),
      Mutant(
        "ticket:G", .split, "drawing a generation", in: generation, by: "two tickets",
        .totalStoreOrder),
      Mutant(
        "ticket:A", .relaxed, "look at the applied generation", in: ticket,
        by: "a ticket carries what the handler did", .weak),
    ]

    private static let helpMutants: [Mutant] = [
      Mutant(
        "onBehalf:P", .split, "compare-exchange of the pin", in: onBehalf, by: "two helpers",
        .totalStoreOrder),
      Mutant(
        "onBehalf:P", .weakened, "compare-exchange of the pin", in: onBehalf,
        by: "what a helper did",
        .weak),
      Mutant(
        "onBehalf:W", .weakened, "look at W after it", in: onBehalf, by: "what a helper did", .weak
      ),
      Mutant(
        "onBehalf:H", .relaxed, "count of helpers that are through", in: onBehalf,
        by: "a grace period shows what a helper did", .weak),
      Mutant(
        "onBehalf:U", .relaxed, "store that gives the pin back", in: onBehalf,
        by: "what a helper did",
        .weak),
      Mutant(
        "onBehalf:B", .split, "OR of what was taken, where the thread ends", in: onBehalf,
        by: "a helper that ends", .totalStoreOrder),
      Mutant(
        "onBehalf:B", .weakened, "OR of what was taken, where the thread ends", in: onBehalf,
        by: "a helper that ends", .weak),
      Mutant(
        "onBehalf:E", .weakened, "look at W after it", in: onBehalf, by: "a helper that ends",
        .weak),
    ]

    private static let gracePeriodMutants: [Mutant] = [
      Mutant(
        "gracePeriod:F", .dropped, "fence after the unlinking", in: gracePeriod,
        by: "grace period", .totalStoreOrder),
      Mutant(
        "gracePeriod:F", .dropped, "fence after the unlinking", in: gracePeriod,
        by: "a grace period shows what a helper did", .weak),
      Mutant(
        "gracePeriod:S", .relaxed, "look at W", in: gracePeriod,
        by: "a grace period shows what sections did", .weak),
      Mutant(
        "gracePeriod:P", .relaxed, "look at the pin", in: gracePeriod,
        by: "a grace period shows what a helper did", .weak),
      Mutant(
        "gracePeriod:H", .relaxed, "look at the count of helpers", in: gracePeriod,
        by: "a grace period shows what a helper did", .weak),
      Mutant(
        "quiescent:W", .weakened, "addition of two steps", in: tracker, by: "quiescent states",
        .weak),
      Mutant(
        "quiescent:W", .split, "addition of two steps", in: tracker, by: "quiescent states", .weak),
      Mutant(
        "quiescent:K", .weakened, "load of K after it", in: tracker, by: "quiescent states", .weak),
      Mutant(
        [
          (LabelledPlace(label: "unregister:V", path: registration), .relaxed),
          (LabelledPlace(label: "gracePeriod:F", path: gracePeriod, isFence: true), .dropped),
        ], "AND of the live bit, and the fence after it", by: "unregistration", .weak),
    ]

    private static let attachMutants: [Mutant] = [
      Mutant(
        "attach:A", .relaxed, "store of the applied generation at attach", in: attachment,
        by: "an attachment settles tickets", .weak),
      Mutant(
        "attach:G", .relaxed, "load of the generation at attach", in: attachment,
        by: "an attachment settles tickets", .weak),
      Mutant(
        "Inbox:P", .weakened, "compare-exchange of the head", in: stack,
        by: "two calls to a CPU that goes", .weak),
    ]

    private static let slotMutants: [Mutant] =
      attachMutants + [
        Mutant(
          "leave:W", .relaxed, "addition to W, kernel to offline", at: "offline", in: tracker,
          by: "detach", .weak),
        Mutant(
          "detach:K", .weakened, "load of K before the thread goes", in: attachment, by: "detach",
          .weak),
        Mutant(
          "withdraw:T", .split, "exchange that clears a slot's K", in: attachment, by: "detach",
          .totalStoreOrder),
      ]

    private static let callMutants: [Mutant] = [
      Mutant(
        "send:O", .split, "OR of the calls' bit", at: "calls", in: callQueue,
        by: "a call beside a send",
        .totalStoreOrder),
      Mutant(
        "Inbox:P", .relaxed, "compare-exchange of the head", in: stack, by: "cross calls",
        .weak),
      Mutant(
        "Inbox:P", .split, "compare-exchange of the head", in: stack,
        by: "intrusive stack", .totalStoreOrder),
      Mutant(
        "Inbox:T", .relaxed, "exchange that takes the list", in: stack, by: "cross calls",
        .weak),
      Mutant(
        "Inbox:T", .split, "exchange that takes the list", in: stack,
        by: "cross call to a CPU that goes", .totalStoreOrder),
      Mutant(
        "callRecord:C", .relaxed, "claim of a record", in: callRecord,
        by: "a record that comes back", .weak),
      Mutant(
        "callRecord:G", .relaxed, "store of idle, given up", at: "given-up", in: callRecord,
        by: "a record that comes back", .weak),
      Mutant(
        "callRecord:G", .relaxed, "store of idle, before a run", at: "run", in: callRecord,
        occurrence: 1,
        by: "a record that comes back", .weak),
      Mutant(
        "callRecord:G", .relaxed, "store of idle, abandoned", at: "abandoned", in: callRecord,
        occurrence: 2,
        by: "a record that comes back", .weak),
      Mutant(
        "callRecord:R", .split, "queued to running", in: callRecord, by: "a waiter that gives up",
        .totalStoreOrder),
      Mutant(
        "callRecord:D", .relaxed, "store of done", in: callRecord, by: "a waiter that gives up",
        .weak),
      Mutant(
        "call:W", .relaxed, "the waiter's look", in: callQueue, by: "a waiter that gives up", .weak),
      Mutant(
        "call:X", .split, "queued to cancelled", in: callQueue, by: "a waiter that gives up",
        .totalStoreOrder),
    ]
  }
#endif
