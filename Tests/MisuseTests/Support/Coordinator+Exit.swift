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
  /// Expects that the process left this sentence, as a line of its own on standard error, and
  /// after it the place of the call, which is in these tests.
  ///
  /// - Parameters:
  ///   - namesCaller: false for what is found where no caller's place is at hand: in what pools,
  ///     probes, lookups and masks do in a few instructions, and at the end of a value.
  ///   - caller: where the call says that it is.
  func expect(
    _ sentence: String, namesCaller: Bool = true, caller: String = "MisuseTests/",
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    // Without a result the failure has been recorded already.
    guard let self else { return }
    let text = String(decoding: self.standardErrorContent, as: UTF8.self)
    let isSaid = text.split(separator: "\n").contains { $0 == "CPUIsolation: " + sentence }
    #expect(isSaid, "\(text)", sourceLocation: sourceLocation)
    let place = text.split(separator: "\n").first { $0.hasSuffix("the call that this is about") }
    #expect(place != nil, "\(text)", sourceLocation: sourceLocation)
    #expect(place?.hasPrefix("CPUIsolation/Misuse.swift") != true, sourceLocation: sourceLocation)
    if namesCaller {
      #expect(place?.hasPrefix(caller) == true, "\(text)", sourceLocation: sourceLocation)
    }
  }
}
