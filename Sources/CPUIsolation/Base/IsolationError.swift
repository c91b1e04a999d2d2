// SPDX-License-Identifier: Apache-2.0

/// What the environment, not the program, refused.
///
///     do {
///       try coordinator.launch(on: 3) { cpu in … }
///     } catch let error where error.code == .threadCreationFailed {
///       print(error)  // cannot start the thread of CPU 3: EAGAIN (11)
///     }
///
/// Programmer errors are not thrown: they end the process with a sentence. Expected outcomes are
/// not thrown either: they are enums and reports.
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: the message
public struct IsolationError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The kind of refusal. New kinds may be added: a `switch` over them needs a default.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    private enum Kind: String, Sendable {
      case invalidConfiguration, outOfMemory, cpuTaken, threadAlreadyAttached
      case threadCreationFailed, pinningRefused, schedulingRefused, memoryLockRefused
      case signalTaken, signalRefused, tooManyWorkTypes, unreachableMaximumAge, watchdogRequired
      case tooManyTraceEvents, tooManyStaticKeys
      case workTypeUnregistered, tooManySenders, timedOut, closed, forked
      case textPatchingRefused, tooManyPatchSites
      case fenceRefused
    }
    private let kind: Kind

    private init(_ kind: Kind) { self.kind = kind }

    /// The configuration contradicts itself; the message names the entry.
    public static let invalidConfiguration = Code(.invalidConfiguration)
    /// Memory could not be mapped.
    public static let outOfMemory = Code(.outOfMemory)
    /// The CPU has a thread already.
    public static let cpuTaken = Code(.cpuTaken)
    /// The calling thread is attached to a CPU already.
    public static let threadAlreadyAttached = Code(.threadAlreadyAttached)
    /// The system refused a thread.
    public static let threadCreationFailed = Code(.threadCreationFailed)
    /// The system refused to bind the thread to its processor.
    public static let pinningRefused = Code(.pinningRefused)
    /// The system refused the scheduling class, the priority or the timer slack.
    public static let schedulingRefused = Code(.schedulingRefused)
    /// The system refused to lock the memory.
    public static let memoryLockRefused = Code(.memoryLockRefused)
    /// The interrupt signal has a handler that is not the library's.
    public static let signalTaken = Code(.signalTaken)
    /// The system refused to install the handler, or the number cannot be caught.
    public static let signalRefused = Code(.signalRefused)
    /// All work types are in use.
    public static let tooManyWorkTypes = Code(.tooManyWorkTypes)
    /// All trace events are in use.
    public static let tooManyTraceEvents = Code(.tooManyTraceEvents)
    /// All words of keys and calls are in use.
    public static let tooManyStaticKeys = Code(.tooManyStaticKeys)
    /// A work type asked for a maximum age, but nothing could make it run in time.
    public static let unreachableMaximumAge = Code(.unreachableMaximumAge)
    /// The request needs the watchdog, and the configuration has none.
    public static let watchdogRequired = Code(.watchdogRequired)
    /// The work type has been unregistered, or belongs to another coordinator.
    public static let workTypeUnregistered = Code(.workTypeUnregistered)
    /// All sender slots are in use.
    public static let tooManySenders = Code(.tooManySenders)
    /// The deadline came first.
    public static let timedOut = Code(.timedOut)
    /// The coordinator is closed.
    public static let closed = Code(.closed)
    /// The process was forked since: the other threads do not exist in this child.
    public static let forked = Code(.forked)
    /// The system allows no executable memory, or no breakpoints; the message names what forbids it.
    public static let textPatchingRefused = Code(.textPatchingRefused)
    /// All patch sites are in use.
    public static let tooManyPatchSites = Code(.tooManyPatchSites)

    /// The system does not offer the fence, or it would disturb isolated CPUs.
    public static let fenceRefused = Code(.fenceRefused)

    public var description: String { kind.rawValue }
  }

  /// The kind of refusal.
  public let code: Code

  /// The system's error number, or 0 where no system call was involved.
  public let errno: Int32

  private let message: String

  package init(_ code: Code, errno: Int32 = 0, _ message: String) {
    self.code = code
    self.errno = errno
    self.message = message
  }

  /// The sentence, with the error number where there is one.
  public var description: String { errno == 0 ? message : "\(message) (errno \(errno))" }
}
