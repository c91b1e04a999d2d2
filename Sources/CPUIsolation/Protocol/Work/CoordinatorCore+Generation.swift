// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

extension CoordinatorCore {
  /// The generation of a send that is about to be made.
  func drawGeneration(of type: UInt64) -> UInt64 {
    // Acquire and release — ticket:G. Drawn before the bit is set, after the datum. Pairs with
    // drain:G and attach:G.
    generations[type].wrappingAdd(1, ordering: .acquiringAndReleasing).newValue
  }
}
