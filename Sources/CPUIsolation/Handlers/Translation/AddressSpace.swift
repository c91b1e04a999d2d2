// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// A page table, a translation cache for each CPU, and the flushes between them.
///
///     let space = try AddressSpace(coordinator, .init(pages: 1 << 20))
///     _ = try space.map(7, to: frame)
///     try coordinator.launch(on: 2) { cpu in
///       let translations = space.open(on: cpu)
///       while running {
///         cpu.inUser { hotLoop() }
///         if let frame = translations.lookUp(7, on: cpu) { use(frame) }  // ≤ 3 ns, no lock
///       }
///     }
///     var old = space.unmap(7..<8)  // CPU 2 is not disturbed
///     old.wait { page, frame in freeFrames.append(frame) }  // after every CPU's flush
///
/// Changing is not freeing. What a CPU sees of a *change* may lag until it enters kernel or passes
/// a safe point, for as long as both frames are good. What is *freed* or reused has to be waited
/// for: here a frame comes out of an unmapping by no other way than the acknowledgement of every
/// CPU (``AddressSpace/Retirement``), and until then its page cannot be mapped again.
///
/// Do not use it where a lock or a version on each page is fast enough: it pays when lookups are
/// many and changes few.
///
/// **Sources:** Linux `arch/x86/mm/tlb.c` and `mm/vmalloc.c`; V. Schneider's "context_tracking, mm:
/// Defer some IPIs until a user->kernel transition", patches 13 and 14 of 14, and their review,
/// which found that a deferred flush lets memory be reused too early.
///
/// - Progress: as each member says
/// - Context: any thread
/// - Allocates: at creation
public final class AddressSpace: Sendable {
  /// The coordinator whose CPUs have the caches.
  public let coordinator: Coordinator
  /// What is mapped now.
  public let table: AddressSpace.PageTable
  /// The work type that drops everything: `flush_tlb_all`.
  public let flushAllWork: WorkType
  /// The work type that drops what the log says: `flush_tlb_range`.
  public let flushRangeWork: WorkType

  let core: TranslationCore
  let urgency: WorkType.Urgency
  private let isClosed = Lock(false)

  /// How large an address space is, and how it flushes.
  ///
  ///     let space = try AddressSpace(coordinator, .init(pages: 1 << 20, cacheEntries: 4096))
  public struct Options: Sendable {
    /// The page numbers are below this, and at most 2³⁶.
    public var pages: UInt64
    /// The most bytes that the nodes of the page table may take.
    public var tableMemory: Int
    /// The entries of each CPU's cache, 16 bytes each; rounded up to a power of two.
    public var cacheEntries: Int
    /// How many flushes the log remembers; rounded up to a power of two.
    public var loggedRanges: Int
    /// How many pages a CPU drops one by one before it drops everything.
    public var flushCeiling: Int
    /// How flushes reach a CPU in user: by a bit in its work word, or by the comparison that its
    /// next entry makes, which is written to nobody and takes every CPU along. They carry no
    /// payload.
    public var delivery: WorkType.Delivery
    /// The longest that a flush may stay pending; see `WorkType.Options.maximumAge`.
    public var maximumAge: Duration?
    /// How soon flushes have to run. With `.immediate` each interrupts every CPU: an address space
    /// without deferral, to compare with.
    public var urgency: WorkType.Urgency

    /// An address space of so many pages; everything else has a default.
    ///
    /// - Parameters:
    ///   - pages: how many page numbers there are, at most 2³⁶.
    ///   - tableMemory: the most bytes that the page table may take; beyond them `map` throws.
    ///   - cacheEntries: the entries of each CPU's cache, 16 bytes each; rounded up to a power of two.
    ///   - loggedRanges: how many flushes the log remembers, 1 to 1 048 576. A CPU that lags by more
    ///     drops everything.
    ///   - flushCeiling: how many pages a CPU drops one by one before it drops everything.
    ///   - delivery: how flushes reach a CPU in user; they carry no payload.
    ///   - maximumAge: the longest that a flush may stay pending; nil is for as long as the CPU stays
    ///     away.
    ///   - urgency: how soon flushes have to run; `.immediate` interrupts every CPU.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public init(
      pages: UInt64, tableMemory: Int = 1 << 30, cacheEntries: Int = 1024, loggedRanges: Int = 64,
      flushCeiling: Int = FlushLog.standardCeiling, delivery: WorkType.Delivery = .bit,
      maximumAge: Duration? = nil, urgency: WorkType.Urgency = .deferrable
    ) {
      self.pages = pages
      self.tableMemory = tableMemory
      self.cacheEntries = cacheEntries
      self.loggedRanges = loggedRanges
      self.flushCeiling = flushCeiling
      self.delivery = delivery
      self.maximumAge = maximumAge
      self.urgency = urgency
    }
  }

  /// Makes an empty address space, and registers its two work types with the coordinator.
  ///
  /// - Parameters:
  ///   - coordinator: whose CPUs have the caches.
  ///   - options: how large it is, and how it flushes; a figure outside its limits ends the process
  ///     with a sentence.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Throws: `outOfMemory`; as `Coordinator.register`.
  /// - Progress: blocking
  /// - Context: any thread, outside handlers and kernel sections
  /// - Allocates: yes
  public init(
    _ coordinator: Coordinator, _ options: Options, file: StaticString = #fileID, line: UInt = #line
  ) throws(IsolationError) {
    self.coordinator = coordinator
    urgency = options.urgency
    if options.loggedRanges < 1 || options.loggedRanges > 1 << 20 {
      misuse(
        "a flush log cannot remember \(options.loggedRanges) ranges: it takes 1 to 1048576", file,
        line)
    }
    if options.flushCeiling < 0 {
      misuse("the ceiling of a flush cannot be \(options.flushCeiling) pages", file, line)
    }
    TranslationCacheLayout<UInt64>.requireRoom(forEntries: options.cacheEntries, file, line)
    table = try AddressSpace.PageTable(
      pages: options.pages, memory: options.tableMemory, file: file, line: line)
    let ranges = options.loggedRanges.roundedUpToPowerOfTwo
    let log = try SharedMapping(byteCount: FlushRing.byteCount(ranges: ranges))
    let cpus = coordinator.core.slots.count
    let caches = try SharedMapping(
      byteCount: cpus * CacheTable.stride(entries: options.cacheEntries))
    core = TranslationCore(
      nodes: table.nodes,
      ring: FlushRing(initializing: log.memory.address, ranges: ranges),
      coordinator: coordinator.core,
      caches: CacheTable(
        initializing: caches.memory.address, cpus: cpus, entries: options.cacheEntries),
      ceiling: options.flushCeiling, keeping: [table, log, caches])
    var work = WorkType.Options()
    work.order = .early
    work.isInterruptSafe = true
    work.mayRunOnBehalf = true
    work.maximumAge = options.maximumAge
    if case .merging = options.delivery {
      misuse("a flush has no payload that could be merged", file, line)
    }
    work.delivery = options.delivery
    flushAllWork = try coordinator.register("flush_tlb_all", options: work, keeping: core) {
      context, cpu in
      // Safety: it is kept for as long as this may run.
      unsafe Unmanaged<TranslationCore>.fromOpaque(context.unsafelyUnwrapped)
        ._withUnsafeGuaranteedRef { $0.flushAll(cpu) }
    }
    do throws(IsolationError) {
      flushRangeWork = try coordinator.register("flush_tlb_range", options: work, keeping: core) {
        context, cpu in
        // Safety: as above.
        unsafe Unmanaged<TranslationCore>.fromOpaque(context.unsafelyUnwrapped)
          ._withUnsafeGuaranteedRef { $0.flushRange(cpu) }
      }
    } catch {
      // A CPU that stays in kernel for so long keeps the first type, and its memory.
      _ = try? coordinator.unregister(flushAllWork, timeout: .seconds(1))
      throw error
    }
    for work in [flushAllWork, flushRangeWork] { coordinator.own(work) }
  }

  /// Ends the flushes: when it returns, no handler runs, and the memory goes with the last
  /// reference.
  ///
  /// A CPU that has the translations open, or opens them later, would keep what nobody flushes any
  /// more: that ends the process with a sentence. An address space that is never closed keeps
  /// its memory until the coordinator closes, and its two work types. What is unmapped after this, or
  /// while it goes on, is flushed by nobody: its frames come back when the CPUs' threads have left.
  ///
  /// Unless the answer is `.settled`, nothing has been given back, and the call can be repeated.
  ///
  /// - Parameters:
  ///   - timeout: how long to wait at most; nil waits for ever, and zero looks once.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: `.settled` when that has happened; else why not, and the CPUs that held it up.
  /// - Progress: blocking
  /// - Context: any thread, outside handlers and kernel sections
  /// - Allocates: yes
  @discardableResult
  public func close(
    timeout: Duration? = nil, file: StaticString = #fileID, line: UInt = #line
  ) -> WaitOutcome {
    if isClosed.withLock({ $0 }) { return .settled }
    requireClosedEverywhere(file, line)
    let until = Deadline(after: timeout)
    for work in [flushAllWork, flushRangeWork] {
      // Unregistered already: a call before this one came so far.
      let end = try? coordinator.endRegistration(work, until, file, line).outcome
      if let end, end != .settled { return end }
    }
    // Who opened while this went on, was in a section that the unregistration waited for, or found
    // the type unregistered.
    requireClosedEverywhere(file, line)
    let isFirst = isClosed.withLock { isClosed in
      defer { isClosed = true }
      return !isClosed
    }
    if isFirst {
      for work in [flushAllWork, flushRangeWork] { coordinator.disown(work) }
    }
    return .settled
  }

  private func requireClosedEverywhere(_ file: StaticString, _ line: UInt) {
    for cpu in coordinator.attached where isOpen(on: cpu) {
      misuse("an address space was closed while CPU \(cpu) had its translations open", file, line)
    }
  }

  /// Whether the thread that has a CPU has the translations open.
  private func isOpen(on cpu: Int) -> Bool {
    // Relaxed, both: whoever closes has been told that they are not.
    let openedBy = core.cache(cpu).owner.openedBy.load(ordering: .relaxed)
    let slot = coordinator.core.slots[cpu]
    return openedBy == slot.owner.counterAtAttach.load(ordering: .relaxed)
  }
}
