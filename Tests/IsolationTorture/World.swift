// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation
internal import Glibc

/// A coordinator with everything that hangs on it.
final class World: Sendable {
  /// CPU 0 is for housekeeping, the others are isolated.
  static let cpus = 3
  let torture: Torture
  let number: Int
  let coordinator: Coordinator
  let sends: SendRig
  let tables: TableRig
  let calls: CallRig
  let keys: KeyRig
  let timers: TimerRig
  let pools: PoolRig
  let hazards: HazardRig
  let pages: PageRig
  let probes: ProbeRig
  let lookups: LookupRig
  let regions: RegionRig
  let traces: TraceRig
  let registrations: RegistrationRig
  let signalSender: SignalSender

  /// Who writes: drivers, then owners, then a signal handler, then a thread to which something is refused.
  static let writers = Torture.drivers + cpus + 2
  static func writer(ofCPU cpu: Int) -> Int { Torture.drivers + cpu }
  private static let signalWriter = writers - 2
  static let refusedWriter = writers - 1

  static func all(_ torture: Torture) throws(IsolationError) -> [World] {
    var worlds: [World] = []
    // Registries of probes are never freed.
    let registry = try ProbeRegistry(capacity: 64, activations: 16)
    for number in 0..<2 { worlds.append(try World(torture, number, registry)) }
    return worlds
  }

  private init(
    _ torture: Torture, _ number: Int, _ registry: ProbeRegistry
  ) throws(IsolationError) {
    self.torture = torture
    self.number = number
    var configuration = Coordinator.Configuration(
      housekeeping: [0], isolated: CPUMask(1..<Self.cpus),
      pinning: number == 0 ? .none : .wherePossible,
      isolatedInterrupter: number == 0 ? .signal : .poll, timesDrains: number == 1,
      traceEvents: 256)
    configuration.watchdog?.report = { _ in }
    coordinator = try Coordinator(configuration)
    sends = try SendRig(coordinator, writers: Self.writers, torture)
    tables = try TableRig(coordinator, torture)
    calls = try CallRig(coordinator, writers: Self.writers, torture)
    keys = try KeyRig(coordinator, torture)
    timers = try TimerRig(coordinator)
    pools = try PoolRig(torture)
    let domain =
      number == 0
      ? try coordinator.makeHazardDomain() : try HazardDomain(reclamation: .retiring)
    hazards = HazardRig(domain, torture)
    pages = try PageRig(coordinator, torture)
    probes = ProbeRig(registry, coordinator, number, torture)
    lookups = try LookupRig(coordinator)
    regions = try RegionRig()
    traces = try TraceRig(coordinator)
    registrations = RegistrationRig(coordinator, torture)
    signalSender = SignalSender(sends, coordinator, writer: Self.signalWriter, torture)
  }

  var name: String { "world \(number)" }

  /// What has to hold when no thread is left.
  func finish() {
    tables.finish()
    calls.finish(name)
    hazards.finish()
    pools.finish()
    sends.checkAccounts(name)
    timers.finish(torture)
    pages.finish()
    lookups.finish(torture)
    let outcome = coordinator.close(timeout: Torture.generous)
    torture.violations.check(outcome == .settled, "\(name) closes as \(outcome)")
    torture.violations.check(
      coordinator.send(sends.work(.plain), to: 0) == .rejected(.closed),
      "\(name) takes sends after it was closed")
  }
}
