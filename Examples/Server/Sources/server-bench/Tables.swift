// SPDX-License-Identifier: Apache-2.0

import Atomics
import KeyValue
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Synchronization

/// How a server protects its table.
enum Variant: String, CaseIterable {
  /// A copy per loop, refreshed by deferred work.
  case ours
  /// A copy per loop, which every change replaces by `execute` on each.
  case broadcast
  /// One table in a NIOLockedValueBox.
  case box
  /// One table in a Mutex.
  case mutex
  /// One immutable table, replaced as a whole by an atomic reference.
  case atomic

  var title: String {
    switch self {
    case .ours: "deferred work"
    case .broadcast: "execute on every loop"
    case .box: "NIOLockedValueBox"
    case .mutex: "Mutex"
    case .atomic: "an atomic reference"
    }
  }
}

final class BroadcastTable: KeyValueTable {
  /// Touched on its loop alone.
  final class Copy: @unchecked Sendable {
    var table: [String: String]
    init(_ table: [String: String]) { self.table = table }
  }

  private let loops: [any EventLoop]
  private let copies = ThreadSpecificVariable<Copy>()
  private let newest: NIOLockedValueBox<[String: String]>

  init(_ group: MultiThreadedEventLoopGroup, _ table: [String: String]) async throws {
    loops = Array(group.makeIterator())
    newest = NIOLockedValueBox(table)
    for loop in loops {
      try await loop.submit { [copies] in copies.currentValue = Copy(table) }.get()
    }
  }

  func read<Result>(_ body: ([String: String]) -> Result) -> Result {
    body(copies.currentValue!.table)
  }

  func update<Result: Sendable>(
    _ body: @Sendable (inout [String: String]) -> Result
  ) -> Result {
    // Under the lock, so that every loop gets the changes in their order.
    newest.withLockedValue { table in
      let result = body(&table)
      for loop in loops {
        loop.execute { [copies, table] in copies.currentValue!.table = table }
      }
      return result
    }
  }
}

final class BoxTable: KeyValueTable {
  private let table: NIOLockedValueBox<[String: String]>

  init(_ table: [String: String]) { self.table = NIOLockedValueBox(table) }

  func read<Result>(_ body: ([String: String]) -> Result) -> Result {
    table.withLockedValue { body($0) }
  }

  func update<Result: Sendable>(
    _ body: @Sendable (inout [String: String]) -> Result
  ) -> Result {
    table.withLockedValue { body(&$0) }
  }
}

final class MutexTable: KeyValueTable {
  private let table: Mutex<[String: String]>

  init(_ table: [String: String]) { self.table = Mutex(table) }

  func read<Result>(_ body: ([String: String]) -> Result) -> Result {
    var result: Result? = nil
    table.withLock { result = body($0) }
    return result!
  }

  func update<Result: Sendable>(
    _ body: @Sendable (inout [String: String]) -> Result
  ) -> Result {
    table.withLock { body(&$0) }
  }
}

final class AtomicTable: KeyValueTable {
  private final class Version: AtomicReference, Sendable {
    let table: [String: String]
    init(_ table: [String: String]) { self.table = table }
  }

  private let changing = NIOLock()
  private let version: ManagedAtomic<Version>

  init(_ table: [String: String]) { version = ManagedAtomic(Version(table)) }

  func read<Result>(_ body: ([String: String]) -> Result) -> Result {
    body(version.load(ordering: .acquiring).table)
  }

  func update<Result: Sendable>(
    _ body: @Sendable (inout [String: String]) -> Result
  ) -> Result {
    changing.withLock {
      var table = version.load(ordering: .acquiring).table
      let result = body(&table)
      version.store(Version(table), ordering: .releasing)
      return result
    }
  }
}
