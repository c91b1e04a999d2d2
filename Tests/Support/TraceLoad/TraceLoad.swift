// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CPUIsolationTrace

/// A recording of any size, the same for the same wishes: housekeeping CPUs that interrupt isolated
/// ones, defer work for them, and have interrupts and threads of their own.
///
/// ```swift
/// let recording = TraceLoad(cpuCount: 128, isolated: 96...127, events: 1_000_000).recording()
/// ```
struct TraceLoad {
  private let isolated: ClosedRange<Int>
  private let wanted: Int
  private let hasKernel: Bool
  private var events = 0
  private var result: TraceRecording
  private var random = SplitMix(state: 1)
  private var now: UInt64 = 1_000_000_000_000
  /// Where each CPU's ring stands.
  private var times: [UInt64]
  private var pending: [Int: Set<Int>] = [:]
  /// When work of each CPU was last deferred or drained: rings run ahead of each other.
  private var touched: [Int: UInt64] = [:]
  private var transitions: UInt64 = 0

  /// `hasKernel` adds what a kernel records besides what a program with this library does.
  init(cpuCount: Int, isolated: ClosedRange<Int>, events: Int, hasKernel: Bool = true) {
    self.isolated = isolated
    self.hasKernel = hasKernel
    wanted = events
    result = TraceRecording(cpuCount: cpuCount)
    times = Array(repeating: now, count: cpuCount)
    for format in TraceEventFormat.builtIn + KernelEvents.all { result.define(format) }
    for (index, name) in Self.functions.enumerated() {
      result.nameSymbol(name, at: Self.address(index))
    }
    result.nameSymbol("_end", at: Self.address(Self.functions.count))
    for cpu in 0..<cpuCount {
      let name = isolated.contains(cpu) ? "isolated" : "churn"
      result.nameThread(Self.thread(cpu), "\(name)/\(cpu)")
    }
  }

  /// Makes the events.
  consuming func recording() -> TraceRecording {
    while events < wanted { step() }
    return result
  }

  private static let functions = [
    "flush_tlb_all", "sync_core", "nohz_kick", "flush_tlb_range", "do_sync_core",
    "text_poke_bp_batch", "smp_call_function_many_cond", "churn_loop", "tick_nohz_handler",
    "vmstat_update", "kick_ilb",
  ]
  private static let callbacks = 4

  private static func address(_ index: Int) -> UInt64 { 0xffff_ffff_8100_0000 + UInt64(index) << 8 }

  private static func thread(_ cpu: Int) -> Int32 { Int32(1000 + cpu) }

  private mutating func random(_ range: Range<Int>) -> Int { Int.random(in: range, using: &random) }

  private mutating func housekeeper() -> Int {
    let count = times.count - isolated.count
    // Some send much more than others.
    let share = random(0..<count) * random(0..<count) / max(1, count)
    return share < isolated.lowerBound ? share : share + isolated.count
  }

  private mutating func add(
    _ cpu: Int, _ format: TraceEventFormat, after delay: Int, _ fields: [UInt8]
  ) {
    guard events < wanted else { return }
    let time = max(now, times[cpu]) + UInt64(delay)
    times[cpu] = time
    let head: [UInt8] = [0, 0, 0, 0] + Self.bytes(Self.thread(cpu))
    result.append(cpu: cpu, timestamp: time, event: format.id, payload: head + fields)
    events += 1
  }

  private static func bytes(_ value: some FixedWidthInteger) -> [UInt8] {
    (0..<value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  /// Bursts and pauses: half of the events come in a tenth of the time.
  private mutating func step() {
    let isBurst = now / 50_000_000 % 10 == 3
    now += UInt64(random(0..<(isBurst ? 2_000 : 20_000)))
    let choice = random(0..<100)
    switch choice {
    case 0..<20: call()
    case 20..<24: broadcast()
    case 24..<50: deferWork()
    case 50..<58: enterAndLeave()
    default:
      guard hasKernel else { return call() }
      kernel(choice)
    }
  }

  private mutating func call() {
    let (sender, target) = (housekeeper(), random(isolated.lowerBound..<isolated.upperBound + 1))
    let function = Self.address(random(0..<Self.callbacks))
    let csd = Self.bytes(UInt64(0xffff_8880_0000_0000))
    let cpu = Self.bytes(UInt32(target)) + Self.bytes(UInt32(0))
    let callsite = Self.bytes(Self.address(6) + 0x42)
    add(sender, .csdQueueCPU, after: 200, cpu + callsite + Self.bytes(function) + csd)
    add(sender, .ipiSendCPU, after: 100, cpu + callsite + Self.bytes(function))
    times[target] = max(times[target], times[sender] + UInt64(random(500..<4_000)))
    if hasKernel { add(target, KernelEvents.callFunctionEntry, after: 0, Self.bytes(UInt32(251))) }
    add(target, .csdFunctionEntry, after: 150, Self.bytes(function) + csd)
    add(target, .csdFunctionExit, after: random(200..<3_000), Self.bytes(function) + csd)
    if hasKernel { add(target, KernelEvents.callFunctionExit, after: 90, Self.bytes(UInt32(251))) }
  }

  private mutating func broadcast() {
    let sender = housekeeper()
    var words = [UInt64](repeating: 0, count: (times.count + 63) / 64)
    let certain = isolated.lowerBound + random(0..<isolated.count)
    for cpu in isolated where cpu == certain || random(0..<4) == 0 {
      words[cpu / 64] |= 1 << UInt64(cpu % 64)
    }
    let place = UInt32(32) | UInt32(8 * words.count) << 16
    add(
      sender, .ipiSendCPUMask, after: 100,
      Self.bytes(place) + Self.bytes(UInt32(0)) + Self.bytes(Self.address(5) + 0x10)
        + Self.bytes(Self.address(4)) + words.flatMap { Self.bytes($0) })
  }

  private mutating func deferWork() {
    let target = random(isolated.lowerBound..<isolated.upperBound + 1)
    let work = random(0..<Self.callbacks)
    let isNew = pending[target, default: []].insert(work).inserted
    let sender = housekeeper()
    follow(target, on: sender)
    add(
      sender, isNew ? .deferredWorkSet : .deferredWorkMerge, after: 120,
      Self.bytes(UInt32(target)) + Self.bytes(UInt32(0)) + Self.bytes(Self.address(work))
        + Self.bytes(Self.address(7) + 0x20))
    touched[target] = times[sender]
  }

  /// Nothing that is about a CPU's pending work happens before what happened to it already.
  private mutating func follow(_ target: Int, on cpu: Int) {
    times[cpu] = max(times[cpu], touched[target] ?? 0)
  }

  private mutating func enterAndLeave() {
    let target = random(isolated.lowerBound..<isolated.upperBound + 1)
    transitions += 1
    follow(target, on: target)
    add(target, .contextUserExit, after: 0, Self.bytes(transitions))
    for work in (pending[target] ?? []).sorted() {
      add(
        target, .deferredWorkDrain, after: 300,
        Self.bytes(UInt32(target)) + Self.bytes(UInt32(0)) + Self.bytes(Self.address(work))
          + Self.bytes(UInt64(1_000)))
    }
    pending[target] = nil
    touched[target] = times[target]
    add(target, .contextUserEnter, after: 500, Self.bytes(transitions + 1))
  }

  private mutating func kernel(_ choice: Int) {
    // Isolated CPUs are left alone, mostly.
    let cpu = random(0..<50) == 0 ? isolated.lowerBound + random(0..<isolated.count) : housekeeper()
    switch choice {
    case 58..<72:
      add(cpu, KernelEvents.localTimerEntry, after: 0, Self.bytes(UInt32(236)))
      add(cpu, KernelEvents.localTimerExit, after: random(900..<4_000), Self.bytes(UInt32(236)))
      softirq(cpu, random(0..<2) == 0 ? 1 : 7)
    case 72..<80:
      let number = random(24..<30)
      add(cpu, KernelEvents.interruptEntry, after: 0, KernelEvents.interrupt(number))
      add(
        cpu, KernelEvents.interruptExit, after: random(700..<9_000),
        Self.bytes(UInt32(number)) + Self.bytes(UInt32(1)))
      softirq(cpu, 3)
    case 80..<94:
      let worker = Int32(100 + random(0..<6))
      add(cpu, KernelEvents.threadSwitch, after: 0, KernelEvents.switched(Self.thread(cpu), worker))
      add(
        cpu, KernelEvents.threadSwitch, after: random(2_000..<60_000),
        KernelEvents.switched(worker, Self.thread(cpu)))
    case 94..<97:
      add(
        cpu, KernelEvents.pageFault, after: 0,
        Self.bytes(UInt64(0x7f00_0000_0000 + random(0..<1 << 20))) + Self.bytes(UInt64(0x40_1000))
          + Self.bytes(UInt64(6)))
    default:
      add(cpu, KernelEvents.noise, after: 3_000, KernelEvents.interruptNoise(start: now, 1_800))
    }
  }

  private mutating func softirq(_ cpu: Int, _ vector: Int) {
    add(cpu, KernelEvents.softirqEntry, after: 60, Self.bytes(UInt32(vector)))
    add(cpu, KernelEvents.softirqExit, after: random(300..<15_000), Self.bytes(UInt32(vector)))
  }
}

/// The same numbers in every run.
private struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var value = state
    value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
    return value ^ value >> 31
  }
}
