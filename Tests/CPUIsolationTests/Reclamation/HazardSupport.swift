// SPDX-License-Identifier: Apache-2.0

import Synchronization

@testable import CPUIsolation

/// A node that says whether it is sound: reclaiming it poisons it first.
struct Witness: ~Copyable {
  static let sound: UInt64 = 0x5051_5253_5455_5657
  static let poison: UInt64 = 0xdead_dead_dead_dead

  let mark = Atomic<UInt64>(Witness.sound)
  let value: Int

  var isSound: Bool { mark.load(ordering: .relaxed) == Witness.sound }

  static func make(_ value: Int) -> UnsafeMutablePointer<Witness> {
    let node = UnsafeMutablePointer<Witness>.allocate(capacity: 1)
    unsafe node.initialize(to: Witness(value: value))
    return unsafe node
  }

  /// Poisons and frees the node; the context is a reference to a `Counter` that counts it, or
  /// nothing.
  static let reclaim: HazardDomain.ReclaimFunction = { address, context in
    let node = unsafe address.assumingMemoryBound(to: Witness.self)
    unsafe node.pointee.mark.store(poison, ordering: .relaxed)
    unsafe node.deinitialize(count: 1)
    unsafe node.deallocate()
    if let context = unsafe context {
      unsafe Unmanaged<Counter>.fromOpaque(context).takeRetainedValue().increment()
    }
  }
}

extension HazardDomain.Fence {
  /// Whether the system has membarriers for this process: a filter may refuse them.
  static let hasMembarrier = (try? HazardDomain(fence: .membarrier)) != nil
  /// The fences that can be had.
  static let offered = hasMembarrier ? [full, membarrier] : [full]
}

extension HazardDomain {
  /// Retires a witness that nobody can find any more.
  func retire(
    _ node: UnsafeMutablePointer<Witness>, counting counter: Counter? = nil,
    cohort: HazardDomain.Cohort? = nil
  ) {
    unsafe retire(
      UnsafeMutableRawPointer(node),
      context: counter.map { unsafe Unmanaged.passRetained($0).toOpaque() }, cohort: cohort,
      reclaim: Witness.reclaim)
  }
}

/// A link that threads of a test share.
final class SharedLink: Sendable {
  let link = HazardLink<Witness>()

  init(_ value: Int? = nil) {
    if let value { unsafe link.store(.init(Witness.make(value))) }
  }

  /// Puts another node in the place of the one that is there, and retires that.
  func replace(with value: Int?, in domain: HazardDomain, counting counter: Counter? = nil) {
    let new = unsafe HazardLink<Witness>.Value(value.map { unsafe Witness.make($0) })
    if let old = unsafe link.exchange(new).node {
      unsafe domain.retire(old, counting: counter)
    }
  }
}
