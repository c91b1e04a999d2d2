// SPDX-License-Identifier: Apache-2.0

/// Jobs in the order in which they came.
struct JobQueue<Job: Sendable>: Sendable {
  private var jobs: [Job] = []
  private var first = 0

  var count: Int { jobs.count - first }

  mutating func append(_ job: Job) { jobs.append(job) }

  mutating func popFirst() -> Job? {
    guard first < jobs.count else { return nil }
    defer {
      first += 1
      // Half of the array is free: what is left moves to the front, once for as many jobs as it has.
      if first * 2 >= jobs.count {
        jobs.removeFirst(first)
        first = 0
      }
    }
    return jobs[first]
  }
}
