// SPDX-License-Identifier: Apache-2.0

/// A command line that makes no sense: exit status 64, as `sysexits.h` has it.
struct UsageError: Error, Equatable {
  static let exitStatus: Int32 = 64
  let message: String

  init(_ message: String) { self.message = message }
}
