// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  internal import CPlatform
  public import CPUIsolation
  internal import ModelEngine

  /// One execution of a `ModelTest`: its bodies, and what has to hold.
  ///
  /// - Progress: as each member says
  /// - Context: the preparation of an execution, and its bodies
  /// - Allocates: yes
  public final class ModelRun {
    private let engine: ModelEngine
    private var bodies: [() -> Void] = []
    private var checks: [() -> Void] = []
    private var hasFailed = false
    private var coordinator: Coordinator? = nil
    private var slots: [Int: (handle: CPUHandle, base: UInt)] = [:]

    init(_ engine: ModelEngine) { self.engine = engine }

    /// Adds a body: what one thread does.
    ///
    /// - Parameter body: Runs once in each execution, as a thread of the model.
    /// - Progress: wait-free
    /// - Context: the preparation
    /// - Allocates: yes
    public func body(_ body: @escaping () -> Void) { bodies.append(body) }

    /// Adds what is looked at after the last body's end.
    ///
    /// - Parameter check: Runs once in each execution, after all bodies have ended; several run in
    ///   order.
    /// - Progress: wait-free
    /// - Context: the preparation
    /// - Allocates: yes
    public func atEnd(_ check: @escaping () -> Void) { checks.append(check) }

    /// Ends the exploration with this sentence if the condition does not hold; in a body it does
    /// not return then.
    ///
    /// - Parameters:
    ///   - condition: What has to hold.
    ///   - sentence: What the outcome says where it does not; evaluated then alone.
    /// - Progress: wait-free
    /// - Context: the bodies, and `atEnd`
    /// - Allocates: never
    public func expect(_ condition: Bool, _ sentence: @autoclosure () -> String) {
      if condition { return }
      hasFailed = true
      engine.fail(sentence())
    }

    // MARK: With a coordinator

    /// Makes a coordinator for this execution, with a CPU for each body that is added by
    /// `body(on:in:_:)`. It has no watchdog, and its CPUs are kicked by polls: a body must not
    /// sleep in the system.
    ///
    /// Its words are words of the model: with it two preemptions are a lot.
    ///
    /// - Parameters:
    ///   - housekeeping: The CPUs that change shared state.
    ///   - isolated: The CPUs that nobody disturbs.
    /// - Returns: The coordinator, which ends with the execution.
    /// - Throws: as `Coordinator.init`.
    /// - Progress: blocking
    /// - Context: the preparation
    /// - Allocates: yes
    public func makeCoordinator(housekeeping: CPUMask, isolated: CPUMask) throws(IsolationError)
      -> Coordinator
    {
      var configuration = Coordinator.Configuration(housekeeping: housekeeping, isolated: isolated)
      configuration.pinning = .none
      configuration.watchdog = nil
      configuration.housekeepingInterrupter = .poll
      let coordinator = try Coordinator(configuration)
      for cpu in coordinator.cpus {
        let handle = try coordinator.attachHandle(to: cpu)
        // The slot belongs to a body, which is no thread yet: this one becomes the next CPU.
        slots[cpu] = (handle, unsafe UInt(bitPattern: cpi_current_cpu()))
        cpi_set_current_cpu(nil, nil)
      }
      engine.privateRanges = coordinator.modelPrivateRanges
      for (address, name) in coordinator.modelNames { engine.names[address] = name }
      self.coordinator = coordinator
      return coordinator
    }

    /// Adds the body that is the thread of a CPU, and begins in that context: kernel or user.
    ///
    /// - Parameters:
    ///   - cpu: A CPU of the execution's coordinator; another one ends the process.
    ///   - context: Where it is at first: kernel or user.
    ///   - body: Gets the CPU's handle; runs once in each execution.
    /// - Progress: wait-free
    /// - Context: the preparation
    /// - Allocates: yes
    public func body(
      on cpu: Int, in context: CPUContext = .kernel, _ body: @escaping (CPUHandle) -> Void
    ) {
      guard let (handle, base) = slots[cpu] else {
        fatalError("there is no CPU \(cpu) in this execution: make its coordinator first")
      }
      if context == .user {
        unsafe cpi_set_current_cpu(UnsafeMutableRawPointer(bitPattern: base), nil)
        handle.enterUser()
        cpi_set_current_cpu(nil, nil)
      }
      bodies.append { [engine] in
        unsafe engine.threadLocal = UnsafeMutableRawPointer(bitPattern: base)
        body(handle)
      }
    }

    // MARK: The end

    /// The bodies, which refer to this execution: it must not refer to them in turn.
    func takeBodies() -> [() -> Void] {
      defer { bodies = [] }
      return bodies
    }

    func runChecks() {
      for check in checks { check() }
      checks = []
      if hasFailed { return }
      // A coordinator stays for as long as a CPU is attached.
      for (handle, base) in slots.values {
        unsafe cpi_set_current_cpu(UnsafeMutableRawPointer(bitPattern: base), nil)
        if handle.context == .user { handle.enterKernel() }
        if handle.context == .kernel { handle.detach() }
        cpi_set_current_cpu(nil, nil)
      }
    }

    /// An execution that failed has left its bodies in the middle of what they did: what they were
    /// in stays as it is.
    func abandon() {
      unsafe _ = Unmanaged.passRetained(self)
    }
  }
#endif
