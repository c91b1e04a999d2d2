// SPDX-License-Identifier: Apache-2.0

/// The addresses that slots were seen to hold: open addressing in memory that is kept from scan to
/// scan.
@safe
struct HazardAddresses: ~Copyable {
  private var table: Table<UInt>
  private var mask: Int
  private(set) var count = 0

  init() {
    mask = 127
    table = Self.allocate(mask + 1)
  }

  // Safety: the table is this value's own.
  deinit { unsafe table.first.pointer.deallocate() }

  private static func allocate(_ count: Int) -> Table<UInt> {
    let first = UnsafeMutablePointer<UInt>.allocate(capacity: count)
    unsafe first.initialize(repeating: 0, count: count)
    // Safety: there are as many numbers as the mask lets an index be.
    return unsafe Table(first)
  }

  mutating func removeAll() {
    unsafe table.first.pointer.update(repeating: 0, count: mask + 1)
    count = 0
  }

  mutating func insert(_ address: UInt) {
    if count * 2 > mask { grow() }
    let index = place(of: address)
    if table[index] == 0 {
      table[index] = address
      count += 1
    }
  }

  func contains(_ address: UInt) -> Bool { table[place(of: address)] == address }

  /// Where the address stands, or where it would go.
  private func place(of address: UInt) -> Int {
    // Fibonacci hashing: Knuth, The Art of Computer Programming 3, 6.4.
    var index = Int(truncatingIfNeeded: (address &* 0x9e37_79b9_7f4a_7c15) >> 20) & mask
    while table[index] != 0 && table[index] != address { index = (index + 1) & mask }
    return index
  }

  private mutating func grow() {
    let old = table
    let capacity = mask + 1
    mask = capacity * 2 - 1
    table = Self.allocate(mask + 1)
    count = 0
    for index in 0..<capacity where old[index] != 0 { insert(old[index]) }
    // Safety: nothing looks at the old table any more.
    unsafe old.first.pointer.deallocate()
  }
}
