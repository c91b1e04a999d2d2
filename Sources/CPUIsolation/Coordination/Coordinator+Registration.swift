// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// Numbers registrations: unique in the process, so that a handle of another coordinator is
/// recognised.
private let lastRegistration = SharedWord(0)

extension Coordinator {
  /// Registers a type of deferrable work, run by a closure.
  ///
  ///     let refresh = try coordinator.register("refresh") { cpu in caches[cpu].removeAll() }
  ///
  /// The handler must not block, wait, or throw, and has to tolerate a run that nobody sent (a late
  /// bit for a slot that changed hands). What the closure captures is kept until the type is unregistered
  /// or the coordinator closed. Whoever calls it from a hot path and counts nanoseconds
  /// takes the C function form: a closure costs about 6 ns more per run, for two reference counts.
  ///
  /// - Parameters:
  ///   - name: what traces, statistics and messages call it; not empty.
  ///   - options: what the type promises and asks for; by default a bit that runs on the CPU's own
  ///     thread.
  ///   - handler: gets the number of the CPU whose work it is. It runs on that CPU's thread, or on
  ///     another where the type may run on behalf.
  /// - Returns: the type, for sends and for `unregister`.
  /// - Throws: `invalidConfiguration` for an empty name; `tooManyWorkTypes` beyond
  ///   `WorkType.capacity`; `unreachableMaximumAge` for a
  ///   type with a maximum age that nothing could enforce; `watchdogRequired` for a maximum age
  ///   without watchdog; `closed`.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  public func register(
    _ name: String, options: WorkType.Options = .init(),
    _ handler: @escaping @Sendable (Int) -> Void
  ) throws(IsolationError) -> WorkType {
    let box = HandlerBox(handler)
    // Safety: the box is kept for as long as the type is registered.
    let handler = unsafe CPUHandler(
      {
        unsafe Unmanaged<HandlerBox>.fromOpaque($0.unsafelyUnwrapped).takeUnretainedValue().run($1)
      },
      Unmanaged.passUnretained(box).toOpaque())
    return try register(name, options: options, box: box, WorkHandler(handler))
  }

  /// Registers a type of deferrable work whose handler is told more than the CPU: what senders have
  /// merged, or, of a catch-up type, by how many generations the CPU lags.
  ///
  ///     options.delivery = .merging(.union)
  ///     let refresh = try coordinator.register("refresh", options: options) { cpu, payload in
  ///       caches[cpu].removeAll(inShards: payload.rawValue)
  ///     }
  ///
  /// It is not called when there is nothing to tell. For a type whose delivery is a bit the payload
  /// is `everything`.
  ///
  /// - Parameters:
  ///   - name: what traces, statistics and messages call it; not empty.
  ///   - options: what the type promises and asks for; the delivery says what the payload is.
  ///   - handler: gets the number of the CPU, and the payload or the number of generations.
  /// - Returns: the type, for sends and for `unregister`.
  /// - Throws: as the form above.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  public func register(
    _ name: String, options: WorkType.Options = .init(),
    _ handler: @escaping @Sendable (Int, WorkType.Payload) -> Void
  ) throws(IsolationError) -> WorkType {
    if options.delivery == .bit {
      return try register(name, options: options) { handler($0, .everything) }
    }
    let box = PayloadHandlerBox(handler)
    // Safety: as above.
    let told = unsafe WorkHandler(
      {
        unsafe Unmanaged<PayloadHandlerBox>.fromOpaque($0.unsafelyUnwrapped).takeUnretainedValue()
          .run($1, WorkType.Payload(rawValue: $2))
      }, Unmanaged.passUnretained(box).toOpaque())
    return try register(name, options: options, box: box, told)
  }

  /// Registers a type of deferrable work, run by a C function with a context: no allocation and no
  /// reference count per run.
  ///
  ///     let work = try coordinator.register("count", context: counters) { counters, cpu in
  ///       counters!.assumingMemoryBound(to: Int.self)[cpu] += 1
  ///     }
  ///
  /// The context has to live until the type has been unregistered or the coordinator ends.
  ///
  /// - Parameters:
  ///   - name: what traces, statistics and messages call it; not empty.
  ///   - options: what the type promises and asks for.
  ///   - context: handed on to the function.
  ///   - function: a C function; it gets the context and the number of the CPU.
  /// - Returns: the type, for sends and for `unregister`.
  /// - Throws: as the closure form.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  public func register(
    _ name: String, options: WorkType.Options = .init(), context: UnsafeMutableRawPointer?,
    function: CPUFunction
  ) throws(IsolationError) -> WorkType {
    // Safety: the caller's to see to.
    let handler = unsafe WorkHandler(CPUHandler(function, context))
    return try register(name, options: options, box: nil, handler)
  }

  /// Registers a type of deferrable work, run by a C function that is told more than the CPU: as
  /// the closure form with a payload, which it gets as 64 bits.
  ///
  ///     let flush = try coordinator.register(
  ///       "flush_tlb_range", options: options, context: caches, payloadFunction: flushRange)
  ///
  /// For a type whose delivery is a bit it ends the process with a sentence: such a type has nothing
  /// to tell.
  ///
  /// - Parameters:
  ///   - name: what traces, statistics and messages call it; not empty.
  ///   - options: what the type promises and asks for; the delivery is not a bit.
  ///   - context: handed on to the function; it lives as in the form above.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  ///   - payloadFunction: a C function; it gets the context, the number of the CPU, and the payload
  ///     or the number of generations.
  /// - Returns: the type, for sends and for `unregister`.
  /// - Throws: as the closure form.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  public func register(
    _ name: String, options: WorkType.Options, context: UnsafeMutableRawPointer?,
    file: StaticString = #fileID, line: UInt = #line,
    payloadFunction: WorkType.PayloadFunction
  ) throws(IsolationError) -> WorkType {
    if options.delivery == .bit {
      misuse("\(name) has nothing to tell its handler: its delivery is a bit", file, line)
    }
    // Safety: the caller's to see to.
    let handler = unsafe WorkHandler(payloadFunction, context)
    return try register(name, options: options, box: nil, handler)
  }

  /// Registers a C function whose context is an object: the coordinator keeps that until the type is
  /// unregistered, or it closes.
  @safe
  func register(
    _ name: String, options: WorkType.Options, keeping object: some AnyObject & Sendable,
    function: CPUFunction
  ) throws(IsolationError) -> WorkType {
    // Safety: the object is kept for as long as the function may run.
    let handler = unsafe CPUHandler(function, Unmanaged.passUnretained(object).toOpaque())
    return try register(name, options: options, box: object, WorkHandler(handler))
  }

  private func register(
    _ name: String, options: WorkType.Options, box: (any Sendable)?,
    _ handler: WorkHandler
  ) throws(IsolationError) -> WorkType {
    if name.isEmpty {
      throw IsolationError(
        .invalidConfiguration, "a work type needs a name: traces and reports know it by that")
    }
    try checkMaximumAge(name, options)
    let registration = lastRegistration.wrappingAdd(1, ordering: .relaxed).newValue
    defer { if options.maximumAge != nil { watchdog?.notice() } }
    return try registry.withLock { state throws(IsolationError) in
      if state.isClosed { throw IsolationError(.closed, "the coordinator is closed") }
      let index: Int
      if state.freshTypes < WorkType.capacity {
        index = state.freshTypes
        state.freshTypes += 1
      } else if !state.retired.isEmpty {
        index = state.retired.removeFirst()
      } else {
        throw IsolationError(
          .tooManyWorkTypes,
          "\(name) would be work type \(WorkType.capacity + 1) of \(WorkType.capacity)")
      }
      state.trace.name(registration, name)
      state.registrations[index] = Registration(
        name: name, options: options, box: box, number: registration)
      let type = UInt64(index)
      core.records[type].handler = handler
      core.records[type].form = WorkForm(options.delivery)
      for cpu in cpus where core.slots[cpu].payloads[index].load(ordering: .relaxed) != 0 {
        core.slots[cpu].payloads[index].store(0, ordering: .relaxed)
      }
      Self.assign(core.line.catchUp, type, options.delivery == .catchUp)
      Self.assign(core.line.early, type, options.order == .early)
      Self.assign(core.line.late, type, options.order == .late)
      Self.assign(core.line.interruptSafe, type, options.isInterruptSafe)
      Self.assign(core.line.onBehalf, type, options.mayRunOnBehalf)
      // Release — register:V. The record before the bit that lets handlers run. Pairs with drain:V.
      core.line.live.bitwiseOr(1 << type, ordering: .acquiringAndReleasing)
      // Release — register:R. Everything before the first send.
      core.records[type].registration.store(registration, ordering: .releasing)
      return WorkType(
        type: type, registration: registration, mergesWithoutWriting: options.expectsManySenders,
        form: WorkForm(options.delivery))
    }
  }

  private static func assign(_ set: borrowing SharedWord, _ type: UInt64, _ isMember: Bool) {
    // Acquire and release — register:S. Before the live bit, under the lock. Pairs with drain:I.
    if isMember {
      set.bitwiseOr(1 << type, ordering: .acquiringAndReleasing)
    } else {
      // Acquire and release — register:S, as above.
      set.bitwiseAnd(~(1 << type), ordering: .acquiringAndReleasing)
    }
  }

  private func checkMaximumAge(_ name: String, _ options: WorkType.Options)
    throws(IsolationError)
  {
    guard let age = options.maximumAge else { return }
    if age <= .zero {
      throw IsolationError(
        .unreachableMaximumAge, "the maximum age of \(name) has to be positive")
    }
    if configuration.watchdog == nil {
      throw IsolationError(.watchdogRequired, "the maximum age of \(name) needs the watchdog")
    }
    let canBeKicked =
      configuration.isolated.isEmpty || configuration.isolatedInterrupter == .poll
      || (configuration.isolatedInterrupter == .signal && options.isInterruptSafe)
    if !canBeKicked && !options.mayRunOnBehalf {
      throw IsolationError(
        .unreachableMaximumAge,
        "\(name) has a maximum age, but may neither run in an interrupt nor on behalf of a CPU")
    }
  }
}
