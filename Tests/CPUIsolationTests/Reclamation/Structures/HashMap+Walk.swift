// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

extension HashMap {
  enum Insertion: Sendable {
    case inserted
    case present
    /// Every node is in use.
    case full
  }

  /// What one thread at a time goes through the map with: three holders, hand over hand.
  struct Walk: ~Copyable {
    private typealias Link = HazardLink<Node>.Value

    /// Where a key stands, or would stand: after `previous`, whose `next` was `current`. All three
    /// nodes are protected.
    @safe
    private struct Place {
      var previous: UnsafeMutablePointer<Node>
      var current: Link
      var next: Link
      var isFound: Bool
    }

    private let map: HashMap
    private var behind: HazardPointer
    private var here: HazardPointer
    private var ahead: HazardPointer

    init(through map: HashMap) {
      self.map = map
      behind = HazardPointer(in: map.domain)
      here = HazardPointer(in: map.domain)
      ahead = HazardPointer(in: map.domain)
    }

    // MARK: Operations

    mutating func value(for key: Int) -> Int? {
      defer { reset() }
      let place = find(key)
      return unsafe place.isFound ? place.current.node?.pointee.value : nil
    }

    @discardableResult
    mutating func insert(_ value: Int, for key: Int) -> Insertion {
      defer { reset() }
      var new: UnsafeMutablePointer<Node>? = nil
      while true {
        let place = find(key)
        if place.isFound {
          if let new = unsafe new { unsafe map.nodes.giveBack(UnsafeMutableRawPointer(new)) }
          return .present
        }
        if unsafe new == nil {
          guard let memory = unsafe map.nodes.take() else { return .full }
          unsafe new = unsafe memory.bindMemory(to: Node.self, capacity: 1)
          unsafe new?.initialize(to: Node(key: key, value: value))
        }
        let node = unsafe new.unsafelyUnwrapped
        unsafe node.pointee.next.store(place.current)
        let isLinked = unsafe place.previous.pointee.next.compareExchange(
          expected: place.current, desired: Link(node)
        ).exchanged
        if isLinked { return .inserted }
      }
    }

    /// Takes the key out, and returns what stood there.
    mutating func remove(_ key: Int) -> Int? {
      defer { reset() }
      while true {
        let place = find(key)
        guard place.isFound, let node = unsafe place.current.node else { return nil }
        // Whoever sets the mark has taken the node out.
        let isTaken = unsafe node.pointee.next.compareExchange(
          expected: place.next, desired: Link(place.next.node, isMarked: true)
        ).exchanged
        guard isTaken else { continue }
        map.pause()
        let value = unsafe node.pointee.value
        if !unlink(place) { _ = find(key) }
        return value
      }
    }

    // MARK: Walking

    /// Looks for the first node whose key is not below, and unlinks the marked ones on its way.
    ///
    /// What was protected from a node's link is safe if that node was in the chain then. A node
    /// whose link is not marked is. One whose link is marked leads to the same node for ever, and
    /// unlinking it succeeds only if it has been in the chain until now.
    private mutating func find(_ key: Int) -> Place {
      search: while true {
        var previous = unsafe map.bucket(of: key)
        var current = unsafe here.protect(previous.pointee.next)
        while let node = unsafe current.node {
          map.pause()
          let next = unsafe ahead.protect(node.pointee.next)
          if next.isMarked {
            let rest = unsafe Link(next.node)
            let place = unsafe Place(
              previous: previous, current: current, next: rest, isFound: false)
            guard unlink(place) else { continue search }
            current = rest
          } else {
            let here = unsafe node.pointee.key
            if here >= key {
              return unsafe Place(
                previous: previous, current: current, next: next, isFound: here == key)
            }
            unsafe previous = unsafe node
            swap(&behind, &self.here)
            current = next
          }
          swap(&here, &ahead)
        }
        return unsafe Place(
          previous: previous, current: current, next: Link(nil), isFound: false)
      }
    }

    /// Leads past a node that has been taken out, and retires it; false if the chain has changed.
    private func unlink(_ place: borrowing Place) -> Bool {
      let isUnlinked = unsafe place.previous.pointee.next.compareExchange(
        expected: place.current, desired: place.next
      ).exchanged
      guard isUnlinked, let node = unsafe place.current.node else { return false }
      unsafe map.nodes.retire(UnsafeMutableRawPointer(node))
      return true
    }

    private mutating func reset() {
      behind.reset()
      here.reset()
      ahead.reset()
    }
  }
}
