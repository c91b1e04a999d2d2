// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// A pool, as its handles see it: one address.
// Sendable: an address of constants, and of memory in which every shared word is atomic.
@frozen @safe @usableFromInline
struct PoolCore: @unchecked Sendable {
  @usableFromInline let control: Place<PoolControl>

  @inlinable @inline(__always)
  var shape: PoolShape { control.value.shape }

  /// What a pool is made of.
  struct Geometry {
    let capacity: Int
    let rings: Int
    let stride: Int
    let cells: Int

    init(capacity: Int, rings: Int, objectBytes: Int, isCompact: Bool) {
      self.capacity = capacity
      self.rings = rings
      let unit = isCompact ? 16 : cacheLineStride
      stride = (PoolCore.markBytes + objectBytes + unit - 1) / unit * unit
      var cells = 1
      while cells < capacity { cells *= 2 }
      self.cells = cells
    }

    var ringBytes: Int { PoolRing.byteCount(cells: cells) }
    var byteCount: Int {
      rings * ringBytes + PoolShelf.byteCount(capacity: capacity) + capacity * stride
    }
  }

  /// The pool of a control.
  init(control: Place<PoolControl>) { self.control = control }

  /// Lays a pool out in zeroed memory, every object in a ring, the counters at `position`.
  init(initializing control: Place<PoolControl>, position: UInt64) {
    self.control = control
    for number in 0..<ringCount { ring(number).initialize(at: position) }
    shelf.initialize()
    // Spread: a thread that registers finds objects in its ring.
    for index in 0..<UInt32(capacity) {
      ring(Int(index) % ringCount).push(index, mask, NoFaults.self)
      mark(index).initialize(to: SharedWord(Self.home(index)))
    }
  }

  @inlinable @inline(__always)
  var ringCount: Int { control.value.shape.ringCount }
  @inlinable @inline(__always)
  var mask: UInt64 { control.value.shape.mask }
  @inlinable @inline(__always)
  var shelf: PoolShelf { control.value.shape.shelf }
  @inlinable @inline(__always)
  var objects: Address { control.value.shape.objects }
  @inlinable @inline(__always)
  var stride: Int { control.value.shape.stride }
  @inlinable @inline(__always)
  var capacity: UInt64 { control.value.shape.capacity }

  @inlinable @inline(__always)
  func ring(_ number: Int) -> PoolRing {
    PoolRing(base: shape.rings + number &* shape.ringStride)
  }

  // MARK: Objects

  /// What stands before each object: its mark, and room up to the alignment.
  @inlinable @inline(__always)
  static var markBytes: Int { 16 }

  /// The address of an object's contents.
  @inlinable @inline(__always)
  func object(_ index: UInt32) -> Address {
    objects + (Int(index) &* stride &+ Self.markBytes)
  }

  @inlinable @inline(__always)
  func mark(_ index: UInt32) -> Place<SharedWord> {
    // Safety: the mark stands before each object.
    unsafe Place(objects + Int(index) &* stride)
  }

  /// The number of an object, or something that is not below the capacity for an address that is not
  /// the beginning of one.
  ///
  /// The product is the quotient if the distance is a multiple of the stride, and too big if not:
  /// T. Granlund and P. L. Montgomery, "Division by Invariant Integers using Multiplication", 1994.
  @inlinable @inline(__always)
  func number(of object: Address) -> UInt64 {
    let distance = UInt64(
      object.bits &- objects.bits &- UInt(Self.markBytes))
    let product = distance &* control.value.shape.inverse
    let rotation = control.value.shape.rotation
    return product &>> rotation | product &<< (64 &- rotation)
  }

  /// The mark of an object that is in the pool.
  @inlinable @inline(__always)
  static func home(_ index: UInt32) -> UInt64 { 0x656d_6f68 << 32 | UInt64(index) }
  /// The mark of an object that somebody has.
  @inlinable @inline(__always)
  static func out(_ index: UInt32) -> UInt64 { 0x2174_756f << 32 | UInt64(index) }

  /// Gives an object out that has been taken.
  @inlinable @inline(__always)
  func give(_ index: UInt32) -> Address {
    let mark = mark(index)
    if mark.value.load(ordering: .relaxed) != Self.home(index) { refuse(toGive: index) }
    mark.value.store(Self.out(index), ordering: .relaxed)
    return object(index)
  }

  /// The number of an object that comes back, checked, and marked as being here.
  @inlinable @inline(__always)
  func receive(_ object: Address) -> UInt32 {
    let number = number(of: object)
    if number >= capacity { refuse(foreign: object) }
    let index = UInt32(truncatingIfNeeded: number)
    let mark = mark(index)
    if mark.value.load(ordering: .relaxed) != Self.out(index) { refuse(index) }
    mark.value.store(Self.home(index), ordering: .relaxed)
    return index
  }

  @usableFromInline @inline(never)
  func refuse(foreign object: Address) -> Never {
    misuse("push: \(object.bits) is not an object of this pool")
  }

  @usableFromInline @inline(never)
  func refuse(_ index: UInt32) -> Never {
    if mark(index).value.load(ordering: .relaxed) == Self.home(index) {
      misuse("push: object \(index) of the pool is in it already")
    }
    misuse("push: the mark before object \(index) of the pool was overwritten")
  }

  @usableFromInline @inline(never)
  func refuse(toGive index: UInt32) -> Never {
    if mark(index).value.load(ordering: .relaxed) == Self.out(index) {
      misuse("pop: object \(index) of the pool was pushed twice, and somebody has it")
    }
    misuse("pop: the mark before object \(index) of the pool was overwritten")
  }
}
