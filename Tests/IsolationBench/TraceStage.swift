// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// What the rows on tracing run on: a coordinator of their own, so that the others are measured
/// with tracing off, and a tracepoint with two fields.
struct TraceStage: Sendable {
  static let ownCPU = 1

  let coordinator: Coordinator
  let tracepoint: Tracepoint
  private static let format = TraceEventFormat(
    system: "bench", name: "turn", id: 2001,
    declaring: [.number("count", as: UInt32.self), .number("version", as: UInt32.self)],
    printFormat: #""count=%u version=%u", REC->count, REC->version"#)

  private static let shared = try? TraceStage()

  private init() throws(IsolationError) {
    var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1, 2, 3])
    configuration.pinning = .none  // the thread has its processor already
    coordinator = try Coordinator(configuration)
    tracepoint = try coordinator.tracer.declare(Self.format)
  }

  /// What becomes of an event.
  enum Fate: Sendable {
    case off
    case on
    /// A filter of four predicates, one of them with a `CPUS{…}`, is asked to its end and says no.
    case filteredOut
    /// The same says yes.
    case passed

    /// The last predicate decides.
    fileprivate var filter: String? {
      let rest = "count > 0 && version == 7 && common_pid != 1 && cpu & "
      return switch self {
      case .off, .on: nil
      case .filteredOut: rest + "CPUS{2-3}"
      case .passed: rest + "CPUS{0-1}"
      }
    }
  }

  /// Who records.
  enum Place: Sendable {
    /// A CPU in kernel, into a ring of its own.
    case cpu
    /// A thread that is no CPU, into the ring that all of them share.
    case otherThread
  }

  /// Runs `body` on a thread of its own, while the event has this fate. Not a number if there is no
  /// coordinator or no thread to be had.
  static func run(
    _ fate: Fate, as place: Place, _ body: @escaping @Sendable (Tracepoint) -> Double
  ) -> Double {
    guard let stage = shared else { return .nan }
    let tracer = stage.coordinator.tracer
    do {
      if fate != .off { try tracer.start(format, filter: fate.filter) }
    } catch {
      return .nan
    }
    defer { tracer.stop(format) }
    return OtherThread.run {
      var cpu: CPUHandle?
      if place == .cpu {
        cpu = try? stage.coordinator.attachHandle(to: ownCPU)
        if cpu == nil { return .nan }
      }
      defer { cpu?.detach() }
      stage.tracepoint.record((1 as UInt32, 7 as UInt32))  // warms up: the thread's number
      return body(stage.tracepoint)
    }
  }

  /// Runs `body` on a CPU that is in user, while its transitions are recorded, or are not.
  static func runTransitions(
    recorded: Bool, _ body: @escaping @Sendable (borrowing LocalCPU) -> Double
  ) -> Double {
    guard let stage = shared else { return .nan }
    let tracer = stage.coordinator.tracer
    do {
      if recorded {
        try tracer.start(.contextUserEnter)
        try tracer.start(.contextUserExit)
      }
    } catch {
      return .nan
    }
    defer {
      tracer.stop(.contextUserEnter)
      tracer.stop(.contextUserExit)
    }
    return OtherThread.run {
      guard let local = try? stage.coordinator.attach(to: ownCPU) else { return .nan }
      local.enterUser()
      let result = body(local)
      local.enterKernel()
      local.detach()
      return result
    }
  }
}
