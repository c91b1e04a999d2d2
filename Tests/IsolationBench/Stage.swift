// SPDX-License-Identifier: Apache-2.0

internal import CBenchmarkPeers
internal import CPUIsolation
internal import Dispatch

/// What the benchmarks run on: a coordinator whose CPU 1 is the calling thread, bound to a
/// processor and in user, and whose CPUs 2 to 5 are threads that sleep in user. Beside it the same
/// CPUs in C.
///
/// The configuration is the default one: the watchdog ticks, and everything is counted.
@safe
struct Stage: ~Copyable {
  static let ownCPU = 1
  static let targets = CPUMask(2..<6)
  static let firstTarget = 2
  private static let cpuCount = 6
  private static let lineBytes = 128

  let coordinator: Coordinator
  let cpu: LocalCPU
  let sender: Sender
  /// As many work types as there can be, all with the handler `peer_count_run`.
  let works: UnsafeMutableBufferPointer<WorkType>
  /// The same for the C side.
  let peerWorks: UnsafeMutableBufferPointer<peer_work>
  /// The CPUs in C, by number.
  let peers: UnsafeMutableBufferPointer<OpaquePointer>
  /// Words on lines of their own: by CPU how often handlers ran, and after them what senders
  /// publish.
  private let words: UnsafeMutableRawPointer
  let clock: BenchmarkClock
  /// A processor besides the one that this thread is bound to.
  let secondProcessor: Int32?
  private let isOver: DispatchSemaphore
  private let threads: [CPUThread]

  init() throws(IsolationError) {
    let clock = BenchmarkClock()
    let words = UnsafeMutableRawPointer.allocate(
      byteCount: Self.lineBytes * (Self.cpuCount + 1), alignment: Self.lineBytes)
    unsafe words.initializeMemory(
      as: UInt64.self, repeating: 0, count: (Self.cpuCount + 1) * Self.lineBytes / 8)
    var processors = [Int32](repeating: 0, count: 1024)
    let allowed = unsafe Int(peer_allowed_processors(&processors, Int32(processors.count)))
    // The last one: interrupts and other people's threads gather on the first.
    if allowed > 0 { _ = peer_pin(processors[allowed - 1]) }

    var configuration = Coordinator.Configuration(
      housekeeping: [0], isolated: Self.targets.union([Self.ownCPU]))
    configuration.pinning = .none  // they inherit this thread's processor, and sleep
    let coordinator = try Coordinator(configuration)
    let works = UnsafeMutableBufferPointer<WorkType>.allocate(capacity: WorkType.capacity)
    let peerWorks = UnsafeMutableBufferPointer<peer_work>.allocate(capacity: works.count)
    for index in works.indices {
      let work = try unsafe coordinator.register(
        "work \(index)", context: words, function: { unsafe peer_count_run($0, $1) })
      unsafe works.initializeElement(at: index, to: work)
      unsafe peerWorks.initializeElement(
        at: index, to: peer_work(type: UInt64(work.bit), registration: 0, flags: 0))
    }
    let peers = UnsafeMutableBufferPointer<OpaquePointer>.allocate(
      capacity: Self.cpuCount)
    for index in peers.indices {
      unsafe peers.initializeElement(
        at: index, to: peer_cpu_make({ unsafe peer_count_run($0, $1) }, words))
    }
    let isOver = DispatchSemaphore(value: 0)
    let threads = try Self.launchTargets(of: coordinator, until: isOver)
    let sender = try coordinator.makeSender()
    let cpu = try coordinator.attach(to: Self.ownCPU)
    cpu.enterUser()

    self.coordinator = coordinator
    self.cpu = cpu
    self.sender = sender
    unsafe self.works = unsafe works
    unsafe self.peerWorks = unsafe peerWorks
    unsafe self.peers = unsafe peers
    unsafe self.words = unsafe words
    self.clock = clock
    self.secondProcessor = allowed > 1 ? processors[0] : nil
    self.isOver = isOver
    self.threads = threads
  }

  private static func launchTargets(
    of coordinator: Coordinator, until isOver: DispatchSemaphore
  ) throws(IsolationError) -> [CPUThread] {
    let isInUser = DispatchSemaphore(value: 0)
    var threads: [CPUThread] = []
    for target in targets {
      let thread = try coordinator.launch(on: target) { cpu in
        cpu.inUser {
          isInUser.signal()
          isOver.wait()
        }
      }
      threads.append(thread)
      isInUser.wait()
    }
    return threads
  }

  deinit {
    for _ in threads { isOver.signal() }
    for thread in threads { thread.join() }
    cpu.enterKernel()
    for index in unsafe peers.indices { unsafe peer_cpu_free(peers[index]) }
    unsafe peers.deallocate()
    unsafe works.deallocate()
    unsafe peerWorks.deallocate()
    unsafe words.deallocate()  // nothing is pending any more, so no handler writes there
  }

  /// Where senders publish before they send, on a line that the handlers' counter is not on.
  var datum: UnsafeMutablePointer<UInt64> {
    unsafe (words + Self.cpuCount * Self.lineBytes).assumingMemoryBound(to: UInt64.self)
  }

  /// The counterpart of the own CPU.
  var peer: OpaquePointer { unsafe peers[Self.ownCPU] }

  var work: WorkType { unsafe works[0] }

  /// Why a row that requires this cannot run here; nil if it can.
  borrowing func missing(for requirement: Benchmark.Requirement) -> String? {
    switch requirement {
    case .none: nil
    case .secondProcessor: secondProcessor == nil ? "it needs two processors" : nil
    case .counters:
      peer_counters_are_available()
        ? nil : "sanitized builds, and C libraries other than glibc, count no allocations"
    case .kernelProbes: Self.refusesKernelProbes
    }
  }

  /// Why the kernel lets this program set no probe; nil if it does. The place is given back at once.
  private static var refusesKernelProbes: String? {
    for isReturn in [false, true] {
      guard peer_begin_kernel_probe(isReturn) else {
        return "the kernel's uprobe_events in tracefs cannot be written, or refuse the program"
      }
      peer_end_kernel_probe()
    }
    return nil
  }

  /// The nanoseconds that one of the operations in `body` takes.
  @inline(__always)
  borrowing func time(_ count: Int, _ body: () -> Void) -> Double {
    clock.time(count, body)
  }
}

/// The cycle counter, in nanoseconds.
struct BenchmarkClock: Sendable {
  let nanosecondsPerCycle: Double
  /// What an empty measurement shows.
  private let overhead: UInt64

  init() {
    nanosecondsPerCycle = 1e9 / Double(CycleClock.frequency)
    overhead =
      (0..<1000).map { _ in
        let start = peer_ordered_cycles()
        return peer_ordered_cycles() &- start
      }.min() ?? 0
  }

  /// The cycles that `body` takes.
  @inline(__always)
  func cycles(_ body: () -> Void) -> UInt64 {
    let start = peer_ordered_cycles()
    body()
    let cycles = peer_ordered_cycles() &- start
    return cycles > overhead ? cycles - overhead : 0
  }

  /// The nanoseconds that one of the operations in `body` takes.
  @inline(__always)
  func time(_ count: Int, _ body: () -> Void) -> Double {
    Double(cycles(body)) * nanosecondsPerCycle / Double(count)
  }
}
