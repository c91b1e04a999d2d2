// SPDX-License-Identifier: Apache-2.0

public import CPUIsolation
internal import CTextPatching

/// Patches machine code while CPUs execute it, and disturbs none that is in user.
///
///     let patcher = try TextPatcher(coordinator: coordinator)
///     let route = try patcher.makeSite("route", original: shortestPath)
///     try patcher.patch(route, to: .call(countThem))
///
/// The kernel's three phases: a breakpoint on the first byte, then the bytes after it, then the
/// first byte. After each, every CPU has to throw away what it has fetched ahead. A CPU in kernel
/// does that at its next safe point, exit or entry, and is waited for. A CPU outside kernel does it
/// when it enters, before anything else: nothing is sent to it, and nobody waits.
///
/// Where the system forbids executable memory the initializer says so, with the reason. A server
/// that must run there takes a flag and a branch instead.
///
/// Not to be used in the program's own text: it patches functions that it has generated. One
/// patcher for a program is enough: it takes one work type.
///
/// After Linux's `text_poke` and V. Schneider's deferral of its IPIs (2023).
///
/// - Progress: blocking to patch
/// - Context: any thread
/// - Allocates: when it is made
public final class TextPatcher: Sendable {
  /// Whose CPUs call the sites.
  public let coordinator: Coordinator
  /// The work type: `sync_core`, the name that the kernel's own has in traces.
  public let work: WorkType
  let urgency: WorkType.Urgency
  let memory: TextMemory
  let state = Lock(State())

  struct State: Sendable {
    /// Whether a thread has the turn: one patches at a time.
    var isTaken = false
    var isClosed = false
    /// What each site is.
    var sites: [SiteState] = []
    /// A patch whose deadline came, for the next one to finish.
    var unfinished: PatchBatch? = nil
  }

  struct SiteState: Sendable {
    let name: String
    var instruction = PatchSite.Instruction.nop
    var code = NativeCode.nop
    /// The arm that the instruction uses, if it uses one.
    var arm = 0
  }

  /// Maps the text of so many sites, and installs the process's handler of SIGTRAP.
  ///
  /// The handler stays for good. It hands on what is not its own to the handler that was there
  /// before. arm64 needs none.
  ///
  /// With an `urgency` of `.immediate` each round interrupts every CPU that calls sites: patching
  /// without deferral, to compare with.
  ///
  /// - Parameters:
  ///   - coordinator: whose CPUs call the sites.
  ///   - capacity: how many sites there can be, 1 to 1 048 576; another number ends the process
  ///     with a sentence.
  ///   - urgency: how the rounds reach CPUs in user: at their next entry, or by an interrupt.
  /// - Throws: `textPatchingRefused` with the reason and the error number; `signalTaken` if somebody
  ///   has put another handler over ours; `tooManyWorkTypes`, `outOfMemory`, `closed`, `forked`.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  public convenience init(
    coordinator: Coordinator, capacity: Int = 256, urgency: WorkType.Urgency = .deferrable
  ) throws(IsolationError) {
    try self.init(
      coordinator: coordinator, capacity: capacity, urgency: urgency, layout: .standard)
  }

  init(
    coordinator: Coordinator, capacity: Int, urgency: WorkType.Urgency = .deferrable,
    layout: SlotLayout
  ) throws(IsolationError) {
    guard capacity > 0, capacity <= 1 << 20 else {
      misuse("a text patcher has 1 to \(1 << 20) sites, not \(capacity)")
    }
    if coordinator.wasForked {
      throw IsolationError(.forked, "the process was forked: its CPUs are not in the child")
    }
    self.coordinator = coordinator
    self.urgency = urgency
    memory = try TextMemory(
      capacity: capacity, cpuCount: (coordinator.cpus.last ?? 0) + 1, layout: layout)
    var options = WorkType.Options()
    options.order = .early
    options.isInterruptSafe = true
    work = try unsafe coordinator.register(
      "sync_core", options: options, context: nil, function: ctp_synchronize_core)
    coordinator.own(work)
  }

  /// Makes a site before a function: until it is patched, calling the one calls the other.
  ///
  ///     let route = try patcher.makeSite("route", original: shortestPath)
  ///
  /// - Parameters:
  ///   - name: what errors and traces call it.
  ///   - original: what it calls until it is patched.
  ///   - timeout: how long to wait at most; nil waits for ever, and zero looks once.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: the site.
  /// - Throws: `tooManyPatchSites`, `timedOut` if a CPU in kernel reached no safe point, `closed`,
  ///   `forked`.
  /// - Progress: blocking, while CPUs that call sites are in kernel
  /// - Context: any thread, outside handlers
  /// - Allocates: yes
  public func makeSite(
    _ name: String, original: PatchFunction, timeout: Duration? = nil,
    file: StaticString = #fileID, line: UInt = #line
  ) throws(IsolationError) -> PatchSite {
    let until = PatchDeadline(timeout)
    try takeTurn("make a patch site", until, file, line)
    defer { giveTurn() }
    let index = state.withLock { $0.sites.count }
    guard index < memory.capacity else {
      throw IsolationError(
        .tooManyPatchSites, "\(name) would be patch site \(index + 1) of \(memory.capacity)")
    }
    memory.make(index, original: PatchSite.Instruction.jump(to: original).target)
    // Nobody has executed the slot, but a processor may have fetched it ahead, empty.
    var report = PatchReport()
    try synchronizeCores("make a patch site", until, &report)
    state.withLock { $0.sites.append(SiteState(name: name)) }
    return PatchSite(name, memory, index: index, of: coordinator)
  }

  /// Ends patching, and gives the work type back. The sites stay what they are, and may be called.
  ///
  ///     patcher.close(timeout: .seconds(1))
  ///
  /// Without it the work type stays registered for as long as the coordinator lives. Unless the
  /// answer is `.settled`, it can be repeated.
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
    let until = PatchDeadline(timeout)
    do throws(IsolationError) {
      try takeTurn("close a text patcher", until, file, line)
      defer { giveTurn() }
      try finishEarlierPatch(until)
      // Unregistering withdraws what is pending outside kernel. A CPU that has entered before that
      // has run it; one that enters later finds that it is not admitted (`text:E` comes before its
      // `entry:W`), and synchronizes when it asks.
      memory.expel()
      state.withLock { $0.isClosed = true }
    } catch {
      if error.code == .forked { return .forked }
      if error.code == .timedOut { return .timedOut(coordinator.othersInKernel) }
      // Closed: the patcher, by an earlier call, or the coordinator.
    }
    // Unregistered already: there is nothing left to give back.
    let end = try? coordinator.endRegistration(
      work, timeout: until.remaining, file: file, line: line)
    if case .timedOut? = end { return end! }
    if case .forked? = end { return end! }
    coordinator.disown(work)
    return .settled
  }
}

extension IsolationError.Code {
  /// The system allows no executable memory, or no breakpoints; the message names what forbids it.
  public static let textPatchingRefused = Self("textPatchingRefused")
  /// All patch sites are in use.
  public static let tooManyPatchSites = Self("tooManyPatchSites")
}
