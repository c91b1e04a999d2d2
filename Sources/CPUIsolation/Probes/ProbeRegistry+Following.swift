// SPDX-License-Identifier: Apache-2.0

extension ProbeRegistry {
  /// Has something follow a point: `body` is called now, and whenever something has been attached to the
  /// point or taken away, by the thread that did it, outside locks.
  ///
  /// Calls overlap. So `body` asks the point, does what is to be done, and asks again: the caller whose
  /// change was the last one then has seen the point as it is.
  ///
  /// What it throws is thrown by the attachment, which is undone.
  package func follow<Arguments>(
    _ point: ProbePoint<Arguments>, _ body: @escaping @Sendable () throws(IsolationError) -> Void
  ) throws(IsolationError) {
    let index = point.site.base.value.index
    if point.site.base.value.core.base.bits != core.base.bits {
      misuse("something follows a probe point of another registry")
    }
    // One that the registry had no room for never has anything attached.
    let follower = Follower(run: body)
    if index >= 0 { state.withLock { $0.points[index].followers.append(follower) } }
    do throws(IsolationError) {
      try body()
    } catch {
      // What could not follow at the beginning does not hold up who attaches later.
      if index >= 0 {
        state.withLock { $0.points[index].followers.removeAll { $0 === follower } }
      }
      throw error
    }
  }

  /// Calls the followers of points, all of them, and throws the first error.
  func follow(_ points: [Int]) throws(IsolationError) {
    let followers = state.withLock { state in
      points.flatMap { state.points[$0].followers }
    }
    var failure: IsolationError?
    for follower in followers {
      do throws(IsolationError) { try follower.run() } catch { failure = failure ?? error }
    }
    if let failure { throw failure }
  }
}
