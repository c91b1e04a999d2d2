// SPDX-License-Identifier: Apache-2.0

// Names that earlier versions had: programs that use them go on to build, and are told the new ones.

@available(*, deprecated, renamed: "WorkType")
public typealias DeferredWork = WorkType

@available(*, deprecated, renamed: "IsolationError")
public typealias CoordinatorError = IsolationError

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
