// SPDX-License-Identifier: Apache-2.0

// Earlier names of what stands on the upper floors: see FormerNames.swift.

@available(*, deprecated, renamed: "GracePeriodCallbacks.Function")
public typealias GracePeriodFunction = GracePeriodCallbacks.Function

@available(*, deprecated, renamed: "AddressSpace.Statistics")
public typealias TranslationStatistics = AddressSpace.Statistics

@available(*, deprecated, renamed: "FlushLog.Extent")
public typealias FlushExtent = FlushLog.Extent

@available(*, deprecated, renamed: "AddressSpace.PageSize")
public typealias PageSize = AddressSpace.PageSize

extension GracePeriodCallbacks {
  @available(*, deprecated, renamed: "barrier(timeout:)")
  public func barrier(deadline: Duration?) -> Bool { barrier(timeout: deadline) == .settled }

  @available(*, deprecated, renamed: "close(timeout:)")
  public func close(deadline: Duration?) -> Bool { close(timeout: deadline) == .settled }
}

@available(*, deprecated, renamed: "AddressSpace.Retirement")
public typealias Retirement = AddressSpace.Retirement

@available(*, deprecated, renamed: "AddressSpace.LazyUnmapper")
public typealias LazyUnmapper = AddressSpace.LazyUnmapper

@available(*, deprecated, renamed: "AddressSpace.LocalTranslations")
public typealias LocalTranslations = AddressSpace.LocalTranslations

@available(*, deprecated, renamed: "AddressSpace.PageTable")
public typealias PageTable = AddressSpace.PageTable
