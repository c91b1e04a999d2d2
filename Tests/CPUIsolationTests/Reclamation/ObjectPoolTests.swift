// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

@Suite struct ObjectPoolTests {
  /// Ends with its pool, and says so.
  private struct Element: ~Copyable {
    let number: Int
    var uses = 0
    let ended: Counter

    init(_ number: Int, _ ended: Counter) {
      self.number = number
      self.ended = ended
    }

    deinit { ended.increment() }
  }

  /// A pool whose counters are about to wrap.
  private func pool(
    capacity: Int, rings: Int = 2, position: UInt64 = 0
  ) throws -> RawObjectPool {
    try RawObjectPool(
      PoolCore.Geometry(capacity: capacity, rings: rings, objectBytes: 8, isCompact: false),
      position: position)
  }

  // MARK: Popping and pushing

  @Test func aPoolOfOne() throws {
    let pool = try RawObjectPool(capacity: 1, objectBytes: 8, rings: 1)
    let local = pool.register()!
    for _ in 0..<3 {
      let object = unsafe local.pop()!
      #expect(unsafe local.pop() == nil)
      unsafe local.push(object)
    }
    for _ in 0..<3 {
      let object = unsafe pool.pop()!
      #expect(unsafe pool.pop() == nil)
      unsafe pool.push(object)
    }
    let total = pool.statistics.total
    #expect(total.pops == 6 && total.pushes == 6 && total.misses == 6 && total.free == 1)
  }

  @Test(arguments: [1, 2, 3, 5, 64, 65, 1000], [1, 2, 3, 7])
  func everyObjectIsFound(capacity: Int, rings: Int) throws {
    let pool = try pool(capacity: capacity, rings: rings)
    let local = pool.register()!
    for _ in 0..<3 {
      var objects: Set<UInt> = []
      while let object = unsafe local.pop() { objects.insert(UInt(bitPattern: object)) }
      #expect(objects.count == capacity)
      #expect(pool.statistics.total.free == 0)
      for object in objects {
        #expect(object % 16 == 0)
        // Some by the shelf, some by the ring.
        let object = unsafe UnsafeMutableRawPointer(bitPattern: object).unsafelyUnwrapped
        if UInt(bitPattern: object) / 128 % 3 == 0 {
          unsafe pool.push(object)
        } else {
          unsafe local.push(object)
        }
      }
      #expect(pool.statistics.total.free == capacity)
    }
  }

  @Test(arguments: [false, true], [0, 1, 8, 16, 17, 100, 112, 113, 4096])
  func objectsDoNotOverlap(isCompact: Bool, bytes: Int) throws {
    let pool = try RawObjectPool(
      capacity: 50, objectBytes: bytes, rings: 2, isCompact: isCompact)
    let local = pool.register()!
    var objects: [UInt] = []
    while let object = unsafe local.pop() {
      unsafe object.initializeMemory(
        as: UInt8.self, repeating: UInt8(objects.count), count: bytes)
      objects.append(UInt(bitPattern: object))
    }
    for (number, object) in objects.enumerated() {
      let object = unsafe UnsafeMutableRawPointer(bitPattern: object).unsafelyUnwrapped
      for offset in 0..<bytes {
        #expect(unsafe object.load(fromByteOffset: offset, as: UInt8.self) == UInt8(number))
      }
      unsafe local.push(object)
    }
    #expect(pool.statistics.total.free == 50)
    #expect(pool.stride >= bytes + 16 && pool.stride % (isCompact ? 16 : 128) == 0)
  }

  @Test func theLastOneFreedComesFirst() throws {
    let pool = try pool(capacity: 8, rings: 1)
    let local = pool.register()!
    let (first, second) = unsafe (local.pop()!, local.pop()!)
    unsafe local.push(first)
    unsafe local.push(second)
    #expect(unsafe local.pop() == second)
    #expect(unsafe local.pop() == first)
    unsafe local.push(second)
    unsafe local.push(first)
  }

  // MARK: Counters

  @Test(arguments: [0, 1, 5, 6, 7, 8, 9, 40] as [UInt64])
  func countersThatWrap(before: UInt64) throws {
    let pool = try pool(capacity: 4, rings: 2, position: 0 &- before)
    let local = pool.register()!
    let other = pool.register()!
    for round in 0..<40 {
      var objects: Set<UInt> = []
      // Alternately in the own ring, and out of the other one.
      while let object = unsafe round % 3 == 0 ? other.pop() : local.pop() {
        objects.insert(UInt(bitPattern: object))
      }
      #expect(objects.count == 4)
      for object in objects {
        let object = unsafe UnsafeMutableRawPointer(bitPattern: object).unsafelyUnwrapped
        if round % 2 == 0 { unsafe local.push(object) } else { unsafe other.push(object) }
      }
    }
    #expect(pool.statistics.total.free == 4)
  }

  @Test func whatIsCounted() throws {
    let pool = try pool(capacity: 4, rings: 2)
    let local = pool.register()!
    let objects = (0..<4).map { _ in unsafe UInt(bitPattern: local.pop()) }
    #expect(unsafe local.pop() == nil)
    let own = pool.statistics.rings[0]
    #expect(own.pops == 4 && own.steals == 2 && own.misses == 1 && own.pushes == 0)
    for object in objects {
      unsafe local.push(UnsafeMutableRawPointer(bitPattern: object).unsafelyUnwrapped)
    }
    let back = pool.statistics
    #expect(back.rings[0].pushes == 4 && back.rings[0].free == 4 && back.rings[1].free == 0)
    #expect(back.rings[1].pops == 0)
    let guest = unsafe pool.pop()!
    unsafe pool.push(guest)
    #expect(
      pool.statistics.shared
        == RawObjectPool.Counts.Counters(pops: 1, pushes: 1, misses: 0, steals: 1, free: 1))
  }

  @Test func whatItIsMadeOf() throws {
    let pool = try RawObjectPool(capacity: 100, objectBytes: 40, rings: 3)
    #expect(pool.capacity == 100 && pool.ringCount == 3 && pool.stride == 128)
    // 128 indices of 4 bytes and three lines a ring; three lines of shelf.
    #expect(pool.byteCount == 3 * (128 * 4 + 384) + 384 + 100 * 128)
    #expect(try ObjectPool(capacity: 3) { $0 }.capacity == 3)
  }

  // MARK: Threads

  @Test func aRingIsUsedAgain() throws {
    let pool = try pool(capacity: 4, rings: 1)
    let local = pool.register()!
    let isRefused = pool.register() == nil
    #expect(isRefused)
    let objects = unsafe (local.pop()!, local.pop()!)
    unsafe local.push(objects.0)
    local.unregister()
    // What was in the ring, and what comes back otherwise, is there for the next one.
    unsafe pool.push(objects.1)
    let next = pool.register()!
    var count = 0
    while unsafe next.pop() != nil { count += 1 }
    #expect(count == 4)
  }

  @Test func othersFindWhatAThreadLeft() throws {
    let pool = try pool(capacity: 6, rings: 3)
    try PlainThread.start {
      let local = pool.register()!
      var objects: [UInt] = []
      while let object = unsafe local.pop() { objects.append(UInt(bitPattern: object)) }
      for object in objects {
        unsafe local.push(UnsafeMutableRawPointer(bitPattern: object).unsafelyUnwrapped)
      }
    }.value()
    #expect(pool.statistics.rings[0].free == 6)
    #expect(unsafe pool.pop() != nil)
    let local = pool.register()!
    let other = pool.register()!
    #expect(unsafe other.pop() != nil)
    #expect(unsafe local.pop() != nil)
    #expect(pool.statistics.total.free == 3)
  }

  // MARK: The end

  @Test func aPoolThatIsClosedGivesNothing() throws {
    let pool = try pool(capacity: 4)
    let local = pool.register()!
    let (first, second) = unsafe (local.pop()!, pool.pop()!)
    pool.close()
    pool.close()
    #expect(pool.isClosed && !pool.isFreed)
    #expect(unsafe local.pop() == nil)
    #expect(unsafe pool.pop() == nil)
    let isRefused = pool.register() == nil
    #expect(isRefused)
    unsafe local.push(first)
    unsafe pool.push(second)
    #expect(!pool.isFreed, "a thread is registered")
    local.unregister()
    #expect(pool.isFreed)
    #expect(pool.statistics.rings.isEmpty)
    #expect(unsafe pool.pop() == nil)
  }

  @Test(arguments: [false, true])
  func theLastObjectFreesTheMemory(isRegistered: Bool) throws {
    let ended = Counter()
    let pool = try ObjectPool(capacity: 5) { Element($0, ended) }
    var local = isRegistered ? pool.register() : nil
    var object = local?.pop() ?? pool.pop()
    pool.close()
    #expect(ended.value == 0)
    object!.element.uses += 1
    if local != nil {
      local!.push(object.take()!)
      #expect(ended.value == 0)
      local = nil
    } else {
      object = nil
    }
    #expect(ended.value == 5)
    #expect(pool.isFreed)
  }

  @Test func objectsOutliveTheHandle() throws {
    let ended = Counter()
    var pool: ObjectPool<Element>? = try ObjectPool(capacity: 3, rings: 1) { Element($0, ended) }
    let local = pool!.register()!
    let object = pool!.pop()!
    pool = nil
    #expect(ended.value == 0)
    #expect((0..<3).contains(object.element.number))
    local.push(object)
    #expect(ended.value == 0)
    local.unregister()
    #expect(ended.value == 3)
  }

  @Test func elementsKeepWhatWasDone() throws {
    let ended = Counter()
    let pool = try ObjectPool(capacity: 1, rings: 1, isCompact: true) { Element($0 + 7, ended) }
    for use in 0..<3 {
      var object = pool.pop()!
      #expect(object.element.uses == use && object.element.number == 7)
      object.element.uses += 1
      #expect(unsafe object.pointer.pointee.uses == use + 1)
      // Out of scope: it goes back.
    }
    let local = pool.register()!
    for use in 3..<6 {
      var object = local.pop()!
      #expect(object.element.uses == use)
      object.element.uses += 1
      local.push(object)
    }
    #expect(ended.value == 0)
  }

  @Test func numbersAndAddresses() throws {
    for (capacity, bytes, isCompact) in [(100, 8, true), (77, 40, true), (3, 500, false)] {
      let pool = try RawObjectPool(
        capacity: capacity, objectBytes: bytes, rings: 1, isCompact: isCompact)
      let core = pool.core
      for index in 0..<UInt32(capacity) {
        let object = core.object(index)
        #expect(core.number(of: object) == UInt64(index))
        for offset in [-16, -8, -1, 1, 4, 8, 15, pool.stride - 16] where offset % pool.stride != 0 {
          #expect(core.number(of: object + offset) >= UInt64(capacity))
        }
      }
      #expect(core.number(of: core.object(0) + -pool.stride) >= UInt64(capacity))
      #expect(
        core.number(of: core.object(UInt32(capacity - 1)) + pool.stride)
          >= UInt64(capacity))
    }
  }
}
