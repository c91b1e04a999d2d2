// SPDX-License-Identifier: Apache-2.0

public import CPUIsolation

/// A coordinator whose CPUs move only when a test says so, with a clock that only the test moves.
///
///     let machine = try ScriptedMachine(housekeeping: [0], isolated: [2])
///     let flush = try machine.coordinator.register("flush") { _ in }
///     machine[2].enterUser()
///     machine.coordinator.send(flush, to: 2)  // .deferred
///     machine.executed(flush, on: 2)  // 0: nothing runs while CPU 2 is in user
///     machine[2].enterKernel()
///     machine.executed(flush, on: 2)  // 1: it enters, and the work has run exactly once
///
/// Underneath runs the library itself: each CPU is a real thread that makes one step at a time, and
/// each call here returns when the step is done. So a script is a sequence, not a race; for races
/// there is the ModelChecking trait.
///
/// The clock is the watchdog's: ages, maximum ages and stall reports follow it. Deadlines of waits
/// and sleeps are real time.
///
/// - Progress: blocking
/// - Context: one thread, which is no CPU
/// - Allocates: yes
public final class ScriptedMachine {
  /// The coordinator that is scripted.
  public let coordinator: Coordinator
  private let scripted: [Int: ScriptedCPU]
  private let log: StallLog
  private let interval: Duration?
  private var isAbandoned = false

  /// How far the clock has been moved.
  public private(set) var elapsed = Duration.zero

  /// Makes the machine; every CPU has attached and is in kernel.
  ///
  /// - Parameters:
  ///   - housekeeping: The CPUs that change shared state.
  ///   - isolated: The CPUs that nobody disturbs.
  ///   - configure: Changes the configuration before the coordinator is made of it.
  /// - Throws: as `Coordinator.init`.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  public init(
    housekeeping: CPUMask, isolated: CPUMask,
    configure: (inout Coordinator.Configuration) -> Void = { _ in }
  ) throws(IsolationError) {
    var configuration = Coordinator.Configuration(housekeeping: housekeeping, isolated: isolated)
    configuration.pinning = .none
    configure(&configuration)
    configuration.watchdog?.isManual = true
    let log = StallLog()
    let told = configuration.watchdog?.report
    configuration.watchdog?.report = { report in
      log.reports.withLock { $0.append(report) }
      told?(report)
    }
    let coordinator = try Coordinator(configuration)
    var scripted: [Int: ScriptedCPU] = [:]
    for cpu in coordinator.cpus {
      do {
        scripted[cpu] = try ScriptedCPU(cpu, of: coordinator)
      } catch {
        for started in scripted.values { started.end() }
        throw error
      }
    }
    self.coordinator = coordinator
    self.scripted = scripted
    self.log = log
    interval = configuration.watchdog?.interval
  }

  deinit {
    if !isAbandoned { for cpu in scripted.values { cpu.end() } }
  }

  /// Gives up a machine of which a CPU is in a step that does not return. It stays in memory for
  /// that CPU; the others end.
  func abandon() {
    isAbandoned = true
    for cpu in scripted.values { if cpu.isStepping { cpu.abandon() } else { cpu.end() } }
    unsafe _ = Unmanaged.passRetained(self)
  }

  /// One of its CPUs.
  ///
  /// - Parameter cpu: Its number; one that the machine does not have ends the process.
  /// - Returns: The scripted CPU.
  /// - Progress: wait-free
  /// - Context: the test's thread
  /// - Allocates: never
  public subscript(cpu: Int) -> ScriptedCPU {
    guard let found = scripted[cpu] else {
      fatalError("there is no CPU \(cpu): this machine has CPUs \(coordinator.cpus)")
    }
    return found
  }

  // MARK: The clock

  /// Moves the clock. The watchdog looks now, then once per interval on the way, as it does in real
  /// time: what is pending ages, what is too old is escalated, what is stuck is reported. Past ten
  /// thousand looks they are further apart.
  ///
  /// - Parameter duration: Not negative; zero has the watchdog look once.
  /// - Progress: blocking; runs handlers where the watchdog may run them on behalf of a CPU
  /// - Context: the test's thread
  /// - Allocates: yes
  public func advance(by duration: Duration) {
    guard let interval else {
      fatalError("this machine was configured without a watchdog: it has no clock to move")
    }
    if duration < .zero { fatalError("the clock cannot go back by \(.zero - duration)") }
    let step = max(interval, duration / Self.looks)
    let end = elapsed + duration
    coordinator.advanceClock(by: .zero)
    while elapsed < end {
      let next = min(step, end - elapsed)
      coordinator.advanceClock(by: next)
      elapsed += next
    }
  }

  private static let looks = 10_000

  // MARK: What there is to see

  /// What the watchdog has reported so far, the oldest first. A report function of the
  /// configuration is told as well.
  public var stalls: [Coordinator.StallReport] { log.reports.withLock { $0 } }

  /// What has been counted so far.
  public var statistics: Coordinator.Statistics { coordinator.statistics() }

  /// Where each CPU is.
  public var contexts: [Int: CPUContext] { scripted.mapValues(\.context) }

  /// How often the handler has run on a CPU, for a bit that was set, or because the CPU lagged
  /// after a catch-up type.
  ///
  /// - Parameters:
  ///   - work: A type of the machine's coordinator.
  ///   - cpu: The number of one of its CPUs.
  /// - Returns: The number of runs since the machine was made.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  public func executed(_ work: WorkType, on cpu: Int) -> Int {
    let counts = statistics[work, on: cpu]
    return Int(counts.executed + counts.caughtUp)
  }

  /// Whether the work is pending on a CPU: its bit is set, or, outside kernel, the CPU lags after a
  /// catch-up type.
  ///
  /// - Parameters:
  ///   - work: A type of the machine's coordinator.
  ///   - cpu: The number of one of its CPUs.
  /// - Returns: Whether a run is still to come.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  public func isPending(_ work: WorkType, on cpu: Int) -> Bool {
    isPending(work, on: cpu, statistics)
  }

  private func isPending(_ work: WorkType, on cpu: Int, _ statistics: Coordinator.Statistics)
    -> Bool
  {
    let counts = statistics[work, on: cpu]
    return counts.pending != 0 || counts.lag != 0 && coordinator.context(of: cpu) != .kernel
  }

  /// The CPUs on which the work is pending.
  ///
  /// - Parameter work: A type of the machine's coordinator.
  /// - Returns: Those CPUs.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  public func pending(_ work: WorkType) -> CPUMask {
    let statistics = self.statistics
    return CPUMask(coordinator.cpus.filter { isPending(work, on: $0, statistics) })
  }
}

/// What the watchdog of a machine has reported.
private final class StallLog: Sendable {
  let reports = Lock<[Coordinator.StallReport]>([])
}
