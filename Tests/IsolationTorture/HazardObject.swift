// SPDX-License-Identifier: Apache-2.0

/// An object that a protected reference leads to: a word elsewhere says whether it is there.
final class HazardObject: Sendable {
  static let places = 4096
  private static let numbers = WordTable(1)
  private let living: WordTable
  private let number: UInt64

  init(_ living: WordTable) {
    self.living = living
    number = Self.numbers.add(0)
    living.store(place, number)
  }

  private var place: Int { Int(number % UInt64(Self.places)) }

  /// Whether it has not ended. Its place may have gone to another one only long after.
  var isLiving: Bool { living.load(place) == number }

  deinit { _ = living.change(place, from: number, to: 0) }
}
