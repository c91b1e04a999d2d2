// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Synchronization

/// The pool under a reader-writer lock, which a reader holds for as long as it uses a frame, and no
/// longer: held over a whole request it would keep evictions out for that time.
// Sendable: the table is under the lock.
@safe
final class LockedPool: Pool, @unchecked Sendable {
  private let frames: Frames
  private let pages: Int
  private var table: [Int]
  private let lock = UnsafeMutablePointer<pthread_rwlock_t>.allocate(capacity: 1)

  init(_ frames: Frames, pages: Int) {
    self.frames = frames
    self.pages = pages
    table = Array(repeating: -1, count: pages)
    unsafe pthread_rwlock_init(lock, nil)
  }

  deinit {
    unsafe pthread_rwlock_destroy(lock)
    unsafe lock.deallocate()
  }

  func read(_ reader: Int, until stop: StopFlag) -> Tally {
    var tally = Tally()
    var requests = PageSequence(seed: reader, pages: pages)
    while !stop.isSet {
      let page = requests.next()
      unsafe pthread_rwlock_rdlock(lock)
      let frame = table[Int(truncatingIfNeeded: page)]
      if frame < 0 {
        tally.misses += 1
      } else if !frames.holds(page, in: frame) {
        tally.stale += 1
      }
      unsafe pthread_rwlock_unlock(lock)
      tally.lookups += 1
    }
    return tally
  }

  func evict(_ page: UInt64) -> Int? {
    unsafe pthread_rwlock_wrlock(lock)
    defer { unsafe pthread_rwlock_unlock(lock) }
    let frame = table[Int(page)]
    table[Int(page)] = -1
    return frame < 0 ? nil : frame
  }

  func load(_ page: UInt64, into frame: Int) {
    unsafe pthread_rwlock_wrlock(lock)
    table[Int(page)] = frame
    unsafe pthread_rwlock_unlock(lock)
  }
}

/// The pool with a version for each page: a reader looks before and afterwards, and does it again if
/// the page was evicted meanwhile. It may read a frame that is somebody else's by then, and has to
/// bear that; a reader that changes what it finds cannot.
// Sendable: everything is atomic.
@safe
final class VersionedPool: Pool, @unchecked Sendable {
  private let frames: Frames
  private let pages: Int
  /// Per page its version, odd while it changes, and its frame.
  private let table: UnsafeMutablePointer<Atomic<UInt64>>

  init(_ frames: Frames, pages: Int) {
    self.frames = frames
    self.pages = pages
    unsafe table = .allocate(capacity: 2 * pages)
    for page in 0..<pages {
      unsafe (table + 2 * page).initialize(to: Atomic(0))
      unsafe (table + 2 * page + 1).initialize(to: Atomic(.max))
    }
  }

  deinit { unsafe table.deallocate() }

  func read(_ reader: Int, until stop: StopFlag) -> Tally {
    var tally = Tally()
    var requests = PageSequence(seed: reader, pages: pages)
    while !stop.isSet {
      let page = requests.next()
      let entry = unsafe table + 2 &* Int(truncatingIfNeeded: page)
      while true {
        let version = unsafe entry[0].load(ordering: .acquiring)
        let frame = unsafe entry[1].load(ordering: .relaxed)
        let isHere = frame != .max
        let isSound = !isHere || frames.holds(page, in: Int(truncatingIfNeeded: frame))
        atomicMemoryFence(ordering: .acquiring)
        if unsafe version & 1 != 0 || entry[0].load(ordering: .relaxed) != version { continue }
        if !isHere { tally.misses += 1 }
        if !isSound { tally.stale += 1 }
        break
      }
      tally.lookups += 1
    }
    return tally
  }

  private func write(_ page: UInt64, _ frame: UInt64) {
    let entry = unsafe table + 2 * Int(page)
    unsafe entry[0].wrappingAdd(1, ordering: .relaxed)
    atomicMemoryFence(ordering: .releasing)
    unsafe entry[1].store(frame, ordering: .relaxed)
    unsafe entry[0].wrappingAdd(1, ordering: .releasing)
    // What the caller does to the frame comes after the version.
    atomicMemoryFence(ordering: .releasing)
  }

  func evict(_ page: UInt64) -> Int? {
    let frame = unsafe table[2 * Int(page) + 1].load(ordering: .relaxed)
    write(page, .max)
    return frame == .max ? nil : Int(frame)
  }

  func load(_ page: UInt64, into frame: Int) { write(page, UInt64(frame)) }
}
