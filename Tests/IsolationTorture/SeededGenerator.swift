// SPDX-License-Identifier: Apache-2.0

/// SplitMix64 (G. Steele, D. Lea, C. Flood, 2014): the same seed gives the same choices.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  /// Each thread of a run draws from a stream of its own.
  init(seed: UInt64, stream: Int) {
    state =
      seed &* 0x9e37_79b9_7f4a_7c15 &+ UInt64(truncatingIfNeeded: stream) &* 0xd1b5_4a32_d192_ed03
  }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
    return mixed ^ mixed >> 31
  }

  /// A number below `bound`.
  mutating func below(_ bound: Int) -> Int { Int(truncatingIfNeeded: next() >> 33) % bound }

  /// True once in `chances`.
  mutating func oneIn(_ chances: Int) -> Bool { below(chances) == 0 }
}
