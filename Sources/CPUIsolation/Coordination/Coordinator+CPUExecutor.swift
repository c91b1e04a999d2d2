// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

extension Coordinator {
  /// Runs Swift tasks on CPUs of a coordinator, in kernel: what they look at is as new as at any entry.
  ///
  ///     let executor = try coordinator.makeTaskExecutor(on: [1, 2])
  ///     await withTaskExecutorPreference(executor) { await server.serve() }
  ///     executor.shutDown()
  ///
  /// One queue feeds all its CPUs, first in, first out. Before each job the CPU runs what was deferred, and passes a
  /// grace period, so that neither jobs nor deferred work wait for each other's floods. A CPU without a job sleeps
  /// idle, where calls, immediate work and work that is too old reach it. A job runs in a nested kernel section: it
  /// cannot leave kernel. It must not block its CPU.
  ///
  /// - Progress: as each member says
  /// - Context: any thread
  /// - Allocates: at creation, and as its queue grows
  public final class CPUExecutor: TaskExecutor {
    private let coordinator: Coordinator
    /// Its CPUs.
    public let cpus: CPUMask

    private struct State {
      var jobs = JobQueue<UnownedJob>()
      /// The CPUs that found no job, and sleep or are about to.
      var idle = CPUMask()
      var isEnding = false
      var threads: [CPUThread] = []
    }
    private let state = Lock(State())

    init(_ coordinator: Coordinator, _ cpus: CPUMask) {
      self.coordinator = coordinator
      self.cpus = cpus
    }

    /// Queues a job: what the runtime calls. After `shutDown()` jobs go to the global pool, so that none
    /// is lost.
    ///
    /// - Parameter job: the job.
    /// - Progress: blocking, for the queue's lock
    /// - Context: any thread
    /// - Allocates: as the queue grows
    public func enqueue(_ job: consuming ExecutorJob) {
      let job = UnownedJob(job)
      let (isTaken, sleeper) = state.withLock { state -> (Bool, Int?) in
        if state.isEnding { return (false, nil) }
        state.jobs.append(job)
        let sleeper = state.idle.first
        if let sleeper { state.idle.remove(sleeper) }
        return (true, sleeper)
      }
      if !isTaken { return globalConcurrentExecutor.enqueue(ExecutorJob(job)) }
      if let sleeper { Kick.rouse(coordinator.core.slots[sleeper]) }
    }

    /// Ends its threads, once they have run every job that is queued.
    ///
    /// What its tasks do after that runs on the global pool. The end of the coordinator has the same effect.
    ///
    /// - Parameters:
    ///   - timeout: how long to wait for the threads; nil is for ever.
    ///   - file: the caller's file, for messages.
    ///   - line: the caller's line.
    /// - Returns: `settled` when the threads have ended, else which CPUs still run jobs.
    /// - Progress: blocking
    /// - Context: any thread that is none of its CPUs, outside handlers
    /// - Allocates: yes
    @available(*, noasync, message: "it waits for threads: call it from a thread that may block")
    @discardableResult
    public func shutDown(
      timeout: Duration? = nil, file: StaticString = #fileID, line: UInt = #line
    ) -> WaitOutcome {
      if let own = coordinator.currentCPU, cpus.contains(own) {
        misuse("CPU \(own) cannot shut down its own executor: it would wait for itself", file, line)
      }
      coordinator.requireMayWait("shut down an executor", file, line)
      let threads = end()
      let until = Deadline(after: timeout)
      var stragglers = CPUMask()
      for thread in threads {
        let outcome = thread.waitForEnd(until)
        if outcome == .forked { return .forked }
        if outcome != .settled { stragglers.insert(thread.cpu) }
      }
      return stragglers.isEmpty ? .settled : .timedOut(stragglers)
    }

    /// How many jobs wait for a CPU.
    ///
    /// - Progress: blocking, for the queue's lock
    /// - Context: any thread
    /// - Allocates: never
    public var queuedJobs: Int { state.withLock { $0.jobs.count } }

    // MARK: Its threads

    func start(_ options: CPUThread.Options) throws(IsolationError) {
      do throws(IsolationError) {
        for cpu in cpus {
          let thread = try coordinator.launch(on: cpu, options: options) { [self] in run($0) }
          state.withLock { $0.threads.append(thread) }
        }
      } catch {
        for thread in end() { _ = thread.waitForEnd(Deadline(after: nil)) }
        throw error
      }
    }

    /// Takes no more jobs, and gets the threads up. Jobs that are queued still run.
    private func end() -> [CPUThread] {
      let (threads, sleepers) = state.withLock { state in
        state.isEnding = true
        defer { state.idle = CPUMask() }
        return (state.threads, state.idle)
      }
      for cpu in sleepers { Kick.rouse(coordinator.core.slots[cpu]) }
      return threads
    }

    private enum Step {
      case run(UnownedJob)
      case sleep
      case end
    }

    /// The whole work of one of its threads.
    private func run(_ cpu: borrowing LocalCPU) {
      while true {
        switch next(on: cpu.number) {
        case .run(let job):
          // After the job was taken: what was sent before it was queued runs before it.
          cpu.declareQuiescent()
          // Safety: this executor is there for as long as its threads.
          cpu.inKernel { unsafe job.runSynchronously(on: asUnownedTaskExecutor()) }
        case .sleep: cpu.idle()
        case .end: return
        }
      }
    }

    private func next(on cpu: Int) -> Step {
      let isClosed = coordinator.isClosed
      return state.withLock { state in
        state.idle.remove(cpu)
        if isClosed { state.isEnding = true }
        if let job = state.jobs.popFirst() { return .run(job) }
        if state.isEnding { return .end }
        state.idle.insert(cpu)
        return .sleep
      }
    }
  }

  /// Launches CPUs that run Swift tasks.
  ///
  ///     let executor = try coordinator.makeTaskExecutor(on: coordinator.housekeeping)
  ///     Task(executorPreference: executor) { await accept() }
  ///
  /// - Parameters:
  ///   - cpus: the CPUs, none of which has a thread; at least one.
  ///   - options: how their threads are started.
  ///   - file: the caller's file, for messages.
  ///   - line: the caller's line.
  /// - Returns: the executor, which stays until `shutDown()` or the end of the coordinator.
  /// - Throws: `invalidConfiguration` for no CPU, else as `launch`; then none of the CPUs keeps a thread.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  public func makeTaskExecutor(
    on cpus: CPUMask, options: CPUThread.Options = .init(), file: StaticString = #fileID,
    line: UInt = #line
  ) throws(IsolationError) -> CPUExecutor {
    if cpus.isEmpty {
      throw IsolationError(.invalidConfiguration, "an executor needs at least one CPU")
    }
    for cpu in cpus { requireCPU(cpu, file, line) }
    let executor = CPUExecutor(self, cpus)
    try executor.start(options)
    return executor
  }
}
