// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Every interrupt that the kernel sends to some processors, with its sender: as root, where tracefs
/// can be written.
///
///     let ledger = try KernelLedger(processors: [2, 3])  // before the loops start
///     …
///     for entry in try ledger.read().entries { print(entry) }
///     // nginx-worker (thread 812 of 811) interrupted processor 2: flush_tlb_func, from
///     // on_each_cpu_cond_mask+0x20/0x60
///
/// It makes a trace instance of its own beside those of others, which records `ipi_send_cpu`,
/// `ipi_send_cpumask` and `csd_queue_cpu`, filtered by target. Turning these on patches the kernel,
/// and that interrupts every processor up to 60 times: make the ledger before the loops start. Then
/// a sender pays under a microsecond for each interrupt, and the processors themselves nothing.
///
/// The instance is removed by `close()` and when the ledger ends. What a process that crashed has
/// left is removed by the next one that makes a ledger.
///
/// The kernel's numbers of threads and processes are those outside all namespaces. In a PID namespace the
/// ledger finds its own by a mark that it writes into its trace; until that is found,
/// ``Report/process`` and what depends on it are nil.
///
/// - Progress: blocking
/// - Context: any thread
/// - Allocates: yes
/// - Source: the events of `include/trace/events/ipi.h`, `csd.h` and `signal.h` (Linux).
public final class KernelLedger: Sendable {
  /// The processors whose interrupts are recorded.
  public let processors: CPUMask

  private struct State {
    var instance: KernelTraceInstance?
    var parser: TraceParser
  }
  private let state: Lock<State>

  /// Begins to record.
  ///
  /// - Parameters:
  ///   - processors: whose interrupts.
  ///   - signal: a signal that this process sends to its own threads: what `Coordinator` kicks with.
  ///     Its count, and which interrupts were due to it, are told as well.
  ///   - kibibytes: the memory of the ring of each processor. An interrupt takes about 100 bytes
  ///     until it is read.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Throws: ``Refusal`` where tracefs is missing or may not be written, or the kernel has not the
  ///   events.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  public convenience init(
    processors: CPUMask, signal: Int32? = nil, kibibytes: Int = 1024,
    file: StaticString = #fileID, line: UInt = #line
  ) throws(Refusal) {
    if processors.isEmpty { misuse("a kernel ledger needs at least one processor", file, line) }
    if kibibytes < 1 { misuse("a kernel ledger needs memory, not \(kibibytes) KiB", file, line) }
    try self.init(
      processors: processors, signal: signal, kibibytes: kibibytes, files: SystemFiles())
  }

  package init(
    processors: CPUMask, signal: Int32?, kibibytes: Int, files: SystemFiles
  ) throws(Refusal) {
    self.processors = processors
    let instance: KernelTraceInstance
    do {
      instance = try KernelTraceInstance(
        files, processors: processors, signal: signal, kibibytes: kibibytes)
    } catch {
      throw Refusal(
        errno: error.errno, description: "the kernel's trace is not available: \(error)")
    }
    var parser = TraceParser(
      processors: processors,
      process: KernelTraceInstance.isInNamespace(files) ? nil : getpid(), mark: instance.mark)
    Self.find(&parser, in: instance)
    state = Lock(State(instance: instance, parser: parser))
  }

  /// Has the parser find this process by its mark, where its number is not known.
  private static func find(_ parser: inout TraceParser, in instance: KernelTraceInstance) {
    // The kernel learns to which process a thread belongs when it next switches to another.
    for _ in 0..<attempts where parser.process == nil {
      usleep(1000)
      guard (try? instance.write(mark: instance.mark)) != nil, let bytes = try? instance.drain()
      else { return }
      parser.parse(bytes)
    }
  }
  private static let attempts = 20

  deinit { state.withLock { $0.instance?.remove() } }

  /// The folder of the kernel's that records; nil after `close`.
  var folder: String? { state.withLock { $0.instance?.path } }

  /// What has been recorded since the last call; after `close()` nothing.
  ///
  /// - Throws: ``Refusal`` where the kernel no longer gives it.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  public func read() throws(Refusal) -> Report {
    do {
      return try state.withLock { state throws(SystemFiles.Refusal) -> Report in
        guard let instance = state.instance else { return Report() }
        while true {
          let bytes = try instance.drain()
          if bytes.isEmpty { return state.parser.takeReport() }
          state.parser.parse(bytes)
        }
      }
    } catch {
      throw Refusal(errno: error.errno, description: "the kernel's trace has ended: \(error)")
    }
  }

  /// Ends the recording and removes the instance. What was not read is gone.
  ///
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: never
  public func close() {
    state.withLock { state in
      state.instance?.remove()
      state.instance = nil
    }
  }

  /// Why the kernel's trace cannot be had.
  public struct Refusal: Error, Hashable, Sendable, CustomStringConvertible {
    /// The system's error number.
    public let errno: Int32
    /// A sentence with the file.
    public let description: String
  }
}
