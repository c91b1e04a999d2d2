// SPDX-License-Identifier: Apache-2.0

internal import CPlatform

/// Where things stand in a cache of such values.
///
///     offset    0  CacheUse     looked at by flushers
///             128  CacheOwner   generation and counts
///             256  sets         four tags, then four values: a line for values of 8 bytes
@usableFromInline
enum TranslationCacheLayout<Value: BitwiseCopyable> {
  @inlinable static var ways: Int { 4 }

  @inlinable @inline(__always)
  static var valuesOffset: Int {
    let alignment = MemoryLayout<Value>.alignment
    return (32 + alignment - 1) / alignment * alignment
  }

  @inlinable @inline(__always)
  static var setBytes: Int {
    let bytes = valuesOffset + 4 * MemoryLayout<Value>.stride
    return (bytes + 15) / 16 * 16
  }

  static func requireRoom(forEntries entries: Int, _ file: StaticString, _ line: UInt) {
    if entries < 1 || entries > 1 << 30 {
      misuse(
        "a translation cache cannot have \(entries) entries: it takes 1 to 1073741824", file, line)
    }
  }

  static func sets(entries: Int) -> Int {
    Swift.max(2, (entries.roundedUpToPowerOfTwo / 4))
  }

  static func byteCount(entries: Int) -> Int {
    (256 + sets(entries: entries) * setBytes + cacheLineStride - 1) / cacheLineStride
      * cacheLineStride
  }
}

/// The mapping of a cache, which its owner keeps as an address.
@usableFromInline
enum CacheMemory {
  static func map(_ byteCount: Int) throws(IsolationError) -> (
    address: Address, byteCount: Int
  ) {
    // Safety: new memory, until the cache ends.
    guard let address = unsafe cpi_map_zeroed(byteCount) else {
      throw IsolationError(.outOfMemory, errno: 12, "cannot map \(byteCount) bytes")
    }
    return unsafe (Address(address), byteCount)
  }

  @usableFromInline
  static func unmap(_ address: Address, _ byteCount: Int) {
    // Safety: the cache has ended.
    unsafe cpi_unmap(address.pointer, byteCount)
  }
}
