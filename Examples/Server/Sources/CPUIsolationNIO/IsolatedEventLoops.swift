// SPDX-License-Identifier: Apache-2.0

public import CPUIsolation
import NIOCore
public import NIOPosix

/// Event loops that are CPUs of a coordinator.
///
///     let loops = try await IsolatedEventLoops(coordinator, on: [1, 2])
///     let bootstrap = ServerBootstrap(group: loops.group)
///     …
///     try await loops.shutDown(timeout: .seconds(5))
///
/// A loop is in kernel from the first look of a tick, `enter()` or a ``LoopLocal``, to the end of the tick. Then it says
/// idle, and sleeps in epoll: deferred work waits for its next look and costs it nothing; calls, immediate work,
/// work that is too old, and `close` wake it by `execute`. That takes a lock: isolated CPUs are to be kicked by `.poll`, the
/// default, and not by signals.
public final class IsolatedEventLoops: Sendable {
  /// The loops, for bootstraps: each bound to one CPU.
  public let group: MultiThreadedEventLoopGroup
  /// What they are CPUs of.
  public let coordinator: Coordinator
  /// Their CPUs, one for each loop.
  public let cpus: CPUMask

  /// Starts as many loops as there are CPUs, and attaches each.
  public init(_ coordinator: Coordinator, on cpus: CPUMask) async throws {
    self.coordinator = coordinator
    self.cpus = cpus
    group = MultiThreadedEventLoopGroup(
      numberOfThreads: cpus.count, metricsDelegate: TickEnd(coordinator: coordinator))
    do {
      for (loop, cpu) in zip(group.makeIterator(), cpus) {
        try await loop.submit { try Self.attach(loop, to: cpu, of: coordinator) }.get()
      }
    } catch {
      try? await detach()
      try? await group.shutdownGracefully()
      throw error
    }
  }

  private static func attach(_ loop: any EventLoop, to cpu: Int, of coordinator: Coordinator) throws
  {
    _ = try coordinator.attachHandle(to: cpu) {
      loop.execute { coordinator.currentHandle?.enterKernelIfNeeded() }
    }
  }

  /// The first look of a tick: what was deferred to this loop has run when it returns. Further ones cost a
  /// few nanoseconds. Outside the loops, and on a loop that has detached, it does nothing.
  public func enter() { coordinator.currentHandle?.enterKernelIfNeeded() }

  /// Detaches the loops, closes the coordinator, and ends the loops, in this order: what is pending runs, and a tick
  /// that comes after that is an ordinary one. Close the channels before.
  ///
  /// - Parameter timeout: how long to wait for other CPUs of the coordinator.
  /// - Returns: what `close` said: whose threads have not left, if any.
  @discardableResult
  public func shutDown(timeout: Duration? = nil) async throws -> WaitOutcome {
    try await detach()
    let coordinator = coordinator
    // It waits for threads: on one of NIO's that may.
    let outcome = try await NIOThreadPool.singleton.runIfActive {
      coordinator.close(timeout: timeout)
    }
    try await group.shutdownGracefully()
    return outcome
  }

  private func detach() async throws {
    let coordinator = coordinator
    for loop in group.makeIterator() {
      try await loop.submit {
        guard let cpu = coordinator.currentHandle else { return }
        cpu.enterKernelIfNeeded()
        cpu.detach()
      }.get()
    }
  }
}

/// Ends each tick: runs what is pending, and says idle.
private struct TickEnd: NIOEventLoopMetricsDelegate {
  let coordinator: Coordinator

  func processedTick(info: NIOEventLoopTickInfo) {
    // A tick without a look leaves the CPU idle, as it was.
    guard let cpu = coordinator.currentHandle, cpu.context != .idle else { return }
    cpu.enterKernelIfNeeded()
    for _ in 0..<8 where cpu.beginIdle() { return }
    // A flood: another tick, after what the sockets have.
    MultiThreadedEventLoopGroup.currentEventLoop?.execute {}
  }
}
