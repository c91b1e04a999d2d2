// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// What becomes of a send.
extension CoordinatorReference {
  mutating func send(
    _ work: Work, to cpu: Int, payload: UInt64 = .max, urgency: WorkType.Urgency = .deferrable
  ) -> SendOutcome {
    if isClosed { return .rejected(.closed) }
    if work == .catchUp { generations[work.rawValue] += 1 }
    return deliver(work, to: cpu, payload, urgency)
  }

  /// A masked send, with one generation for all; nil says that nothing is sent at all.
  mutating func send(
    _ work: Work, to mask: CPUMask, payload: UInt64 = .max,
    urgency: WorkType.Urgency = .deferrable, drawsGeneration: Bool = false,
    where predicate: (Int) -> Bool = { _ in true }
  ) -> [Int: SendOutcome]? {
    if isClosed { return nil }
    if work == .catchUp || drawsGeneration { generations[work.rawValue] += 1 }
    var outcomes: [Int: SendOutcome] = [:]
    for cpu in mask {
      guard predicate(cpu) else {
        cpus[cpu].counts[work.rawValue].skipped += 1
        outcomes[cpu] = .skipped
        continue
      }
      outcomes[cpu] = deliver(work, to: cpu, payload, urgency)
    }
    return outcomes
  }

  private mutating func deliver(
    _ work: Work, to cpu: Int, _ payload: UInt64, _ urgency: WorkType.Urgency
  ) -> SendOutcome {
    cpus[cpu].counts[work.rawValue].sent += 1
    if work == .union { cpus[cpu].payload |= payload }
    if cpus[cpu].context == .offline {
      cpus[cpu].counts[work.rawValue].gone += 1
      return .gone
    }
    // A CPU in user compares when it enters: nothing is left there.
    if work == .catchUp, urgency == .deferrable, cpus[cpu].context == .user { return .deferred }
    let wasPending = !cpus[cpu].pending.insert(work).inserted
    if wasPending { cpus[cpu].counts[work.rawValue].merged += 1 }
    if urgency == .immediate {
      let isNews = !cpus[cpu].isKicked
      cpus[cpu].isKicked = true
      // A housekeeping CPU that is awake looks by itself.
      if isNews, !housekeeping.contains(cpu) {
        cpus[cpu].counts[work.rawValue].interrupted += 1
        return .interrupted
      }
      return wasPending ? .merged : .queued
    }
    if urgency == .onBehalf, work.mayRunOnBehalf, cpus[cpu].context == .user {
      cpus[cpu].pending.remove(work)
      run(work, on: cpu, isBit: true)
      return .ranOnBehalf
    }
    if wasPending { return .merged }
    return cpus[cpu].context == .user ? .deferred : .queued
  }

  /// A call that is not waited for: nobody runs it, but who is there has been rung for.
  mutating func callInVain(on mask: CPUMask) -> [Int: CallOutcome]? {
    if isClosed { return nil }
    var outcomes: [Int: CallOutcome] = [:]
    for cpu in mask {
      outcomes[cpu] = cpus[cpu].context == .offline ? .gone : .timedOut
      if cpus[cpu].context != .offline { cpus[cpu].isKicked = true }
    }
    return outcomes
  }
}
