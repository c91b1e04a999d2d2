// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// The counts of keys. 0 is off, n is on for n users, and `enabling` is a first user whose turn of
/// the key has not reached every CPU yet: it counts as on, and nobody but the claimer moves it.
///
/// | from | to | by |
/// |---|---|---|
/// | 0 | enabling | the claimer, who then turns the key on and waits for every CPU |
/// | enabling | n | the claimer, when every CPU is reached |
/// | n > 0 | n + m, up to the limit | anyone |
/// | n > m | n − m | anyone |
/// | n | 0 | the claimer, who then turns the key off and waits for every CPU |
///
/// Nothing else moves it: a count is never negative, and never wraps. The kernel's own has been
/// both: a subtraction in the window of the first enable was lost until 2024.
extension KeyTable {
  static let enabling = UInt64.max
  /// The most users that a key can have: the kernel's `INT_MAX`.
  static let countLimit = UInt64(Int32.max)

  /// Adds users to a key that is on. Nil if it is not, or not yet: that takes the claim.
  func incrementIfOn(_ key: Int, by users: UInt64) -> StaticKey.Outcome? {
    let count = count(key)
    var old = count.value.load(ordering: .relaxed)
    while old != 0, old != Self.enabling {
      if users > Self.countLimit - old { return .overflowed }
      // Acquire — key:I. Whoever finds the key on has everything that came before: every CPU was
      // reached. Pairs with key:P.
      let (exchanged, original) = count.value.weakCompareExchange(
        expected: old, desired: old + users, successOrdering: .acquiring,
        failureOrdering: .relaxed)
      if exchanged { return .counted }
      old = original
    }
    return nil
  }

  /// How a subtraction ended.
  enum Decrement {
    /// Users are left.
    case counted
    /// Nobody is left, or nobody would be: that takes the claim.
    case last
    /// The key has fewer users than were to go.
    case tooFew
    /// The only user is one whose enabling is not over.
    case enabling
  }

  /// Takes users from a key; the last ones only for the claimer, who turns the key off next.
  func decrement(_ key: Int, by users: UInt64, isClaimer: Bool) -> Decrement {
    let count = count(key)
    var old = count.value.load(ordering: .relaxed)
    while true {
      if old == Self.enabling { return .enabling }
      if old < users { return .tooFew }
      if old == users, !isClaimer { return .last }
      // Acquire and release — key:D. What users did while they held the key on comes before what
      // the last of them does when it is off. Pairs with key:D.
      let (exchanged, original) = count.value.weakCompareExchange(
        expected: old, desired: old - users, successOrdering: .acquiringAndReleasing,
        failureOrdering: .relaxed)
      if exchanged { return old == users ? .last : .counted }
      old = original
    }
  }
}
