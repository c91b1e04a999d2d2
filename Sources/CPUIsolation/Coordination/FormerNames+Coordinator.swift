// SPDX-License-Identifier: Apache-2.0

// Earlier names: see FormerNames.swift.

@available(*, deprecated, renamed: "Coordinator.GracePeriod")
public typealias GracePeriod = Coordinator.GracePeriod

@available(*, deprecated, renamed: "Coordinator.StallReport")
public typealias StallReport = Coordinator.StallReport

extension Coordinator {
  @available(*, deprecated, renamed: "close(timeout:)")
  @discardableResult
  public func close(deadline: Duration?) -> WaitOutcome { close(timeout: deadline) }

  @available(*, deprecated, renamed: "synchronize(timeout:)")
  public func synchronize(deadline: Duration?) throws(IsolationError) {
    try synchronize(timeout: deadline).get("synchronize")
  }

  @available(*, deprecated, renamed: "unregister(_:timeout:)")
  @discardableResult
  public func unregister(_ work: WorkType, deadline: Duration?) throws(IsolationError) -> CPUMask {
    try unregister(work, timeout: deadline)
  }

  @available(*, deprecated, renamed: "call(on:timeout:isInterruptSafe:where:_:)")
  @discardableResult
  public func call(
    on mask: CPUMask, deadline: Duration?, isInterruptSafe: Bool = false,
    where predicate: (Int) -> Bool = { _ in true }, _ body: @Sendable (Int) -> Void
  ) -> Report<CallOutcome> {
    call(
      on: mask, timeout: deadline, isInterruptSafe: isInterruptSafe, where: predicate, body)
  }
}
