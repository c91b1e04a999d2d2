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
  // Safety: the caller argues that a value is there.
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
  @usableFromInline let address: Address

  @unsafe @inlinable @inline(__always)
  init(_ address: Address) { self.address = address }

  @inlinable @inline(__always)
  init(_ pointer: UnsafeMutablePointer<Value>) { address = unsafe Address(.init(pointer)) }

  /// The address as a number.
  @inlinable @inline(__always)
  var bits: UInt { address.bits }

  /// For functions of C, and for what begins or ends the value.
  @inlinable @inline(__always)
  var pointer: UnsafeMutablePointer<Value> {
    // Safety: the memory is this type's, as the maker has argued.
    unsafe address.pointer.assumingMemoryBound(to: Value.self)
  }

  @inlinable @inline(__always)
  var value: Value {
    // Safety: a value is there, as the maker has argued.
    unsafeAddress { unsafe UnsafePointer(pointer) }
    nonmutating unsafeMutableAddress { unsafe pointer }
  }

  /// The place that follows in a table.
  @inlinable @inline(__always)
  var next: Place { unsafe Place(pointer + 1) }

  /// Puts the first value into new memory, which is the place's, and nobody else has yet.
  func initialize(to value: consuming Value) { unsafe pointer.initialize(to: value) }
}

/// Values one after another: a trivially copyable address of the first.
///
/// An index is not checked: a table is as wide as what it is indexed with. Making one is argued as
/// for a place.
// Sendable: as Place.
@frozen @safe @usableFromInline
struct Table<Value: ~Copyable>: @unchecked Sendable {
  @usableFromInline let first: Place<Value>

  @inlinable @inline(__always)
  init(_ pointer: UnsafeMutablePointer<Value>) { first = unsafe Place(pointer) }

  @unsafe @inlinable @inline(__always)
  init(_ address: Address) { first = unsafe Place(address) }

  /// The address as a number.
  @inlinable @inline(__always)
  var bits: UInt { first.bits }

  @inlinable @inline(__always)
  func place(_ index: Int) -> Place<Value> {
    // Safety: the index is below the width of the table.
    unsafe Place(first.pointer + index)
  }

  @inlinable @inline(__always)
  subscript(index: Int) -> Value {
    // Safety: as above.
    unsafeAddress { unsafe UnsafePointer(first.pointer + index) }
    nonmutating unsafeMutableAddress { unsafe first.pointer + index }
  }

  /// How far a place of the table is from its first.
  @inlinable @inline(__always)
  func index(of place: Place<Value>) -> Int { unsafe place.pointer - first.pointer }

  /// The table that begins that much further.
  @inlinable @inline(__always)
  func dropping(_ count: Int) -> Table { unsafe Table(place(count).address) }
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
    unsafeAddress { unsafe UnsafePointer(place(index).pointer) }
    nonmutating unsafeMutableAddress { unsafe place(index).pointer }
  }
}
