// SPDX-License-Identifier: Apache-2.0

internal import CBenchmarkPeers
internal import CPUIsolation

/// Threads that take objects out of a pool and give them back: one cell of the table.
struct PoolCrowd {
  /// How the pool is kept.
  enum Kind: String, CaseIterable {
    case list = "freelist"
    case array
    case mutex
    case malloc
    case ours = "pool"
    /// Ours by threads that have no ring.
    case shared

    fileprivate var peer: peer_pool_kind? {
      switch self {
      case .list: peer_pool_list
      case .array: peer_pool_array
      case .mutex: peer_pool_mutex
      case .malloc: peer_pool_malloc
      case .ours, .shared: nil
      }
    }
  }

  let threads: Int
  let capacity: Int
  /// How long an object is kept, in cycles.
  let cycles: UInt64
  /// The turns that one thread takes, at least.
  let count: Int
  let processors: [Int32]

  /// The processors that the calling thread may run on.
  static var allowed: [Int32] {
    var processors = [Int32](repeating: 0, count: 1024)
    let count = unsafe Int(peer_allowed_processors(&processors, Int32(processors.count)))
    return Array(processors[..<count])
  }

  /// So many cycles.
  static func microsecond(_ clock: BenchmarkClock) -> UInt64 {
    UInt64(1000 / clock.nanosecondsPerCycle)
  }

  /// The nanoseconds from the beginning to the end, over the pairs of a pop and a push that all
  /// threads made together.
  func run(_ kind: Kind) -> Double {
    guard let peer = kind.peer else {
      // 16 bytes beyond the payload, as a mark: the objects of both sides are 128 bytes apart.
      guard
        let pool = try? RawObjectPool(
          capacity: capacity, objectBytes: 64, rings: max(threads, processors.count))
      else { return .nan }
      return withExtendedLifetime(pool) {
        let context = unsafe Unmanaged.passUnretained(pool).toOpaque()
        return kind == .ours
          ? unsafe run(peer_crowd(context, PoolMember.begin, PoolMember.pairs, PoolMember.end))
          : unsafe run(peer_crowd(context, PoolGuest.begin, PoolGuest.pairs, PoolGuest.end))
      }
    }
    let pool = unsafe peer_pool_make(peer, Int32(capacity), Int32(threads))
    defer { unsafe peer_pool_free(pool) }
    return unsafe run(
      peer_crowd(
        UnsafeMutableRawPointer(pool), { context, _ in unsafe context },
        { state, thread, count, cycles in
          unsafe peer_pool_pairs(OpaquePointer(state!), thread, count, cycles)
        }, { _ in }))
  }

  func run(_ crowd: peer_crowd) -> Double {
    var crowd = unsafe crowd
    unsafe crowd.count = UInt64(count)
    unsafe crowd.cycles = cycles
    return unsafe peer_crowd_run(&crowd, Int32(threads), processors, Int32(processors.count))
  }
}

extension peer_crowd {
  init(
    _ context: UnsafeMutableRawPointer?,
    _ begin: @escaping @convention(c) (UnsafeMutableRawPointer?, Int32) -> UnsafeMutableRawPointer?,
    _ pairs: @escaping @convention(c) (UnsafeMutableRawPointer?, Int32, UInt64, UInt64) -> UInt64,
    _ end: @escaping @convention(c) (UnsafeMutableRawPointer?) -> Void
  ) {
    unsafe self.init(context: context, begin: begin, pairs: pairs, end: end, count: 0, cycles: 0)
  }
}

/// What one thread of the crowd does with its ring.
private enum PoolMember {
  static let begin: @convention(c) (UnsafeMutableRawPointer?, Int32) -> UnsafeMutableRawPointer? = {
    context, _ in
    let pool = unsafe Unmanaged<RawObjectPool>.fromOpaque(context!).takeUnretainedValue()
    guard let local = pool.register() else { fatalError("there is a ring for each thread") }
    let state = UnsafeMutablePointer<RawObjectPool.Local>.allocate(capacity: 1)
    unsafe state.initialize(to: local)
    return UnsafeMutableRawPointer(state)
  }

  static let pairs: @convention(c) (UnsafeMutableRawPointer?, Int32, UInt64, UInt64) -> UInt64 = {
    state, _, count, cycles in
    unsafe PoolMember.pairs(
      state!.assumingMemoryBound(to: RawObjectPool.Local.self).pointee, count, cycles)
  }

  @inline(never)
  private static func pairs(
    _ local: borrowing RawObjectPool.Local, _ count: UInt64, _ cycles: UInt64
  ) -> UInt64 {
    var done: UInt64 = 0
    for _ in 0..<count {
      guard let object = unsafe local.pop() else { continue }
      unsafe peer_hold(object, cycles)
      unsafe local.push(object)
      done &+= 1
    }
    return done
  }

  static let end: @convention(c) (UnsafeMutableRawPointer?) -> Void = { state in
    let state = unsafe state!.assumingMemoryBound(to: RawObjectPool.Local.self)
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
  }
}

/// What one thread of the crowd does without a ring.
private enum PoolGuest {
  static let begin: @convention(c) (UnsafeMutableRawPointer?, Int32) -> UnsafeMutableRawPointer? = {
    context, _ in
    unsafe context
  }

  static let pairs: @convention(c) (UnsafeMutableRawPointer?, Int32, UInt64, UInt64) -> UInt64 = {
    state, _, count, cycles in
    unsafe Unmanaged<RawObjectPool>.fromOpaque(state!)._withUnsafeGuaranteedRef { pool in
      var done: UInt64 = 0
      for _ in 0..<count {
        guard let object = unsafe pool.pop() else { continue }
        unsafe peer_hold(object, cycles)
        unsafe pool.push(object)
        done &+= 1
      }
      return done
    }
  }

  static let end: @convention(c) (UnsafeMutableRawPointer?) -> Void = { _ in }
}
