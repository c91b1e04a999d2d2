// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// Publishing what is about to be used.
///
/// The claim: a node that a reader got from a link, and may use, is not reclaimed before the slot
/// holds something else. Against a scan (hazard:F, then hazard:S) that began after the unlinking:
///
/// **By fences.** Both sides write one word, then read the other's.
/// - If our store to the slot (hazard:P) comes before the scan's fence, the scan's look at the slot
///   sees the node, and leaves it alone.
/// - If it comes after, so does our second look at the link (hazard:V): it sees the unlinking, and
///   we do not use the node.
///
/// **By transition.** An isolated CPU in kernel writes and reads plainly, in any order: both stand
/// between the addition to W that began its section and the store to W that will end it. The scan
/// looks at W after its fence, and again until the CPU has been seen outside kernel or has moved.
/// - If the first look saw a word from before the section, the fence came before the section's
///   addition: our load of the link sees the unlinking, and we do not get the node.
/// - If it saw the section, the scan goes on only after the store that ends it, which shows our
///   store to the slot.
/// - If it saw a word from after the section, the same store has shown it already.
/// - A protection that was made before the unlinking and is still held stands in a slot since a
///   section that has ended or is waited for: the cases above do not ask when the node was unlinked.
///   That the CPU is in user now changes nothing: the store that let it go there showed the slot.
/// - Attaching and detaching are additions to W like any other. A thread protects plainly only while
///   its own copy of W says kernel, which is inside such a section, whoever had the slot before.
/// - What is protected in user, by a housekeeping CPU, or by a thread that is no CPU, is protected by
///   fences, in the same domain: both arguments hold for each protection by itself.
///
/// Because nothing in a section needs an order, no second look is needed either: the load of the
/// link is in the same section as the store to the slot.
extension HazardCore {
  /// Protects what the link leads to, and returns the link's content.
  ///
  /// Lock-free: each further round has seen the link change.
  @inlinable @inline(__always)
  func protect(
    _ slot: Place<SharedAddress>, _ link: borrowing SharedAddress
  ) -> UInt {
    if isFencedByTransition { return protectInSection(slot, link) }
    return protectFenced(slot, link)
  }

  @inlinable @inline(__always)
  func protectInSection(
    _ slot: Place<SharedAddress>, _ link: borrowing SharedAddress
  ) -> UInt {
    // Acquire — hazard:T. What leads to the node is after the entry. Pairs with hazardLink:S,
    // hazardLink:X and entry:W.
    let content = link.load(ordering: .acquiring)
    HazardFault.point(2)
    // Release — hazard:T. The last use of what this slot held before comes before; exit:W shows it
    // to the scan. Pairs with hazard:S.
    slot.value.store(content & ~1, ordering: .releasing)
    HazardFault.point(3)
    return content
  }

  @inlinable
  func protectFenced(
    _ slot: Place<SharedAddress>, _ link: borrowing SharedAddress
  ) -> UInt {
    let fencing = reader.fencing
    if fencing == HazardFencing.membarrier { return protectAfterBarrier(slot, link) }
    if fencing == HazardFencing.byTransition { HazardThread.learnRole() }
    // Relaxed: a guess, which the look after the store confirms.
    var content = link.load(ordering: .relaxed)
    while true {
      HazardFault.point(0)
      // Sequentially consistent — hazard:P. Dekker with hazard:V against hazard:F and hazard:S; also
      // the release of what the slot held before. Pairs with hazard:F and hazard:S.
      slot.value.store(content & ~1, ordering: .sequentiallyConsistent)
      HazardFault.point(1)
      // Sequentially consistent — hazard:V. After hazard:P; what was written to the node is seen.
      // Pairs with hazard:F, hazardLink:S and hazardLink:X.
      let now = link.load(ordering: .sequentiallyConsistent)
      HazardFault.point(2)
      if now & ~1 == content & ~1 { return now }
      content = now
    }
  }

  /// The same where the scan's membarrier is the fence of all threads.
  @inlinable
  func protectAfterBarrier(
    _ slot: Place<SharedAddress>, _ link: borrowing SharedAddress
  ) -> UInt {
    var content = link.load(ordering: .relaxed)
    while true {
      HazardFault.point(0)
      // Release — hazard:M. What the slot held before has been used. The system's barrier stands
      // either after this, and shows it to the scan, or before the look that follows, which
      // then sees the unlinking. Pairs with hazard:S.
      slot.value.store(content & ~1, ordering: .releasing)
      HazardThread.compilerBarrier()
      HazardFault.point(1)
      // Acquire — hazard:M. Pairs with hazardLink:S and hazardLink:X.
      let now = link.load(ordering: .acquiring)
      HazardFault.point(2)
      if now & ~1 == content & ~1 { return now }
      content = now
    }
  }

  /// Protects one node if the link still leads to it. Wait-free.
  @inlinable @inline(__always)
  func tryProtect(
    _ slot: Place<SharedAddress>, _ expected: UInt, _ link: borrowing SharedAddress
  ) -> (isProtected: Bool, now: UInt) {
    let now: UInt
    if isFencedByTransition {
      now = protectInSection(slot, link)
    } else {
      now = tryProtectFenced(slot, expected, link)
    }
    if now == expected { return (true, now) }
    // Release — hazard:R. Pairs with hazard:S.
    slot.value.store(0, ordering: .releasing)
    return (false, now)
  }

  @inlinable
  func tryProtectFenced(
    _ slot: Place<SharedAddress>, _ expected: UInt, _ link: borrowing SharedAddress
  ) -> UInt {
    HazardFault.point(0)
    let fencing = reader.fencing
    if fencing == HazardFencing.byTransition { HazardThread.learnRole() }
    if fencing == HazardFencing.membarrier {
      // Release — hazard:M, as above. Pairs with hazard:S.
      slot.value.store(expected & ~1, ordering: .releasing)
      HazardThread.compilerBarrier()
      // Acquire — hazard:M. Pairs with hazardLink:S and hazardLink:X.
      return link.load(ordering: .acquiring)
    }
    // Sequentially consistent — hazard:P, as above. Pairs with hazard:F and hazard:S.
    slot.value.store(expected & ~1, ordering: .sequentiallyConsistent)
    HazardFault.point(1)
    // Sequentially consistent — hazard:V, as above. Pairs with hazard:F, hazardLink:S and
    // hazardLink:X.
    return link.load(ordering: .sequentiallyConsistent)
  }

  /// Protects what the link leads to in one go: a wildcard stands in the slot while the link is
  /// read, and holds every reclamation of the domain back. Wait-free.
  ///
  /// The wildcard is dated with the number of scans that have begun. Against a scan that flips that
  /// number (hazard:G) after its fence:
  /// - If we read the number from before the flip, the scan waits for our wildcard, or sees what we
  ///   put in its place; or our store (hazard:P) came after its fence, and our look at the link sees
  ///   the unlinking.
  /// - If we read it from after the flip, what was unlinked before is unlinked for us, and the scan
  ///   need not wait: readers that keep coming cannot hold it up for ever.
  @inlinable
  func acquire(
    _ slot: Place<SharedAddress>, _ link: borrowing SharedAddress
  ) -> UInt {
    if isFencedByTransition { return protectInSection(slot, link) }
    let fencing = reader.fencing
    if fencing == HazardFencing.byTransition { HazardThread.learnRole() }
    // Acquire — hazard:D. Pairs with hazard:G.
    let date = scans.value.load(ordering: .acquiring)
    let wildcard = UInt(truncatingIfNeeded: date) &<< 1 | 1
    let content: UInt
    if fencing == HazardFencing.membarrier {
      // Release — hazard:M, as above. Pairs with hazard:S.
      slot.value.store(wildcard, ordering: .releasing)
      HazardThread.compilerBarrier()
      // Acquire — hazard:M. Pairs with hazardLink:S and hazardLink:X.
      content = link.load(ordering: .acquiring)
    } else {
      // Sequentially consistent — hazard:P, as above. Pairs with hazard:F and hazard:S.
      slot.value.store(wildcard, ordering: .sequentiallyConsistent)
      HazardFault.point(1)
      // Sequentially consistent — hazard:V, as above. Pairs with hazard:F, hazardLink:S and
      // hazardLink:X.
      content = link.load(ordering: .sequentiallyConsistent)
    }
    HazardFault.point(4)
    // Release — hazard:A. The address comes after the wildcard in the slot's own order, and a scan
    // that sees it leaves the node alone. Pairs with hazard:S.
    slot.value.store(content & ~1, ordering: .releasing)
    return content
  }
}
