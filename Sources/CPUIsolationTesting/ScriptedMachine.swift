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
/// - Progress: blocking
/// - Context: one thread, which is no CPU
/// - Allocates: yes
public final class ScriptedMachine {
  /// The coordinator that is scripted.
  public let coordinator: Coordinator
  private let scripted: [Int: ScriptedCPU]

  /// Makes the machine; every CPU has attached and is in kernel.
  ///
  /// - Throws: as `Coordinator.init`.
  public init(
    housekeeping: CPUMask, isolated: CPUMask,
    configure: (inout Coordinator.Configuration) -> Void = { _ in }
  ) throws(CoordinatorError) {
    var configuration = Coordinator.Configuration(housekeeping: housekeeping, isolated: isolated)
    configuration.pinning = .none
    configure(&configuration)
    configuration.watchdog?.isManual = true
    let coordinator = try Coordinator(configuration)
    var scripted: [Int: ScriptedCPU] = [:]
    for cpu in coordinator.cpus { scripted[cpu] = try ScriptedCPU(cpu, of: coordinator) }
    self.coordinator = coordinator
    self.scripted = scripted
  }

  deinit { for cpu in scripted.values { cpu.end() } }

  /// One of its CPUs.
  public subscript(cpu: Int) -> ScriptedCPU {
    guard let found = scripted[cpu] else {
      fatalError("there is no CPU \(cpu): this machine has CPUs \(coordinator.cpus)")
    }
    return found
  }

  /// Moves the clock, and lets the watchdog look: what is pending ages, what is too old is
  /// escalated, what is stuck is reported.
  public func advance(by duration: Duration) { coordinator.advanceClock(by: duration) }

  /// How often the handler has run on a CPU for a bit that was set.
  public func executed(_ work: DeferredWork, on cpu: Int) -> Int {
    Int(coordinator.statistics()[work, on: cpu].executed)
  }

  /// Whether the work is pending on a CPU.
  public func isPending(_ work: DeferredWork, on cpu: Int) -> Bool {
    coordinator.statistics()[work, on: cpu].pending != 0
  }
}
