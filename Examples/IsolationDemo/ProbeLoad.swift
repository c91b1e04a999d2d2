// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Synchronization

/// Tens of thousands of probes that are attached and removed in steps, while isolated threads hit
/// their points from user and from kernel.
final class ProbeLoad: Sendable {
  private let options: Options
  private let registry: ProbeRegistry
  private let coordinator: Coordinator
  /// By point: 1 while it has a probe that may run, 2 while CPUs may have it in their caches still, else
  /// 0; above these two bits the round.
  private let alive: ProbeWords
  /// By CPU, the last number that the handler of the constant point was told.
  private let told: ProbeWords
  private let cache: LookupCache<UInt64, UInt64>
  private let points: [ProbePoint<UInt64>]
  private let constant: ProbePoint<(UInt64, UInt64)>
  private let stop = StopFlag()
  private let late = Atomic<UInt64>(0)
  private let lost = Atomic<UInt64>(0)
  private let doubled = Atomic<UInt64>(0)

  /// Half of the points are probed, in so many steps.
  static let steps = 10

  init(_ options: Options, probes: Int) throws(IsolationError) {
    self.options = options
    // A point and a probe each, and the constant ones besides.
    registry = try ProbeRegistry(capacity: probes + 8)
    var configuration = Coordinator.Configuration(
      housekeeping: options.housekeeping, isolated: options.isolated)
    configuration.isolatedInterrupter = .poll
    coordinator = try Coordinator(configuration)
    alive = ProbeWords(probes)
    told = ProbeWords(options.isolated.last! + 1)
    cache = try LookupCache(coordinator, "probe_cache")
    let registry = self.registry
    let stepSize = max(1, probes / 2 / Self.steps)
    points = (0..<probes).map { number in
      let step = number / stepSize
      let group = step < Self.steps ? "step\(step)" : "rest"
      return ProbePoint<UInt64>("\(group).point\(number)", "number", in: registry)
    }
    constant = ProbePoint("constant", "cpu", "sequence", in: registry)
  }

  func run(_ progress: Progress) throws -> ProbeReport {
    let check = try registry.attach(
      .call { [self] hit in
        let (cpu, sequence) = (Int(hit[0]), hit[1])
        let last = told.load(cpu)
        if sequence <= last {
          doubled.wrappingAdd(1, ordering: .relaxed)
        } else if sequence > last + 1 {
          lost.wrappingAdd(sequence - last - 1, ordering: .relaxed)
        }
        told.store(cpu, sequence)
      }, to: "constant")
    let latency = try registry.attach(.latency, to: "constant")
    var threads: [CPUThread] = []
    var report = ProbeReport()
    do {
      for cpu in coordinator.isolated {
        threads.append(try coordinator.launch(on: cpu) { [self] local in hit(local) })
      }
      report.steps = try storm()
    } catch {
      stop.set()
      for thread in threads { thread.join() }
      throw error
    }
    stop.set()
    for thread in threads { thread.join() }
    progress.clear()
    report.late = late.load(ordering: .relaxed)
    report.lost = lost.load(ordering: .relaxed)
    report.doubled = doubled.load(ordering: .relaxed)
    report.missed = latency.missed
    report.hits = check.hits
    report.scopes = latency.hits
    let statistics = coordinator.statistics()
    report.ipis = statistics[cache.work].interrupted
    report.cached = coordinator.isolated.reduce(0) { $0 + cache.statistics(of: $1).fills }
    registry.close()
    try cache.close()
    coordinator.close()
    return report
  }

  /// An isolated thread: mostly in user, now and then in kernel.
  private func hit(_ cpu: borrowing LocalCPU) {
    let number = UInt64(cpu.number)
    var sequence: UInt64 = 0
    var place = cpu.number &* 7919
    let local = cache.open(on: cpu)
    while !stop.isSet {
      cpu.enterUser()
      for _ in 0..<1000 {
        sequence &+= 1
        constant.hit(number, sequence)
        place = (place &+ 127) % points.count
        points[place].hit(UInt64(place))
      }
      cpu.enterKernel()
      sequence &+= 1
      constant.measure(number, sequence) {
        place = (place &+ 1) % points.count
        let key = UInt64(place)
        let before = alive.load(place)
        let found = local.lookUp(key, on: cpu) { alive.load(Int($0)) & 3 == 1 ? $0 : nil }
        // It was gone for every CPU before we looked, and is still.
        if before & 3 == 0, found != nil, alive.load(place) == before {
          late.wrappingAdd(1, ordering: .relaxed)
        }
      }
    }
  }

  /// Attaches step by step and takes everything off again, for as long as it lasts. Returns what each
  /// step takes, as the median over the rounds, in milliseconds.
  private func storm() throws -> [Double] {
    let end = ContinuousClock.now + options.duration
    var times = [[Double]](repeating: [], count: Self.steps)
    var round: UInt64 = 0
    repeat {
      round += 4
      var attached: [[ProbeRegistry.Probe]] = []
      for step in 0..<Self.steps {
        let numbers = numbers(ofStep: step)
        let begin = ContinuousClock.now
        for number in numbers { alive.store(number, round | 1) }
        attached.append(
          try registry.attach(
            .call { [self] hit in
              if alive.load(Int(hit[0])) & 3 != 1 { late.wrappingAdd(1, ordering: .relaxed) }
            }, toAll: "step\(step).*"))
        times[step].append((ContinuousClock.now - begin) / .milliseconds(1))
      }
      for step in 0..<Self.steps {
        registry.remove(attached[step])
        // The table first, then the caches: one send for all of the step's keys.
        for number in numbers(ofStep: step) { alive.store(number, round | 2) }
        _ = cache.invalidate(numbers(ofStep: step).lazy.map { UInt64($0) }).wait(until: .covered)
        for number in numbers(ofStep: step) { alive.store(number, round) }
      }
    } while ContinuousClock.now < end
    return times.map { $0.sorted()[$0.count / 2] }
  }

  private func numbers(ofStep step: Int) -> Range<Int> {
    let size = max(1, points.count / 2 / Self.steps)
    return min(step * size, points.count)..<min((step + 1) * size, points.count)
  }
}

/// What came of a storm of probes.
struct ProbeReport {
  var ipis: UInt64 = 0
  var late: UInt64 = 0
  var lost: UInt64 = 0
  var doubled: UInt64 = 0
  var missed: UInt64 = 0
  var hits: UInt64 = 0
  var scopes: UInt64 = 0
  var cached: UInt64 = 0
  var steps: [Double] = []

  /// Whether nothing went wrong.
  var isSound: Bool { ipis == 0 && late == 0 && lost == 0 && doubled == 0 && hits > 0 }

  var json: String {
    let steps = steps.map { decimal($0, 3) }.joined(separator: ",")
    return "{\"ipis\":\(ipis),\"late_handlers\":\(late),\"lost\":\(lost),\"doubled\":\(doubled),"
      + "\"missed\":\(missed),\"step_ms\":[\(steps)]}\n"
  }

  var text: String {
    var text =
      "\(hits) hits and \(scopes) scopes of the constant probes, \(cached) lookups cached\n"
    text += "interrupts \(ipis), late handlers \(late), lost \(lost), doubled \(doubled), "
    text += "missed \(missed)\n\nstep  attached in ms\n"
    for (step, time) in steps.enumerated() {
      text += "\(step < 9 ? "   " : "  ")\(step + 1)  \(decimal(time, 3))\n"
    }
    return text
  }
}

/// Words that threads share.
// Sendable: an address that never changes, of atomics.
@safe
final class ProbeWords: @unchecked Sendable {
  private let words: UnsafeMutablePointer<Atomic<UInt64>>
  private let count: Int

  init(_ count: Int) {
    self.count = count
    unsafe words = .allocate(capacity: count)
    for index in 0..<count { unsafe (words + index).initialize(to: Atomic(0)) }
  }

  deinit { unsafe words.deallocate() }

  func load(_ index: Int) -> UInt64 {
    precondition(index >= 0 && index < count)
    return unsafe words[index].load(ordering: .acquiring)
  }

  func store(_ index: Int, _ value: UInt64) {
    precondition(index >= 0 && index < count)
    unsafe words[index].store(value, ordering: .releasing)
  }
}
