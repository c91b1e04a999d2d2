// SPDX-License-Identifier: Apache-2.0

public import CPUIsolationNIO

/// A table that event loops read and any thread changes, however it is protected.
public protocol KeyValueTable: Sendable {
  /// Reads the table, on an event loop.
  func read<Result>(_ body: ([String: String]) -> Result) -> Result

  /// Changes the table, from anywhere.
  func update<Result: Sendable>(
    _ body: @Sendable (inout [String: String]) -> Result
  ) -> Result
}

extension LoopLocal: KeyValueTable where Value == [String: String] {
  public func read<Result>(_ body: ([String: String]) -> Result) -> Result { body(value) }
}
