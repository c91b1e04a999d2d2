// SPDX-License-Identifier: Apache-2.0

/// An address of memory that is the library's: as good as a number, until a place, a table or a line
/// is taken there, which has to be argued.
// Sendable: a number.
@frozen @safe @usableFromInline
struct Address: Hashable, @unchecked Sendable {
  @usableFromInline let pointer: UnsafeMutableRawPointer

  @inlinable @inline(__always)
  init(_ pointer: UnsafeMutableRawPointer) { unsafe self.pointer = unsafe pointer }

  /// The address that was kept as a number; nil for 0.
  @inlinable @inline(__always)
  init?(at number: UInt) {
    guard let pointer = unsafe UnsafeMutableRawPointer(bitPattern: number) else { return nil }
    unsafe self.pointer = unsafe pointer
  }

  /// The address as a number.
  @inlinable @inline(__always)
  var bits: UInt { unsafe UInt(bitPattern: pointer) }

  @inlinable @inline(__always)
  static func + (address: Address, bytes: Int) -> Address {
    unsafe Address(address.pointer + bytes)
  }

  @inlinable @inline(__always)
  static func == (left: Address, right: Address) -> Bool { unsafe left.pointer == right.pointer }

  @inlinable
  func hash(into hasher: inout Hasher) { hasher.combine(bits) }

  /// What stands that many bytes further, for an addressor.
  @unsafe @inlinable @inline(__always)
  func line<Value: ~Copyable>(_: Value.Type, at offset: Int) -> UnsafePointer<Value> {
    unsafe UnsafePointer((pointer + offset).assumingMemoryBound(to: Value.self))
  }
}

/// Where a value stays: a trivially copyable address, whose value is borrowed, never moved.
///
/// Making one is what has to be argued: a value of this type is there for as long as the place is
/// used. The library's places are in mapped memory that outlives those who use them.
// Sendable: an address. What it leads to is shared words, or belongs to the one who uses it.
@frozen @safe @usableFromInline
struct Place<Value: ~Copyable>: @unchecked Sendable {
  @usableFromInline let address: UnsafeMutablePointer<Value>

  @inlinable @inline(__always)
  init(_ address: UnsafeMutablePointer<Value>) { unsafe self.address = unsafe address }

  @unsafe @inlinable @inline(__always)
  init(_ address: Address) {
    unsafe self.address = unsafe address.pointer.assumingMemoryBound(to: Value.self)
  }

  /// Where an address leads that was kept as a number; nil for 0.
  @inlinable @inline(__always)
  init?(at address: UInt) {
    guard let address = unsafe UnsafeMutablePointer<Value>(bitPattern: address) else { return nil }
    unsafe self.address = unsafe address
  }

  /// The address as a number.
  @inlinable @inline(__always)
  var bits: UInt { unsafe UInt(bitPattern: address) }

  @inlinable @inline(__always)
  var value: Value {
    // Safety: a value is there, as the maker has argued.
    unsafeAddress { unsafe UnsafePointer(address) }
    nonmutating unsafeMutableAddress { unsafe address }
  }

  /// The place that follows in a table.
  @inlinable @inline(__always)
  var next: Place {
    // Safety: as the subscript of the table.
    unsafe Place(address + 1)
  }

  /// Puts the first value into new memory.
  func initialize(to value: consuming Value) {
    // Safety: the memory is the place's, and nobody else has it yet.
    unsafe address.initialize(to: value)
  }
}

/// Values one after another: a trivially copyable address of the first.
///
/// An index is not checked: a table is as wide as what it is indexed with. Making one is argued as
/// for a place.
// Sendable: as Place.
@frozen @safe @usableFromInline
struct Table<Value: ~Copyable>: @unchecked Sendable {
  @usableFromInline let first: UnsafeMutablePointer<Value>

  @inlinable @inline(__always)
  init(_ first: UnsafeMutablePointer<Value>) { unsafe self.first = unsafe first }

  @unsafe @inlinable @inline(__always)
  init(_ address: Address) {
    unsafe first = unsafe address.pointer.assumingMemoryBound(to: Value.self)
  }

  /// Where an address leads that was kept as a number; nil for 0.
  @inlinable @inline(__always)
  init?(at address: UInt) {
    guard let first = unsafe UnsafeMutablePointer<Value>(bitPattern: address) else { return nil }
    unsafe self.first = unsafe first
  }

  /// The address as a number.
  @inlinable @inline(__always)
  var bits: UInt { unsafe UInt(bitPattern: first) }

  @inlinable @inline(__always)
  subscript(index: Int) -> Value {
    // Safety: the index is below the width of the table.
    unsafeAddress { unsafe UnsafePointer(first + index) }
    nonmutating unsafeMutableAddress { unsafe first + index }
  }

  @inlinable @inline(__always)
  func place(_ index: Int) -> Place<Value> {
    // Safety: as the subscript.
    unsafe Place(first + index)
  }

  @inlinable @inline(__always)
  func index(of place: Place<Value>) -> Int { unsafe place.address - first }

  /// The table that begins that much further.
  @inlinable @inline(__always)
  func dropping(_ count: Int) -> Table {
    // Safety: as the subscript.
    unsafe Table(first + count)
  }
}

extension Table<SharedWord> {
  /// Puts the words of a new table in their first state.
  func initialize(count: Int) {
    for index in 0..<count { place(index).initialize(to: SharedWord(0)) }
  }
}

/// Values that have two cache lines each: a trivially copyable address of the first.
// Sendable: as Place.
@frozen @safe @usableFromInline
struct LineTable<Value: ~Copyable>: @unchecked Sendable {
  @usableFromInline let first: Address

  @unsafe @inlinable @inline(__always)
  init(_ first: Address) { self.first = first }

  @inlinable @inline(__always)
  func place(_ index: UInt64) -> Place<Value> {
    // Safety: the index is below the width of the table.
    unsafe Place(first + Int(truncatingIfNeeded: index &<< 7))
  }

  @inlinable @inline(__always)
  subscript(index: UInt64) -> Value {
    // Safety: as above.
    unsafeAddress { unsafe UnsafePointer(place(index).address) }
    nonmutating unsafeMutableAddress { unsafe place(index).address }
  }
}
