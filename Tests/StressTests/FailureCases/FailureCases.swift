// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

extension StressTests {
  /// What a server meets sooner or later, one test each, named after what goes wrong.
  @Suite(.serialized, .tags(.failureCase)) struct FailureCases {}
}

extension Coordinator {
  /// A coordinator that reports stalls nowhere, on whatever processors there are.
  static func quiet(
    housekeeping: CPUMask = [], isolated: CPUMask = [],
    _ adjust: (inout Configuration) -> Void = { _ in }
  ) throws -> Coordinator {
    var configuration = Configuration(housekeeping: housekeeping, isolated: isolated)
    configuration.pinning = .none
    configuration.watchdog?.report = { _ in }
    adjust(&configuration)
    return try Coordinator(configuration)
  }
}
