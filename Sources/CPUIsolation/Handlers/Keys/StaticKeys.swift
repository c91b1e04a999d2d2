// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// The keys and calls of a coordinator: where they are made and changed.
///
///     let keys = try StaticKeys(coordinator)
///     let sampling = try keys.makeKey("sampling")
///     try keys.enable(sampling)
///     try keys.disable(sampling)
///
/// There is room for 512 words: a key takes one, a call two; keys that are never deferred have 512
/// of their own. Nothing is ever given back: keys are part of the program, as in the kernel. Make
/// one of these per coordinator; what CPUs read lives as long as the coordinator.
///
/// A change is made by one thread at a time, and **waits** until every CPU has the new value, or is
/// outside kernel and takes it at its next entry. A CPU that stays in kernel without a safe point
/// holds it up; the watchdog names it. Deferred changes are never waited for by CPUs.
///
/// - Progress: as each member says
/// - Context: any thread
/// - Allocates: at creation
public final class StaticKeys: Sendable {
  let coordinator: Coordinator
  let deferred: PatchSide
  let immediate: PatchSide
  let state = Lock(State())

  /// What is seldom looked at.
  struct State {
    var names: [StaticKey: String] = [:]
    var delayed: [Delayed] = []
  }

  /// A user who leaves a key later.
  struct Delayed {
    var key: StaticKey
    /// In nanoseconds of the coordinator's clock.
    var due: UInt64
  }

  /// Makes room for keys and calls, and registers the work types `static_key` and `static_key_now`:
  /// once for a coordinator, and for as long as it lives.
  ///
  /// - Parameter coordinator: whose CPUs have the copies.
  /// - Throws: `tooManyStaticKeys` the second time; `tooManyWorkTypes`, `outOfMemory`, `closed`.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  public init(_ coordinator: Coordinator) throws(IsolationError) {
    self.coordinator = coordinator
    try coordinator.registry.withLock { state throws(IsolationError) in
      if state.hasStaticKeys {
        throw IsolationError(.tooManyStaticKeys, "the coordinator has its static keys already")
      }
      state.hasStaticKeys = true
    }
    do throws(IsolationError) {
      deferred = try PatchSide(coordinator, "static_key", interrupts: false)
    } catch {
      // Nothing is left of it, so that another try may come: of the second one there would be.
      coordinator.registry.withLock { $0.hasStaticKeys = false }
      throw error
    }
    do throws(IsolationError) {
      immediate = try PatchSide(coordinator, "static_key_now", interrupts: true)
    } catch {
      coordinator.disown(deferred.work)
      _ = try? coordinator.endRegistration(
        deferred.work, timeout: .seconds(1), file: #fileID, line: #line)
      coordinator.registry.withLock { $0.hasStaticKeys = false }
      throw error
    }
  }

  /// The work type of keys and calls that are deferred, for statistics and traces.
  public var work: WorkType { deferred.work }

  // MARK: Making

  /// Makes a key.
  ///
  /// A key that is never deferred interrupts every CPU when it is turned, and waits for all of
  /// them: for the few that handlers have to read. A CPU that has to poll, and does not, is waited
  /// for.
  ///
  /// - Parameters:
  ///   - name: what messages call it.
  ///   - isEnabled: whether it begins with one user.
  ///   - neverDeferred: whether a change interrupts every CPU and waits for it.
  /// - Returns: the key.
  /// - Throws: `tooManyStaticKeys`; for one that begins enabled, as `enable`.
  /// - Progress: blocking
  /// - Context: any thread; for a key that begins enabled, as `enable`
  /// - Allocates: yes
  public func makeKey(
    _ name: String, isEnabled: Bool = false, neverDeferred: Bool = false
  ) throws(IsolationError) -> StaticKey {
    let side = neverDeferred ? immediate : deferred
    let index = try side.take(1, for: name)
    let key = StaticKey(
      distance: side.table.distance(to: index, from: coordinator.core.slots),
      core: coordinator.core, index: index, isNeverDeferred: neverDeferred)
    state.withLock { $0.names[key] = name }
    if isEnabled { try enable(key) }
    return key
  }

  /// Makes a call, of a function or of none.
  ///
  /// - Parameters:
  ///   - name: what messages call it.
  ///   - context: handed on to the function.
  ///   - function: what is called; nil is nothing, and the call returns 0.
  /// - Returns: the call.
  /// - Throws: `tooManyStaticKeys`; with a function, as `update`.
  /// - Progress: blocking
  /// - Context: as `update`
  /// - Allocates: yes
  public func makeCall(
    _ name: String, to context: UnsafeMutableRawPointer? = nil,
    _ function: StaticCall.Function? = nil
  ) throws(IsolationError) -> StaticCall {
    let index = try deferred.take(2, for: name)
    let call = StaticCall(
      distance: deferred.table.distance(to: index, from: coordinator.core.slots),
      core: coordinator.core, index: index)
    // Safety: the caller's to see to.
    _ = try unsafe update(call, to: context, function)
    return call
  }

  // MARK: Looking

  /// Whether the key is on, for a thread that has no ``LocalCPU`` at hand: a CPU's thread reads its
  /// copy, and any other the shared value, which is turned first.
  ///
  /// Inside a handler and in an interrupt this ends the process with a sentence that names the
  /// place, unless the key is never deferred: there the copy may be old.
  ///
  /// - Parameters:
  ///   - key: a key of these keys; one of another coordinator ends the process with a sentence.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: whether it is on.
  /// - Progress: wait-free
  /// - Context: any thread, outside handlers
  /// - Allocates: never
  public func isEnabled(
    _ key: StaticKey, file: StaticString = #fileID, line: UInt = #line
  ) -> Bool {
    let side = side(of: key, CallSite(file, line))
    if let slot = coordinator.ownSlot {
      if !key.isNeverDeferred { PatchDiagnosis.requireCaughtUp(slot, "a static key", file, line) }
      return key.value(on: slot) != 0
    }
    // Whoever was told that the key was turned has it from key:I or from its own call.
    return side.table.master(key.index) != 0
  }

  /// Whether the key is on for a CPU, as anybody sees it: it may have changed when the caller looks
  /// at the answer.
  ///
  /// On the CPU's own thread, and for whoever works on its behalf, it is diagnosed as the form
  /// without a number is.
  ///
  /// - Parameters:
  ///   - key: a key of these keys; one of another coordinator ends the process with a sentence.
  ///   - cpu: the number of a CPU of the coordinator; any other ends the process with a sentence.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: what that CPU's last drain found.
  /// - Progress: wait-free
  /// - Context: any thread, outside handlers
  /// - Allocates: never
  public func isEnabled(
    _ key: StaticKey, on cpu: Int, file: StaticString = #fileID, line: UInt = #line
  ) -> Bool {
    _ = side(of: key, CallSite(file, line))
    coordinator.requireCPU(cpu, file, line)
    let slot = coordinator.core.slots[cpu]
    if !key.isNeverDeferred {
      if CurrentThread.isThread(of: slot) {
        PatchDiagnosis.requireCaughtUp(slot, "a static key", file, line)
      } else if CurrentThread.isHelping {
        PatchDiagnosis.early(slot, "a static key", OwnerFlags.draining, file, line)
      }
    }
    return key.value(on: slot) != 0
  }

  /// How many users a key has: 1 while the first one's `enable` is still waiting for CPUs.
  ///
  /// - Parameter key: a key of these keys; one of another coordinator ends the process with a
  ///   sentence.
  /// - Returns: the number of users; 0 if it is off.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public func count(of key: StaticKey) -> Int {
    // Relaxed — a hint.
    let count = side(of: key).table.count(key.index).value.load(ordering: .relaxed)
    return count == KeyTable.enabling ? 1 : Int(truncatingIfNeeded: count)
  }

  /// The name that the key was made with.
  ///
  /// - Parameter key: a key of these keys; one of another coordinator ends the process with a
  ///   sentence.
  /// - Returns: the name.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: never
  public func name(of key: StaticKey) -> String {
    _ = side(of: key)
    return state.withLock { $0.names[key] } ?? "key \(key.index)"
  }

  func side(of key: StaticKey, _ site: CallSite = CallSite(#fileID, #line)) -> PatchSide {
    let side = key.isNeverDeferred ? immediate : deferred
    // The memory of the table tells coordinators and registries apart.
    if key.distance
      != side.table.distance(to: key.index, from: coordinator.core.slots)
      || key.core != coordinator.core
    {
      misuse("a static key was used that belongs to other keys", site.file, site.line)
    }
    return side
  }
}

/// One table, and the work type that makes CPUs look at it.
final class PatchSide: Sendable {
  let table: KeyTable
  let work: WorkType
  let interrupts: Bool
  private let memory: MappedMemory
  private let used = Lock(0)

  init(_ coordinator: Coordinator, _ name: String, interrupts: Bool) throws(IsolationError) {
    memory = try MappedMemory(byteCount: KeyTable.byteCount)
    table = KeyTable(
      initializing: memory.address, part: interrupts ? 1 : 0, of: coordinator.core.slots)
    self.interrupts = interrupts
    var options = WorkType.Options()
    options.order = .early
    // A deferred key must not change in the middle of a user section, where a signal may come.
    options.isInterruptSafe = interrupts
    // Safety: the coordinator keeps the side, and the table with it.
    work = try unsafe coordinator.register(
      name, options: options, context: table.base.pointer, function: KeyTable.handler)
    coordinator.own(work)
    coordinator.runAtAttach(work, keeping: self)
  }

  /// Takes words in one group.
  func take(_ words: Int, for name: String) throws(IsolationError) -> Int {
    try used.withLock { used throws(IsolationError) in
      let index = (used + words - 1) / words * words
      if index + words > Limits.keyWords {
        throw IsolationError(
          .tooManyStaticKeys, "\(name) would need word \(index + words) of \(Limits.keyWords)")
      }
      used = index + words
      let groups = (used + KeyTable.wordsPerGroup - 1) / KeyTable.wordsPerGroup
      // Relaxed: before every send that brings a CPU to look at it.
      table.usedGroups.value.store(UInt64(groups), ordering: .relaxed)
      return index
    }
  }
}

extension IsolationError.Code {
  /// All words of keys and calls are in use.
  public static let tooManyStaticKeys = Self("tooManyStaticKeys")
}
