// SPDX-License-Identifier: Apache-2.0

// Earlier names of what stands on this floor: see FormerNames.swift.

@available(*, deprecated, renamed: "Tracer.Snapshot")
public typealias TraceSnapshot = Tracer.Snapshot

@available(*, deprecated, renamed: "NoiseMeter.Report")
public typealias NoiseReport = NoiseMeter.Report

@available(*, deprecated, renamed: "Coordinator.Statistics")
public typealias Statistics = Coordinator.Statistics

@available(*, deprecated, renamed: "Coordinator.Statistics.AgeHistogram")
public typealias AgeHistogram = Coordinator.Statistics.AgeHistogram
