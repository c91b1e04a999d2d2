// SPDX-License-Identifier: Apache-2.0

// Earlier names: see FormerNames.swift.

@available(*, deprecated, renamed: "AddressSpace.Statistics")
public typealias TranslationStatistics = AddressSpace.Statistics

@available(*, deprecated, renamed: "AddressSpace.PageSize")
public typealias PageSize = AddressSpace.PageSize

@available(*, deprecated, renamed: "AddressSpace.Retirement")
public typealias Retirement = AddressSpace.Retirement

@available(*, deprecated, renamed: "AddressSpace.LazyUnmapper")
public typealias LazyUnmapper = AddressSpace.LazyUnmapper

@available(*, deprecated, renamed: "AddressSpace.LocalTranslations")
public typealias LocalTranslations = AddressSpace.LocalTranslations

@available(*, deprecated, renamed: "AddressSpace.PageTable")
public typealias PageTable = AddressSpace.PageTable
