// SPDX-License-Identifier: Apache-2.0

extension IsolationError.Code {
  /// The CPU has a thread already.
  public static let cpuTaken = Self("cpuTaken")
  /// The calling thread is attached to a CPU already.
  public static let threadAlreadyAttached = Self("threadAlreadyAttached")
  /// The system refused a thread.
  public static let threadCreationFailed = Self("threadCreationFailed")
  /// The system refused to bind the thread to its processor.
  public static let pinningRefused = Self("pinningRefused")
  /// The system refused the scheduling class, the priority or the timer slack.
  public static let schedulingRefused = Self("schedulingRefused")
  /// The system refused to lock the memory.
  public static let memoryLockRefused = Self("memoryLockRefused")
  /// All work types are in use.
  public static let tooManyWorkTypes = Self("tooManyWorkTypes")
  /// A work type asked for a maximum age, but nothing could make it run in time.
  public static let unreachableMaximumAge = Self("unreachableMaximumAge")
  /// The request needs the watchdog, and the configuration has none.
  public static let watchdogRequired = Self("watchdogRequired")
  /// The work type has been unregistered, or belongs to another coordinator.
  public static let workTypeUnregistered = Self("workTypeUnregistered")
}
