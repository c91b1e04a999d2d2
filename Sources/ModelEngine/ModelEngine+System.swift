// SPDX-License-Identifier: Apache-2.0

/// What the library asks of the system, on fibers.
extension ModelEngine {
  /// The thread-local word of the running body.
  public var threadLocal: UnsafeMutableRawPointer? {
    get { unsafe fibers[running].threadLocal }
    set { unsafe fibers[running].threadLocal = newValue }
  }

  /// Whether the running body runs a handler on behalf of another CPU.
  public var isHelping: Bool {
    get { fibers[running].isHelping }
    set { fibers[running].isHelping = newValue }
  }

  /// The number of the running body, as its thread id: 1 and up.
  public var threadID: Int32 { Int32(running + 1) }

  /// One round of a waiting loop.
  public func wait() { yieldUntilProgress() }

  /// Sleeps while the word is `expected`; false if the deadline ended it.
  ///
  /// A signal ends a sleep with a deadline, and lets any other go on after its handler, as the system
  /// does where the handler was installed with SA_RESTART.
  public func futexWait(_ address: UInt, expected: UInt32, hasDeadline: Bool) -> Bool {
    let fiber = fibers[running]
    while true {
      if flush(running) { noteProgress() }
      schedulingPoint()
      if UInt32(truncatingIfNeeded: RawMemory.read(address, 4)) != expected { return true }
      if deliverInterrupt(isBlocking: true) {
        if hasDeadline { return true }
        continue
      }
      trace?.add(running, "sleeps", nil)
      fiber.futex = address
      fiber.hasDeadline = hasDeadline
      fiber.hasTimedOut = false
      fiber.isWoken = false
      switchAway(as: .sleeping)
      if fiber.isWoken || hasDeadline { return !fiber.hasTimedOut }
    }
  }

  public func futexWake(_ address: UInt) {
    for fiber in fibers where fiber.state == .sleeping && fiber.futex == address {
      fiber.state = .ready
      fiber.isWoken = true
      trace?.add(running, "wakes body \(fiber.number)", nil)
      return
    }
  }

  /// Has `handler` run on that body, between two of its steps: a signal.
  public func interrupt(threadID: Int32, _ handler: @escaping () -> Void) {
    let fiber = fibers[Int(threadID) - 1]
    guard fiber.state != .done else { return }
    // What the sender has done is done when the handler runs: the system sees to that.
    let view = memory == .weak ? views.now(running) : []
    if memory == .totalStoreOrder, flush(running) { noteProgress() }
    fiber.interrupts.append { [self] in
      if memory == .weak { views.acquire(fiber.number, view) }
      handler()
    }
    if fiber.state == .waiting || fiber.state == .sleeping { fiber.state = .ready }
  }

  /// Runs a pending interrupt of the running body, now or later as the schedule decides.
  @discardableResult
  func deliverInterrupt(isBlocking: Bool = false) -> Bool {
    let fiber = fibers[running]
    if fiber.interrupts.isEmpty || fiber.isInterrupted { return false }
    if !isBlocking, choices.choose(2) == 1 { return false }
    let handler = fiber.interrupts.removeFirst()
    fiber.isInterrupted = true
    trace?.add(fiber.number, "is interrupted", nil)
    handler()
    fibers[fiber.number].isInterrupted = false
    return true
  }
}
