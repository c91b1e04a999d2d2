// SPDX-License-Identifier: Apache-2.0

extension PoolShape {
  init(base: Address, _ geometry: PoolCore.Geometry) {
    rings = base
    ringStride = geometry.ringBytes
    ringCount = geometry.rings
    mask = UInt64(geometry.cells - 1)
    shelf = PoolShelf(
      base: base + geometry.rings * geometry.ringBytes, words: (geometry.capacity + 63) / 64)
    objects = shelf.base + PoolShelf.byteCount(capacity: geometry.capacity)
    stride = geometry.stride
    capacity = UInt64(geometry.capacity)
    rotation = UInt64(geometry.stride.trailingZeroBitCount)
    // Newton's iteration doubles the number of right bits; an odd number has three to begin with.
    let odd = UInt64(geometry.stride) >> rotation
    var inverse = odd
    for _ in 0..<5 { inverse = inverse &* (2 &- odd &* inverse) }
    self.inverse = inverse
  }
}
