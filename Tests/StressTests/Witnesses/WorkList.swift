// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// The work types of a test, filled before its threads start, and readable in a signal handler.
// Sendable: written by the one thread that sets the test up, before the others exist.
@safe
final class WorkList: @unchecked Sendable {
  private let list: UnsafeMutablePointer<WorkType>
  private(set) var count = 0
  private let capacity: Int

  init(capacity: Int) {
    self.capacity = capacity
    unsafe list = .allocate(capacity: capacity)
  }

  deinit { unsafe list.deallocate() }

  func append(_ work: WorkType) {
    precondition(count < capacity)
    unsafe (list + count).initialize(to: work)
    count += 1
  }

  subscript(index: Int) -> WorkType {
    precondition(index >= 0 && index < count)
    return unsafe list[index]
  }
}
