// SPDX-License-Identifier: Apache-2.0

// Names that earlier versions had: programs that use them go on to build, and are told the new ones.

@available(*, deprecated, renamed: "IsolationError")
public typealias CoordinatorError = IsolationError

@available(*, deprecated, renamed: "RawObjectPool.Counts")
public typealias PoolStatistics = RawObjectPool.Counts

@available(*, deprecated, renamed: "HazardDomain.Cohort")
public typealias HazardCohort = HazardDomain.Cohort

@available(*, deprecated, renamed: "HazardDomain.Counts")
public typealias HazardCounts = HazardDomain.Counts

@available(*, deprecated, renamed: "HazardDomain.Obstacle")
public typealias HazardObstacle = HazardDomain.Obstacle

@available(*, deprecated, renamed: "HazardDomain.ReclaimFunction")
public typealias HazardReclaimFunction = HazardDomain.ReclaimFunction

@available(*, deprecated, renamed: "WaitOutcome")
public typealias HazardBarrier = WaitOutcome

@available(*, deprecated, renamed: "CPUMask.ParseError")
public typealias CPUListError = CPUMask.ParseError

@available(*, deprecated, renamed: "TraceFilter.ParseError")
public typealias TraceFilterError = TraceFilter.ParseError

@available(*, deprecated, renamed: "TraceEventFormat.Field")
public typealias TraceField = TraceEventFormat.Field

@available(*, deprecated, message: "write Report<SendOutcome>")
public typealias SendReport = Report<SendOutcome>

@available(*, deprecated, message: "write Report<CallOutcome>")
public typealias CallReport = Report<CallOutcome>

@available(*, deprecated, renamed: "WaitOutcome")
public typealias CloseReport = WaitOutcome

extension WorkSender where Self: ~Copyable {
  @available(*, deprecated, renamed: "send(_:to:payload:urgency:)")
  @discardableResult
  public func send(
    _ work: WorkType, payload: WorkType.Payload, to mask: CPUMask, urgency: Urgency = .deferrable
  ) -> Report<SendOutcome> {
    send(work, to: mask, payload: payload, urgency: urgency)
  }
}

extension Ticket {
  @available(*, deprecated, renamed: "wait(until:timeout:)")
  public func wait(until goal: Goal, deadline: Duration?) -> WaitOutcome {
    wait(until: goal, timeout: deadline)
  }
}

extension HazardDomain {
  @available(*, deprecated, renamed: "barrier(cohort:timeout:)")
  public func barrier(cohort: Cohort? = nil, deadline: Duration?) -> WaitOutcome {
    barrier(cohort: cohort, timeout: deadline)
  }
}

extension CPUMask.ParseError {
  @available(*, deprecated, renamed: "position")
  public var offset: Int { position }
}

extension LocalCPU {
  @available(*, deprecated, renamed: "inUser(_:)")
  @inlinable @inline(__always)
  public func user<Result: ~Copyable, Failure: Error>(
    _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try inUser(body)
  }

  @available(*, deprecated, renamed: "inKernel(_:)")
  @inlinable @inline(__always)
  public func kernel<Result: ~Copyable, Failure: Error>(
    _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try inKernel(body)
  }

  @available(*, deprecated, renamed: "inGuest(_:)")
  @inlinable
  public func guest<Result: ~Copyable, Failure: Error>(
    _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try inGuest(body)
  }

  @available(*, deprecated, renamed: "declareQuiescent()")
  public func quiescent() { declareQuiescent() }
}

extension CPUHandle {
  @available(*, deprecated, renamed: "declareQuiescent()")
  public func quiescent() { declareQuiescent() }
}
