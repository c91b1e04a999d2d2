// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

extension Coordinator {
  /// CPU 0 for housekeeping, 1 and 3 isolated, and no CPU 2, in a process that is about to end.
  static func make(_ interrupter: Interrupter = .poll) throws -> Coordinator {
    var configuration = Configuration(housekeeping: [0], isolated: [1, 3])
    configuration.pinning = .none
    configuration.watchdog = nil
    configuration.isolatedInterrupter = interrupter
    return try Coordinator(configuration)
  }
}

extension ExitTest.Result? {
  /// Expects that the process left this sentence behind, as a line of its own on standard error.
  func expect(_ sentence: String, sourceLocation: SourceLocation = #_sourceLocation) {
    // Without a result the failure has been recorded already.
    guard let self else { return }
    let text = String(decoding: self.standardErrorContent, as: UTF8.self)
    let isSaid = text.split(separator: "\n").contains { $0 == "CPUIsolation: " + sentence }
    #expect(isSaid, "\(text)", sourceLocation: sourceLocation)
  }
}
