// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// What a coordinator promises, as one thread would keep it: sets and numbers, and no order of memory to argue about.
///
/// It says what each step answers, which handlers run, in which order and with what, and what is counted. A script that
/// a coordinator and this both follow has to end alike.
struct CoordinatorReference {
  /// The work types of a script, in the order of their registration.
  enum Work: Int, CaseIterable {
    case early, plain, helpful, union, catchUp, many
    /// Sends `plain` to its own CPU when it runs.
    case late

    var mayRunOnBehalf: Bool { self == .helpful || self == .catchUp }
  }

  /// A run of a handler.
  struct Run: Hashable {
    var work: Work
    var cpu: Int
    /// The payload, the number of generations, or all ones.
    var told: UInt64
  }

  struct Counts: Hashable {
    var sent: UInt64 = 0
    var merged: UInt64 = 0
    var skipped: UInt64 = 0
    var interrupted: UInt64 = 0
    var executed: UInt64 = 0
    var caughtUp: UInt64 = 0
    var gone: UInt64 = 0
  }

  struct CPU {
    var context = CPUContext.kernel
    var pending: Set<Work> = []
    var payload: UInt64 = 0
    /// Whether somebody has kicked it, or called it, since it looked last.
    var isKicked = false
    /// Moves with each transition and each declared quiescent state.
    var moves = 0
    /// Per type, the generation that it has run, and the one when it attached.
    var applied = Array(repeating: UInt64(0), count: Work.allCases.count)
    var atAttach = Array(repeating: UInt64(0), count: Work.allCases.count)
    var counts = Array(repeating: Counts(), count: Work.allCases.count)
  }

  /// What a ticket knows of its send.
  struct Ticket {
    var work: Work
    var generation: UInt64
    var addressed: Set<Int>
  }

  /// A grace period: the CPUs that were in kernel, and how far each had moved.
  struct GracePeriod {
    var stragglers: [Int: Int]
  }

  var cpus: [CPU]
  var runs: [Run] = []
  var isClosed = false
  var generations = Array(repeating: UInt64(0), count: Work.allCases.count)
  let housekeeping: Set<Int>

  init(cpus count: Int, housekeeping: Set<Int>) {
    cpus = Array(repeating: CPU(), count: count)
    self.housekeeping = housekeeping
  }

  func lag(of cpu: Int) -> UInt64 {
    let catchUp = Work.catchUp.rawValue
    return cpus[cpu].context == .offline ? 0 : generations[catchUp] - cpus[cpu].applied[catchUp]
  }

  // MARK: A CPU's own steps

  /// False: the step makes no sense where the CPU is.
  mutating func enterUser(_ cpu: Int) -> Bool {
    guard cpus[cpu].context == .kernel else { return false }
    // An exit looks at what was sent to this CPU; it compares nothing.
    if hasSomething(cpu) { drain(cpu) }
    move(cpu, to: .user)
    return true
  }

  mutating func enterKernel(_ cpu: Int) -> Bool {
    guard cpus[cpu].context == .user else { return false }
    move(cpu, to: .kernel)
    drain(cpu)
    return true
  }

  mutating func poll(_ cpu: Int) -> Bool {
    guard cpus[cpu].context != .offline else { return false }
    if !cpus[cpu].isKicked { return true }
    if cpus[cpu].context == .kernel {
      drain(cpu)
    } else {
      _ = enterKernel(cpu)
      move(cpu, to: .user)
    }
    return true
  }

  mutating func safePoint(_ cpu: Int) -> Bool {
    guard cpus[cpu].context == .kernel else { return false }
    if hasSomething(cpu) { drain(cpu) }
    return true
  }

  mutating func declareQuiescent(_ cpu: Int) -> Bool {
    guard safePoint(cpu) else { return false }
    cpus[cpu].moves += 2
    return true
  }

  mutating func detach(_ cpu: Int) -> Bool {
    guard cpus[cpu].context != .offline else { return false }
    _ = enterKernel(cpu)
    drain(cpu)
    move(cpu, to: .offline)
    return true
  }

  /// Whoever attaches has seen everything: what was sent to nobody is dropped.
  mutating func attach(_ cpu: Int) -> Bool {
    guard cpus[cpu].context == .offline, !isClosed else { return false }
    cpus[cpu].pending = []
    cpus[cpu].payload = 0
    cpus[cpu].isKicked = false
    cpus[cpu].applied = generations
    cpus[cpu].atAttach = generations
    move(cpu, to: .kernel)
    return true
  }

  private mutating func move(_ cpu: Int, to context: CPUContext) {
    cpus[cpu].context = context
    cpus[cpu].moves += 1
  }

  // MARK: Draining

  private func hasSomething(_ cpu: Int) -> Bool {
    !cpus[cpu].pending.isEmpty || cpus[cpu].isKicked
  }

  /// Two rounds: what a handler sends to its own CPU runs in the second.
  private mutating func drain(_ cpu: Int) {
    for round in 1...2 {
      let taken = cpus[cpu].pending
      cpus[cpu].pending = []
      cpus[cpu].isKicked = false
      for work in Work.allCases {
        let isLagging = round == 1 && work == .catchUp && lag(of: cpu) != 0
        if taken.contains(work) || isLagging { run(work, on: cpu, isBit: taken.contains(work)) }
      }
      if !hasSomething(cpu) { return }
    }
  }

  mutating func run(_ work: Work, on cpu: Int, isBit: Bool) {
    var told = UInt64.max
    if work == .catchUp { told = lag(of: cpu) }
    if work == .union {
      told = cpus[cpu].payload
      cpus[cpu].payload = 0
    }
    if isBit { cpus[cpu].counts[work.rawValue].executed += 1 }
    if told != 0 {
      runs.append(Run(work: work, cpu: cpu, told: told))
      if !isBit { cpus[cpu].counts[work.rawValue].caughtUp += 1 }
    }
    cpus[cpu].applied[work.rawValue] = generations[work.rawValue]
    if work == .late { _ = send(.plain, to: cpu) }
  }

  // MARK: Waiting

  mutating func close() -> WaitOutcome {
    isClosed = true
    let attached = CPUMask(cpus.indices.filter { cpus[$0].context != .offline })
    return attached.isEmpty ? .settled : .timedOut(attached)
  }

  func startGracePeriod() -> GracePeriod {
    let inKernel = cpus.indices.filter { cpus[$0].context == .kernel }
    return GracePeriod(
      stragglers: Dictionary(uniqueKeysWithValues: inKernel.map { ($0, cpus[$0].moves) }))
  }

  func poll(_ period: inout GracePeriod) -> Bool {
    period.stragglers = period.stragglers.filter { cpus[$0.key].moves == $0.value }
    return period.stragglers.isEmpty
  }

  func state(_ ticket: Ticket, of cpu: Int) -> CPUIsolation.Ticket.State {
    guard ticket.addressed.contains(cpu) else { return .gone }
    let work = ticket.work.rawValue
    if cpus[cpu].applied[work] >= ticket.generation {
      return cpus[cpu].atAttach[work] >= ticket.generation ? .gone : .executed
    }
    switch cpus[cpu].context {
    case .kernel: return .pending
    case .offline: return .gone
    default: return .covered
    }
  }
}
