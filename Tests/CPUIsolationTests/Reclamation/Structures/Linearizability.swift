// SPDX-License-Identifier: Apache-2.0

/// Whether a history of concurrent operations is one of a sequential object: J. Wing and C. Gong,
/// "Testing and Verifying Concurrent Objects", 1993.
///
/// An operation may come next if no other one that is still to come had ended before it began, and
/// the object would have answered what it did. States that were met with the same operations done
/// are not tried again.
struct Linearizability<Action: Sendable, State: Hashable>: Sendable {
  struct Operation: Sendable {
    var action: Action
    var begin: UInt64
    var end: UInt64
  }

  private struct Place: Hashable {
    var done: UInt64
    var state: State
  }

  /// The state after the action, or nil if the object would have answered otherwise.
  let apply: @Sendable (State, Action) -> State?

  /// At most 64 operations.
  func holds(_ history: [Operation], from start: State) -> Bool {
    var met: Set<Place> = []
    func search(_ done: UInt64, _ state: State) -> Bool {
      if done.nonzeroBitCount == history.count { return true }
      guard met.insert(Place(done: done, state: state)).inserted else { return false }
      let left = history.indices.filter { done >> UInt64($0) & 1 == 0 }
      let firstEnd = left.map { history[$0].end }.min()!
      for index in left where history[index].begin <= firstEnd {
        if let next = apply(state, history[index].action),
          search(done | 1 << UInt64(index), next)
        {
          return true
        }
      }
      return false
    }
    return search(0, start)
  }
}
