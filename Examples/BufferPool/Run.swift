// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Synchronization

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
    let sink = Sink()
    let threads = (0..<readers).map { [pool] reader in
      Thread { sink.add(pool.read(reader, until: stop)) }
    }
    let begin = ContinuousClock.now
    evict(until: begin + .seconds(seconds))
    stop.set()
    for thread in threads { thread.join() }
    let time = (ContinuousClock.now - begin) / .seconds(1)
    let all = sink.all
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

/// Where readers leave what they counted.
private final class Sink: Sendable {
  private let tallies = Mutex<[Tally]>([])

  func add(_ tally: Tally) { tallies.withLock { $0.append(tally) } }
  var all: [Tally] { tallies.withLock { $0 } }
}

/// A POSIX thread with a closure for a body.
private struct Thread {
  private final class Body {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }
  private let handle: pthread_t

  init(_ run: @escaping @Sendable () -> Void) {
    var handle = pthread_t()
    let body = unsafe Unmanaged.passRetained(Body(run))
    let error = unsafe pthread_create(
      &handle, nil,
      { body in
        unsafe Unmanaged<Body>.fromOpaque(body.unsafelyUnwrapped).takeRetainedValue().run()
        return nil
      }, body.toOpaque())
    if error != 0 { fatalError("no thread: \(error)") }
    self.handle = handle
  }

  func join() { pthread_join(handle, nil) }
}
