// SPDX-License-Identifier: Apache-2.0

internal import CPlatform

/// Processors of the machine, by number: what threads are bound to and kept off.
struct ProcessorSet: Hashable, Sendable, Sequence {
  /// The numbers that a set can hold: what the C library's type holds.
  static let capacity = 1024

  private var words: [UInt64] = Array(repeating: 0, count: capacity / 64)

  init() {}

  init(_ processors: some Sequence<Int32>) {
    for processor in processors { insert(processor) }
  }

  /// The processors that the process was given, whatever the calling thread is bound to.
  static var given: ProcessorSet {
    var mask = cpi_affinity()
    return unsafe cpi_given_processors(&mask) == 0 ? ProcessorSet(mask) : ProcessorSet()
  }

  /// Where a thread of this process may run; nil if there is no such thread.
  static func allowed(forThread id: Int32) -> ProcessorSet? {
    var mask = cpi_affinity()
    return unsafe cpi_get_affinity_of(id, &mask) == 0 ? ProcessorSet(mask) : nil
  }

  private init(_ mask: cpi_affinity) {
    // Safety: the structure is this many words and nothing else.
    unsafe withUnsafeBytes(of: mask) { bytes in
      for index in words.indices {
        unsafe words[index] = bytes.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self)
      }
    }
  }

  /// The C library's form of it.
  var mask: cpi_affinity {
    var mask = cpi_affinity()
    // Safety: as above.
    unsafe withUnsafeMutableBytes(of: &mask) { bytes in
      for index in words.indices {
        unsafe bytes.storeBytes(of: words[index], toByteOffset: index * 8, as: UInt64.self)
      }
    }
    return mask
  }

  /// Numbers that no set can hold are left out.
  mutating func insert(_ processor: Int32) {
    guard processor >= 0, processor < Self.capacity else { return }
    words[Int(processor) / 64] |= 1 << UInt64(processor % 64)
  }

  mutating func formUnion(_ other: ProcessorSet) {
    for index in words.indices { words[index] |= other.words[index] }
  }

  func contains(_ processor: Int32) -> Bool {
    processor >= 0 && processor < Self.capacity
      && words[Int(processor) / 64] >> UInt64(processor % 64) & 1 != 0
  }

  func makeIterator() -> some IteratorProtocol<Int32> {
    (0..<Int32(Self.capacity)).lazy.filter { self.contains($0) }.makeIterator()
  }
}
