// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Readers at one pool, and the thread that evicts.
final class Run {
  private let pool: any Pool
  private let frames: Frames
  private let pages: Int

  private(set) var lookupsPerSecond = 0.0
  private(set) var stale: UInt64 = 0
  private(set) var evictions = 0

  init(_ pool: any Pool, _ frames: Frames, pages: Int) {
    self.pool = pool
    self.frames = frames
    self.pages = pages
    for page in 0..<frames.count {
      frames.fill(page, with: UInt64(page))
      pool.load(UInt64(page), into: page)
    }
  }

  func go(readers: Int, seconds: Double) {
    let stop = StopFlag()
    let threads = (0..<readers).map { Reader($0, of: pool, until: stop) }
    let begin = ContinuousClock.now
    evict(until: begin + .seconds(seconds))
    stop.set()
    let all = threads.map { $0.join() }
    let time = (ContinuousClock.now - begin) / .seconds(1)
    lookupsPerSecond = Double(all.reduce(0) { $0 + $1.lookups }) / time
    stale = all.reduce(0) { $0 + $1.stale }
  }

  /// Evicts a page now and then, and reads another one into its frame.
  private func evict(until end: ContinuousClock.Instant) {
    var victims = PageSequence(seed: 99, pages: pages)
    var absent = Array(UInt64(frames.count)..<UInt64(pages))
    while ContinuousClock.now < end {
      let page = victims.next()
      if let frame = pool.evict(page) {
        frames.poison(frame)
        let index = evictions % absent.count
        let next = absent[index]
        absent[index] = page
        frames.fill(frame, with: next)
        pool.load(next, into: frame)
        evictions += 1
      }
      usleep(50)
    }
  }
}

/// A POSIX thread that reads, and then leaves what it counted.
// Sendable: the tally is the thread's until it has been joined.
@safe
private final class Reader: @unchecked Sendable {
  private let number: Int
  private let pool: any Pool
  private let stop: StopFlag
  private var tally = Tally()
  private var handle = pthread_t()

  init(_ number: Int, of pool: any Pool, until stop: StopFlag) {
    (self.number, self.pool, self.stop) = (number, pool, stop)
    let error = unsafe pthread_create(
      &handle, nil,
      { address in
        let address = unsafe address.unsafelyUnwrapped
        let reader = unsafe Unmanaged<Reader>.fromOpaque(address).takeRetainedValue()
        reader.tally = reader.pool.read(reader.number, until: reader.stop)
        return nil
      }, Unmanaged.passRetained(self).toOpaque())
    if error != 0 { fatalError("no thread: \(error)") }
  }

  func join() -> Tally {
    pthread_join(handle, nil)
    return tally
  }
}
