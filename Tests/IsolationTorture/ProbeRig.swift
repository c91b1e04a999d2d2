// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation
internal import Glibc

/// Points that are hit everywhere, and probes that come and go.
final class ProbeRig: Sendable {
  private static let contexts = 512
  private let registry: ProbeRegistry
  private let first: ProbePoint<(UInt64, Int)>
  private let second: ProbePoint<UInt64>
  private let torture: Torture
  private let coordinator: Coordinator
  /// Which functions may run: 1 until their probe has been removed.
  private let living = WordTable(contexts)
  private let numbers = WordTable(1)

  /// The registry is never freed, so all worlds share it.
  init(_ registry: ProbeRegistry, _ coordinator: Coordinator, _ world: Int, _ torture: Torture) {
    self.registry = registry
    self.coordinator = coordinator
    self.torture = torture
    first = ProbePoint("world\(world).first", "number", "length", in: registry)
    second = ProbePoint("world\(world).second", "number", in: registry)
    prefix = "world\(world)"
  }

  private let prefix: String

  /// Hits the points, in whatever context.
  func hit(_ turn: inout Turn) {
    let number = turn.random.next() & 255
    first.hit(number, turn.row)
    if turn.random.oneIn(4) {
      second.measure(number) { turn.spin(50) }
    } else if turn.random.oneIn(4) {
      let activation = second.begin(number)
      turn.spin(50)
      second.end(activation)
    }
    turn.count(.probeHit)
  }

  /// Attaches something, lets it be hit, and removes it, by a thread that is no CPU.
  func change(_ turn: inout Turn) {
    do throws(IsolationError) {
      let place = Int(numbers.add(0) % UInt64(Self.contexts))
      let probes = try attach(place, &turn)
      if turn.random.oneIn(4) {
        registry.setEnabled(probes, false)
        registry.setEnabled(probes, true)
      }
      usleep(UInt32(turn.random.below(500)))
      for probe in probes { _ = (probe.hits, probe.missed, probe.histogram, probe.counts) }
      if turn.bug == .earlyProbe { living.store(place, 0) }
      let outcome = registry.remove(probes, timeout: Torture.generous)
      turn.check(outcome == .removed, "a probe was removed as \(outcome)")
      living.store(place, 0)
      turn.count(.probe)
    } catch {
      // Other threads may have taken all there are.
      turn.check(
        error.code == .tooManyProbes && torture.faults.isOn(.exhaust),
        "a probe was not attached: \(error)")
    }
  }

  private func attach(
    _ place: Int, _ turn: inout Turn
  ) throws(IsolationError) -> [ProbeRegistry.Probe] {
    living.store(place, 1)
    let filters = [nil, nil, "number > 100", "number & 1 && length < 20", "CPU == 1"]
    let name = prefix + ".first"
    switch turn.random.below(8) {
    case 0: return [try registry.attach(.count, to: name, filter: filters[turn.random.below(5)])]
    case 1: return [try registry.attach(.latency, to: prefix + ".second", maximumActive: 2)]
    case 2: return [try registry.attach(.values(of: "length"), to: name)]
    case 3: return [try registry.attach(.counts(by: "number"), to: name)]
    case 4: return [try registry.attach(.trace(into: coordinator), to: name)]
    case 5: return try registry.attach(.count, toAll: prefix + ".*")
    default:
      let torture = torture
      let living = living
      return [
        try registry.attach(
          .call { hit in
            if living.load(place) != 1 {
              torture.violations.tally(.ranAfterEnd, type: -3, cpu: hit.cpu ?? -1)
            }
            torture.faults.reachInHandler(.inHandler)
            if living.load(place) != 1 {
              torture.violations.tally(.ranAfterEnd, type: -3, cpu: hit.cpu ?? -1)
            }
          }, to: name, filter: filters[turn.random.below(5)])
      ]
    }
  }

  /// Takes all probes that there are, and gives them back.
  func exhaust(_ turn: inout Turn) {
    var probes: [ProbeRegistry.Probe] = []
    while probes.count < 10_000 {
      guard let probe = try? registry.attach(.count, to: prefix + ".second") else { break }
      probes.append(probe)
    }
    turn.check(probes.count < 10_000, "there is no end of probes")
    let outcome = registry.remove(probes, timeout: Torture.generous)
    turn.check(outcome == .removed, "\(probes.count) probes were removed as \(outcome)")
  }
}
