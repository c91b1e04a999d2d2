// SPDX-License-Identifier: Apache-2.0

// Earlier names of what stands on the upper floors: see FormerNames.swift.

@available(*, deprecated, renamed: "GracePeriodCallbacks.Function")
public typealias GracePeriodFunction = GracePeriodCallbacks.Function

@available(*, deprecated, renamed: "FlushLog.Extent")
public typealias FlushExtent = FlushLog.Extent

extension GracePeriodCallbacks {
  @available(*, deprecated, renamed: "barrier(timeout:)")
  public func barrier(deadline: Duration?) -> Bool { barrier(timeout: deadline) == .settled }

  @available(*, deprecated, renamed: "close(timeout:)")
  public func close(deadline: Duration?) -> Bool { close(timeout: deadline) == .settled }
}
