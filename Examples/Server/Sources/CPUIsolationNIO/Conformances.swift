// SPDX-License-Identifier: Apache-2.0

public import CPUIsolation
public import Logging
public import Metrics
public import ServiceLifecycle

extension IsolatedEventLoops: Service {
  /// Holds the loops until the service group ends, then shuts them down. List it before the services that use
  /// the loops: a group ends them in reverse order.
  public func run() async throws {
    try? await gracefulShutdown()
    try await shutDown(timeout: .seconds(5)).get()
  }
}

extension Coordinator {
  /// Sets a meter for each figure. Call it as often as the metrics are collected.
  public func recordMetrics(in factory: any MetricsFactory = MetricsSystem.factory) {
    for sample in statistics().samples() {
      Meter(label: "cpuisolation.\(sample.name)", dimensions: sample.labels, factory: factory)
        .set(sample.value)
    }
  }
}

extension Coordinator.StallReport {
  /// Logs the report: `configuration.watchdog?.report = { $0.log(to: logger) }`.
  public func log(to logger: Logger) {
    logger.log(
      level: severity.level, "\(self)", metadata: metadata.mapValues { .string($0) })
  }
}

extension Coordinator.StallReport.Severity {
  /// The level of logs that it is.
  public var level: Logger.Level {
    switch self {
    case .notice: .notice
    case .warning: .warning
    case .error: .error
    }
  }
}
