// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Asks the kernel which pages of the process were ever written, before they are read.
///
/// A read of a page that was never written gives it the kernel's page of zeroes. Its first write then
/// has to flush that translation everywhere: an interrupt for each isolated processor, which the
/// question spares.
struct ResidentPages: ~Copyable {
  private let size = UInt(max(4096, sysconf(Int32(_SC_PAGESIZE))))
  private let map: Int32
  private var last: (page: UInt, isResident: Bool)? = nil

  init() { map = unsafe open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC) }

  deinit { if map >= 0 { close(map) } }

  /// Whether the page of an address has contents; one that has none is all zeroes.
  mutating func contain(_ address: UInt) -> Bool {
    let page = address / size
    if let last, last.page == page { return last.isResident }
    var entry: UInt64 = 0
    // Safety: eight bytes go into a word of eight.
    let count = unsafe pread(map, &entry, 8, Int(page) * 8)
    // Bit 63: in memory; 62: swapped out. Where the file is hidden, reading is right as well.
    let isResident = count != 8 || entry >> 62 != 0
    last = (page, isResident)
    return isResident
  }
}
