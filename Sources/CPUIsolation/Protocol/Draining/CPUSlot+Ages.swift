// SPDX-License-Identifier: Apache-2.0

extension CPUSlot {
  /// The bucket of an age that the watchdog has seen.
  static func ageBucket(ofNanoseconds age: UInt64) -> Int {
    var bucket = 1
    var limit: UInt64 = 10_000_000
    while age > limit, bucket < ageBuckets - 1 {
      bucket += 1
      limit *= 10
    }
    return bucket
  }
}
