// SPDX-License-Identifier: Apache-2.0

/// A mistake in how a run uses the library, which the run has to notice.
enum SeededBug: String, CaseIterable {
  case earlyGracePeriod = "early-grace-period"
  case earlyFree = "early-free"
  case falseExecuted = "false-executed"
  case skippedDrain = "skipped-drain"
  case forgetfulHandler = "forgetful-handler"
  case lateDatum = "late-datum"
  case wrongCPU = "wrong-cpu"
  case unbalancedAccount = "unbalanced-account"
  case useAfterPush = "use-after-push"
  case doublePush = "double-push"
  case staleCallContext = "stale-call-context"
  case earlyKey = "early-key"
  case lostTimer = "lost-timer"
  case lateCall = "late-call"
  case lostMessage = "lost-message"
  case earlyReuse = "early-reuse"
  case earlyProbe = "early-probe"
  case staleLookup = "stale-lookup"
  case wrongRegion = "wrong-region"
  case tornRecord = "torn-record"
  case earlyUnregister = "early-unregister"
  case memoryLeak = "memory-leak"
  case hang

  var sentence: String {
    switch self {
    case .earlyGracePeriod: "a table is given up as soon as another one is published"
    case .earlyFree: "a node is reclaimed at once, whoever protects it"
    case .falseExecuted: "a send is taken for executed before it ran"
    case .skippedDrain: "a CPU looks at what is protected without having entered kernel"
    case .forgetfulHandler: "a handler does nothing once in 64 times"
    case .lateDatum: "a sender writes what the handler is to see after it has sent"
    case .wrongCPU: "work goes to the CPU after the one that it is for"
    case .unbalancedAccount: "one send in 500 is counted twice"
    case .useAfterPush: "an object is used after it was given back"
    case .doublePush: "an object is given back twice"
    case .staleCallContext: "the context of a static call is given up before the call was exchanged"
    case .earlyKey: "a key is told to be on before it was turned"
    case .lostTimer: "a deadline is told to be known that nobody was told of"
    case .lateCall: "a caller leaves before its call has returned"
    case .lostMessage: "a message of a pooled call is forgotten"
    case .earlyReuse:
      "a frame is used again when its page was unmapped, and not when all have dropped it"
    case .earlyProbe: "what a probe's function uses is given up before the probe was removed"
    case .staleLookup: "an entry of a table changes, and caches are not told"
    case .wrongRegion: "one region in four gets the value of another"
    case .tornRecord: "an event is recorded with half of another one"
    case .earlyUnregister: "what a handler uses is given up before its type was unregistered"
    case .memoryLeak: "4 MiB are lost every 10 ms"
    case .hang: "a thread waits for ever"
    }
  }
}
