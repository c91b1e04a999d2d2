// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// The pool on an address space: each reader looks pages up in a cache of its own.
///
/// An eviction tells no reader. It takes the page out of the table, leaves a bit in each reader's
/// work word, and has the frame back when every reader has dropped the translation, or is in its
/// hot loop and has to drop it before it looks again.
final class IsolatedPool: Pool {
  private let coordinator: Coordinator
  private let space: AddressSpace
  private let frames: Frames
  private let pages: Int
  private let lookupsPerRequest: Int

  init(
    _ frames: Frames, pages: Int, readers: Int, lookupsPerRequest: Int
  ) throws(IsolationError) {
    self.lookupsPerRequest = lookupsPerRequest
    var configuration = Coordinator.Configuration(
      housekeeping: [0], isolated: CPUMask(1..<readers + 1))
    configuration.pinning = .none
    coordinator = try Coordinator(configuration)
    var options = AddressSpace.Options(pages: UInt64(pages))
    // Sets of four: room for all pages twice over, so that hardly any has to give way.
    options.cacheEntries = 2 * pages
    space = try AddressSpace(coordinator, options)
    self.frames = frames
    self.pages = pages
  }

  func read(_ reader: Int, until stop: StopFlag) -> Tally {
    var tally = Tally()
    var requests = PageSequence(seed: reader, pages: pages)
    guard let cpu = try? coordinator.attach(to: reader + 1) else { return tally }
    let translations = space.open(on: cpu)
    cpu.enterUser()
    while !stop.isSet {
      // One request: into kernel, where what was evicted has been dropped, and out again. All of it
      // is one section: an eviction meanwhile waits for its frame, but keeps nobody from reading.
      cpu.enterKernel()
      for _ in 0..<lookupsPerRequest {
        let page = requests.next()
        if let frame = translations.lookUp(page, on: cpu) {
          if !frames.holds(page, in: Int(truncatingIfNeeded: frame)) { tally.stale += 1 }
        } else {
          tally.misses += 1
        }
      }
      cpu.enterUser()
      tally.lookups += UInt64(truncatingIfNeeded: lookupsPerRequest)
    }
    cpu.enterKernel()
    return tally
  }

  func evict(_ page: UInt64) -> Int? {
    var old = space.unmap(page..<page + 1)
    var frame: Int? = nil
    old.wait(timeout: .seconds(10)) { frame = Int($1) }
    return frame
  }

  func load(_ page: UInt64, into frame: Int) {
    guard (try? space.map(page, to: UInt64(frame))) == .mapped else {
      fatalError("page \(page) is not free")
    }
  }

  /// How often readers dropped translations.
  var flushes: UInt64 {
    coordinator.isolated.reduce(0) { sum, cpu in
      let counts = space.statistics(of: cpu)
      return sum + counts.partialFlushes + counts.fullFlushes
    }
  }
}
