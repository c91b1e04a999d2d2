// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

extension Coordinator {
  /// Runs the jobs of actors on one CPU of a coordinator, in kernel, one after the other.
  ///
  ///     actor Routes {
  ///       nonisolated let executor: Coordinator.CPUSerialExecutor
  ///       nonisolated var unownedExecutor: UnownedSerialExecutor {
  ///         unsafe executor.asUnownedSerialExecutor()
  ///       }
  ///       …
  ///     }
  ///     let routes = Routes(executor: try coordinator.makeSerialExecutor(on: 1))
  ///
  /// Before each job the CPU runs what was deferred, and passes a grace period: what an actor sees is as new as at any
  /// entry. Without a job the CPU sleeps idle, where calls, immediate work and work that is too old reach it. Several
  /// actors may share an executor, and exclude each other then. A job must not block its CPU.
  ///
  /// No job is lost, and no two run at once, at the end either. After `shutDown()`, or the end of the coordinator, what is
  /// queued runs on the CPU. What comes after its thread's last look at the queue runs in a task on the global pool, one
  /// job after the other: the task begins when that look is over, and there is one at any time.
  ///
  /// - Progress: as each member says
  /// - Context: any thread
  /// - Allocates: at creation, and as its queue grows
  public final class CPUSerialExecutor: SerialExecutor {
    private let coordinator: Coordinator
    /// Its CPU.
    public let cpu: Int

    private struct State {
      var jobs = JobQueue<UnownedJob>()
      /// The CPU found no job, and sleeps or is about to.
      var isIdle = false
      var isEnding = false
      /// Who runs jobs: its thread until that has ended, then a task as long as there is one, or none.
      var runner = Runner.thread
      var thread: CPUThread? = nil
    }
    private enum Runner { case thread, task, none }
    private let state = Lock(State())

    init(_ coordinator: Coordinator, _ cpu: Int) {
      self.coordinator = coordinator
      self.cpu = cpu
    }

    /// Queues a job: what the runtime calls.
    ///
    /// - Parameter job: the job.
    /// - Progress: blocking, for the queue's lock
    /// - Context: any thread
    /// - Allocates: as the queue grows
    public func enqueue(_ job: consuming ExecutorJob) {
      let job = UnownedJob(job)
      let (sleeps, isLate) = state.withLock { state -> (Bool, Bool) in
        state.jobs.append(job)
        if state.runner == .none {
          state.runner = .task
          return (false, true)
        }
        defer { state.isIdle = false }
        return (state.isIdle, false)
      }
      if sleeps { Kick.rouse(coordinator.core.slots[cpu]) }
      if isLate { Task.detached { [self] in runLateJobs() } }
    }

    /// Ends its thread, once it has run every job that is queued.
    ///
    /// What its actors do after that runs on the global pool, one job at a time.
    ///
    /// - Parameters:
    ///   - timeout: how long to wait for the thread; nil is for ever.
    ///   - file: the caller's file, for messages.
    ///   - line: the caller's line.
    /// - Returns: `settled` when the thread has ended, else that its CPU still runs jobs.
    /// - Progress: blocking
    /// - Context: any thread but its CPU's, outside handlers
    /// - Allocates: yes
    @available(*, noasync, message: "it waits for a thread: call it from a thread that may block")
    @discardableResult
    public func shutDown(
      timeout: Duration? = nil, file: StaticString = #fileID, line: UInt = #line
    ) -> WaitOutcome {
      if coordinator.currentCPU == cpu {
        misuse("CPU \(cpu) cannot shut down its own executor: it would wait for itself", file, line)
      }
      coordinator.requireMayWait("shut down an executor", file, line)
      let (thread, sleeps) = state.withLock { state in
        state.isEnding = true
        defer { state.isIdle = false }
        return (state.thread, state.isIdle)
      }
      if sleeps { Kick.rouse(coordinator.core.slots[cpu]) }
      let outcome = thread?.waitForEnd(Deadline(after: timeout)) ?? .settled
      if outcome == .settled || outcome == .forked { return outcome }
      return .timedOut([cpu])
    }

    /// How many jobs wait.
    ///
    /// - Progress: blocking, for the queue's lock
    /// - Context: any thread
    /// - Allocates: never
    public var queuedJobs: Int { state.withLock { $0.jobs.count } }

    // MARK: Its runners

    func start(_ options: CPUThread.Options) throws(IsolationError) {
      let thread = try coordinator.launch(on: cpu, options: options) { [self] in run($0) }
      state.withLock { $0.thread = thread }
    }

    private enum Step {
      case run(UnownedJob)
      case sleep
      case end
    }

    /// The whole work of its thread.
    private func run(_ cpu: borrowing LocalCPU) {
      while true {
        switch next() {
        case .run(let job):
          // After the job was taken: what was sent before it was queued runs before it.
          cpu.declareQuiescent()
          // Safety: this executor is there for as long as its thread.
          cpu.inKernel { unsafe job.runSynchronously(on: asUnownedSerialExecutor()) }
        case .sleep: cpu.idle()
        case .end: return
        }
      }
    }

    private func next() -> Step {
      let isClosed = coordinator.isClosed
      return state.withLock { state in
        state.isIdle = false
        if let job = state.jobs.popFirst() { return .run(job) }
        if isClosed || state.isEnding {
          // Its last look: whoever queues a job after it finds that here, and no job of this thread's is on.
          state.runner = .none
          return .end
        }
        state.isIdle = true
        return .sleep
      }
    }

    /// Runs what came after the thread's end, on a thread of the pool, until nothing is left.
    private func runLateJobs() {
      while let job = state.withLock({ state -> UnownedJob? in
        if let job = state.jobs.popFirst() { return job }
        // Under the lock that the next job is queued under: the next task begins when this one has done its last.
        state.runner = .none
        return nil
      }) {
        // Safety: the task refers to this executor.
        unsafe job.runSynchronously(on: asUnownedSerialExecutor())
      }
    }
  }

  /// Launches a CPU that runs the jobs of actors.
  ///
  ///     let executor = try coordinator.makeSerialExecutor(on: 1)
  ///
  /// - Parameters:
  ///   - cpu: the CPU, which has no thread.
  ///   - options: how its thread is started.
  ///   - file: the caller's file, for messages.
  ///   - line: the caller's line.
  /// - Returns: the executor, which stays until `shutDown()` or the end of the coordinator.
  /// - Throws: as `launch`.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  public func makeSerialExecutor(
    on cpu: Int, options: CPUThread.Options = .init(), file: StaticString = #fileID,
    line: UInt = #line
  ) throws(IsolationError) -> CPUSerialExecutor {
    requireCPU(cpu, file, line)
    let executor = CPUSerialExecutor(self, cpu)
    try executor.start(options)
    return executor
  }
}
