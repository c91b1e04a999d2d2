// SPDX-License-Identifier: Apache-2.0

// Earlier names: see FormerNames.swift.

@available(*, deprecated, renamed: "WorkType")
public typealias DeferredWork = WorkType

@available(*, deprecated, renamed: "WorkType.PayloadFunction")
public typealias DeferredPayloadFunction = WorkType.PayloadFunction

@available(*, deprecated, renamed: "WorkType.Urgency")
public typealias Urgency = WorkType.Urgency
