// SPDX-License-Identifier: Apache-2.0

internal import CBenchmarkPeers

/// 40 000 probes by address, what is looked up among them, and the two tables of the peers.
enum ProbeKeys {
  static let probes = 40_000
  static let sampleMask = (1 << 16) - 1
  /// Addresses as code has them.
  static let addresses: [UInt64] = {
    var addresses = (0..<UInt64(probes)).map { 0x40_0000 + $0 * 48 + $0 % 3 * 4 }
    var random = Mix(state: 1)
    addresses.shuffle(using: &random)
    return addresses
  }()
  static let few = Array(addresses.prefix(16))
  static let uniform: [UInt64] = {
    var random = Mix(state: 2)
    return (0...sampleMask).map { _ in addresses[Int(random.next() >> 33) % probes] }
  }()
  /// Zipf's distribution with the exponent 0.99.
  static let skewed: [UInt64] = {
    var sums: [Double] = []
    var sum = 0.0
    for rank in 1...probes {
      sum += 1 / power(Double(rank), 0.99)
      sums.append(sum)
    }
    var random = Mix(state: 3)
    return (0...sampleMask).map { _ in
      let wanted = Double(random.next() >> 11) / Double(1 << 53) * sum
      var (low, high) = (0, probes - 1)
      while low < high {
        let middle = (low + high) / 2
        if sums[middle] < wanted { low = middle + 1 } else { high = middle }
      }
      return addresses[low]
    }
  }()

  /// A number to a power, by a few steps of squaring and of taking roots.
  private static func power(_ base: Double, _ exponent: Double) -> Double {
    var (result, root, rest) = (1.0, base, exponent)
    for _ in 0..<50 {
      root = root.squareRoot()
      rest *= 2
      if rest >= 1 {
        result *= root
        rest -= 1
      }
    }
    return result
  }

  nonisolated(unsafe) static let chains = unsafe peer_make_chains(
    addresses, UInt64(probes))  // never written again
  nonisolated(unsafe) static let open = unsafe peer_make_open(
    addresses, UInt64(probes))  // never written again

  private struct Mix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
      state &+= 0x9e37_79b9_7f4a_7c15
      var mixed = state
      mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
      mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
      return mixed ^ mixed >> 31
    }
  }
}
