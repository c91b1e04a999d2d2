// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  internal import Synchronization

  /// A few words for data and flags.
  @safe
  final class InlineWords {
    private let words: Table<SharedWord>
    private static let count = 8

    init() {
      // Safety: new memory, until `deinit`.
      words = unsafe Table(UnsafeMutablePointer.allocate(capacity: Self.count))
      words.initialize(count: Self.count)
    }

    deinit { unsafe words.first.pointer.deallocate() }

    subscript(_ index: Int) -> SharedWord {
      _read { yield words[index] }
    }

    func address(_ index: Int) -> UInt { words.place(index).bits }

    func reset() {
      for index in 0..<Self.count { words[index].store(0, ordering: .relaxed) }
    }
  }
#endif
