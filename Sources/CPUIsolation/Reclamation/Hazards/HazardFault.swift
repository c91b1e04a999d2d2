// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// Numbered points between the steps of a protection, a retirement and a scan, at which a test may
/// delay a thread or stop it. They exist in debug builds alone.
///
/// | point | where |
/// |---|---|
/// | 0 | before a slot is written |
/// | 1 | between the slot and the second look at the link |
/// | 2 | after the look at the link |
/// | 3 | after a protection by transition |
/// | 4 | while a wildcard stands |
/// | 5 | before an object is put into a batch |
/// | 6 | while a batch is in nobody's line |
/// | 7 | between the unlinking's fence and the slots |
/// | 8 | between the slots and the reclaimers |
@usableFromInline
package enum HazardFault {
  package static let count = 9

  #if DEBUG && !ModelChecking
    private static let hook = SharedAddress(0)

    @usableFromInline
    static func point(_ number: Int) {
      // Acquire — hazardFault:H. What the test wrote before is seen in the hook. Pairs with
      // hazardFault:H.
      let address = hook.load(ordering: .acquiring)
      guard address != 0 else { return }
      // Safety: the word holds a function of this type.
      unsafe unsafeBitCast(address, to: (@convention(c) (Int) -> Void).self)(number)
    }

    /// Has this function run at every point, or none.
    package static func setHook(_ function: (@convention(c) (Int) -> Void)?) {
      // Release — hazardFault:H, as above. Pairs with hazardFault:H.
      // Safety: a function as a number, which `point` turns back.
      hook.store(
        function.map { unsafe unsafeBitCast($0, to: UInt.self) } ?? 0, ordering: .releasing)
    }

    package static let isCompiledIn = true
  #else
    @inlinable @inline(__always)
    static func point(_ number: Int) {}

    package static func setHook(_ function: (@convention(c) (Int) -> Void)?) {}

    package static let isCompiledIn = false
  #endif
}
