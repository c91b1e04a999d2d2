// SPDX-License-Identifier: Apache-2.0

public import Synchronization

extension AddressSpace {
  /// An address space as one CPU sees it: lookups through the CPU's own cache.
  ///
  ///     let translations = space.open(on: cpu)
  ///     cpu.inKernel {
  ///       if let frame = translations.lookUp(page, on: cpu) { use(frame) }
  ///     }
  ///
  /// A lookup takes the `LocalCPU` as proof that it is made by the CPU's thread, outside handlers: a
  /// handler cannot have one. So what runs in early entry, before the flushes have, cannot look up
  /// what they are about, and the compiler says so. Code that has nothing but a CPU's number uses
  /// `AddressSpace.lookUp(_:asCPU:)`, which checks.
  ///
  /// What a lookup answers holds until the CPU's next safe point, exit or quiescent state.
  ///
  /// - Progress: as each member says
  /// - Context: owner
  /// - Allocates: never
  @frozen @safe
  public struct LocalTranslations: ~Copyable {
    @usableFromInline let cache: TranslationCache<UInt64, UInt64>
    @usableFromInline let slot: CPUSlot
    @usableFromInline let attachment: UInt64
    @usableFromInline let space: Unmanaged<AddressSpace>

    init(_ space: AddressSpace, _ slot: CPUSlot) {
      cache = space.core.cache(OwnerTransitions.number(slot))
      self.slot = slot
      attachment = slot.owner.counterAtAttach.load(ordering: .relaxed)
      // Safety: one reference, which `deinit` gives back.
      unsafe self.space = unsafe Unmanaged.passRetained(space)
    }

    deinit {
      Self.end(cache, slot, attachment)
      // Safety: the reference of `init`.
      unsafe space.release()
    }

    /// Lets the cache go, unless the thread has detached before: then it is the next one's.
    @usableFromInline
    static func end(
      _ cache: borrowing TranslationCache<UInt64, UInt64>, _ slot: CPUSlot, _ attachment: UInt64
    ) {
      guard CurrentThread.isThread(of: slot),
        cache.owner.openedBy.load(ordering: .relaxed) == attachment
      else { return }
      cache.beginLazy()
      cache.owner.openedBy.store(.max, ordering: .relaxed)
    }

    /// The frame that a page is mapped to; nil if it is not mapped. A miss reads the table.
    ///
    /// - Parameters:
    ///   - page: the number of a page; one outside the table ends the process with a sentence.
    ///   - cpu: the CPU that the translations were opened on.
    /// - Returns: the frame; it holds until the CPU's next safe point or exit.
    /// - Progress: wait-free
    /// - Context: owner, in kernel, outside handlers
    /// - Allocates: never
    @inlinable @inline(__always)
    public func lookUp(_ page: UInt64, on cpu: borrowing LocalCPU) -> UInt64? {
      // What a former attachment cached was flushed with nobody there.
      let isOther =
        slot.owner.counterAtAttach.load(ordering: .relaxed) ^ attachment
      if cpu.slot != slot || ContextTracker(slot).ownContext | isOther != 0 {
        Self.refuse(slot, attachment, cpu.slot)
      }
      if let frame = cache.lookUp(page) { return frame }
      // Safety: the reference of `init`.
      return unsafe Self.fill(space, cache.base, page)
    }

    // Static, and with trivial arguments: a method would have the caller keep this value in memory.
    @usableFromInline @inline(never)
    static func refuse(_ slot: CPUSlot, _ attachment: UInt64, _ other: CPUSlot) -> Never {
      let number = OwnerTransitions.number(slot)
      if other != slot {
        misuse(
          "the translations of CPU \(number) were used by CPU \(OwnerTransitions.number(other))")
      }
      if slot.owner.counterAtAttach.load(ordering: .relaxed) != attachment {
        misuse("the translations of CPU \(number) were used after its thread had detached")
      }
      let context = ContextWord(rawValue: ContextTracker(slot).ownContext).context
      let place = context?.description ?? "no context"
      misuse("CPU \(number) looked up a page in \(place), where what it finds may be freed")
    }

    /// Reads the table, and remembers what it says.
    ///
    /// The load may come before a change whose flush comes after our insertion: the flush waits in K
    /// for this thread, and drops the entry at the next safe point. A flush that this thread has
    /// served already was of a change that the load sees, by flush:L.
    @usableFromInline @inline(never)
    static func fill(
      _ space: Unmanaged<AddressSpace>, _ memory: Address, _ page: UInt64
    ) -> UInt64? {
      // Safety: the caller holds a reference; the cache is its CPU's.
      unsafe space._withUnsafeGuaranteedRef { space in
        guard let (frame, _) = space.core.nodes.frame(of: page) else { return nil }
        TranslationCache<UInt64, UInt64>(viewing: memory).insert(frame, for: page)
        return frame
      }
    }

    /// Runs `body` while this CPU uses nothing of its cache: changes are not sent to it, and it
    /// compares generations when the body has returned.
    ///
    ///     translations.whileLazy(on: cpu) { cpu.idle() }
    ///
    /// For long stretches of kernel time without a lookup; user needs none of it, there nothing is
    /// sent that disturbs. What is freed is sent all the same.
    ///
    /// - Parameters:
    ///   - cpu: the CPU that the translations were opened on.
    ///   - body: runs once; it looks nothing up.
    /// - Returns: what `body` returned.
    /// - Throws: what `body` throws.
    /// - Progress: as `body`; then wait-free
    /// - Context: owner, in kernel, outside handlers
    /// - Allocates: never
    public mutating func whileLazy<Result: ~Copyable, Failure: Error>(
      on cpu: borrowing LocalCPU, _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
      requireSame(cpu.slot)
      cache.beginLazy()
      defer { endLazy() }
      return try body()
    }

    private func requireSame(_ other: CPUSlot) {
      let attached = slot.owner.counterAtAttach.load(ordering: .relaxed)
      if other != slot || attached != attachment { Self.refuse(slot, attachment, other) }
    }

    private func endLazy() {
      if ContextTracker(slot).ownContext != UInt64(CPUContext.kernel.rawValue) {
        Self.refuse(slot, attachment, slot)
      }
      // Safety: the caller holds a reference; the cache is its CPU's.
      unsafe space._withUnsafeGuaranteedRef { space in
        _ = cache.endLazy(space.core.ring, ceiling: space.core.ceiling)
      }
    }
  }
}

// What is one CPU's stays with its thread.
@available(*, unavailable)
extension AddressSpace.LocalTranslations: Sendable {}

extension AddressSpace {
  /// Gives a CPU its view: with an empty cache, that has caught up.
  ///
  /// Once an attachment: a CPU that has the translations open already ends the process with a
  /// sentence, and so does one that comes when the address space has been closed.
  ///
  /// - Parameters:
  ///   - cpu: the calling thread's CPU, in kernel, of the address space's coordinator.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: the view, for lookups on this CPU alone.
  /// - Progress: wait-free
  /// - Context: owner, in kernel
  /// - Allocates: never
  public func open(
    on cpu: borrowing LocalCPU, file: StaticString = #fileID, line: UInt = #line
  ) -> AddressSpace.LocalTranslations {
    let slot = cpu.slot
    let number = OwnerTransitions.number(slot)
    if cpu.path.core != coordinator.core {
      misuse("CPU \(number) opened the translations of another coordinator", file, line)
    }
    if ContextTracker(slot).ownContext != UInt64(CPUContext.kernel.rawValue) {
      misuse("CPU \(number) can open its translations in kernel alone", file, line)
    }
    let cache = core.cache(number)
    let attachment = slot.owner.counterAtAttach.load(ordering: .relaxed)
    if cache.owner.openedBy.load(ordering: .relaxed) == attachment {
      misuse("CPU \(number) has its translations open already", file, line)
    }
    cache.owner.openedBy.store(attachment, ordering: .relaxed)
    // After that store: this section ends before `close` looks at it, or began after the end of
    // the registration.
    if cpu.path.rejection(of: flushAllWork) == .unregistered {
      misuse(
        "CPU \(number) opened the translations of an address space that was closed", file, line)
    }
    cache.join(core.ring)
    return AddressSpace.LocalTranslations(self, slot)
  }

  /// The frame that a page is mapped to, for code that has no ``LocalCPU``: event loops with a
  /// ``CPUHandle``, handlers. Nil: it is not mapped.
  ///
  ///     let frame = space.lookUp(7, asCPU: handle.number)
  ///
  /// It reads the table, not the cache: a few nanoseconds a level. The calling thread has to be the
  /// CPU's own, in kernel. In early entry, which is where handlers run, a page has to be mapped as
  /// never deferred; another one ends the process with a sentence that names the caller, and so
  /// does a handler that runs on behalf of a CPU.
  ///
  /// - Parameters:
  ///   - page: the number of a page; one outside the table ends the process with a sentence.
  ///   - cpu: the number of the calling thread's own CPU.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: the frame; nil if the page is not mapped.
  /// - Progress: wait-free
  /// - Context: owner, in kernel; in handlers for pages that are never deferred
  /// - Allocates: never
  public func lookUp(
    _ page: UInt64, asCPU cpu: Int, file: StaticString = #fileID, line: UInt = #line
  ) -> UInt64? {
    let site = "\(file):\(line)"
    guard let own = coordinator.ownSlot, OwnerTransitions.number(own) == cpu,
      !CurrentThread.isHelping
    else {
      misuse("page \(page) was looked up at \(site) by a thread that is not CPU \(cpu)")
    }
    if ContextTracker(own).ownContext != UInt64(CPUContext.kernel.rawValue) {
      misuse("CPU \(cpu) looked up page \(page) at \(site) outside kernel")
    }
    guard let (frame, word) = core.nodes.frame(of: page) else { return nil }
    let isEarly =
      own.owner.special.load(ordering: .relaxed) & OwnerFlags.draining != 0
    if isEarly && !word.isNeverDeferred {
      misuse(
        "CPU \(cpu) looked up page \(page) at \(site) during early entry, before its flushes have "
          + "run: such a page has to be mapped as never deferred")
    }
    return frame
  }

  /// What a CPU's cache has been through.
  ///
  /// - Parameters:
  ///   - cpu: the number of a CPU of the coordinator; any other ends the process with a sentence.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: the counts since the address space was made.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public func statistics(
    of cpu: Int, file: StaticString = #fileID, line: UInt = #line
  ) -> AddressSpace.Statistics {
    coordinator.requireCPU(cpu, file, line)
    let cache = core.cache(cpu)
    return AddressSpace.Statistics(
      fullFlushes: cache.owner.full.load(ordering: .relaxed),
      partialFlushes: cache.owner.partial.load(ordering: .relaxed),
      coveredFlushes: cache.owner.covered.load(ordering: .relaxed),
      droppedPages: cache.owner.pages.load(ordering: .relaxed),
      fills: cache.owner.fills.load(ordering: .relaxed),
      generation: cache.owner.generation.load(ordering: .relaxed))
  }
}

extension AddressSpace {
  /// What a CPU's cache has been through, since the address space was made.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public struct Statistics: Hashable, Sendable {
    /// Flushes that dropped everything.
    public let fullFlushes: UInt64
    /// Flushes that dropped pages one by one.
    public let partialFlushes: UInt64
    /// Flushes that an earlier one had covered.
    public let coveredFlushes: UInt64
    /// The pages of partial flushes, cached or not.
    public let droppedPages: UInt64
    /// Translations that were put in.
    public let fills: UInt64
    /// The generation of the log that the cache stands at.
    public let generation: UInt64
  }
}
