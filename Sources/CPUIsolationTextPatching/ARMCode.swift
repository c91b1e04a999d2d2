// SPDX-License-Identifier: Apache-2.0

/// The machine code of arm64, as far as sites need it.
///
///     slot + site offset - 4   mov x9, x30
///     slot + site offset       the site, 4 bytes: nop | b | bl
///                         +4   b to the original, or a load of its address and a jump
///     slot + 80                the original's address
///     slot + 96, + 144         two arms: an address, a jump to it, the adaptor
///
/// `nop`, `b` and `bl` are among the instructions that one aligned store may replace while others
/// execute them (Arm Architecture Reference Manual, "Concurrent modification and execution of
/// instructions"): there is no breakpoint, and one phase. A call at a function's first instruction
/// would lose the way back, so that is kept in x9 before it, as with the kernel's
/// `-fpatchable-function-entry=2`.
enum ARMCode: SiteCode {
  static let siteLength = 4
  static let fill: UInt8 = 0  // udf #0
  static let phases: [PatchPhase] = [.first]

  static let nop = bytes([0xd503_201f])

  static func jump(to target: UInt64, at site: UInt64) -> [UInt8]? {
    branch(0x1400_0000, to: target, at: site)
  }

  static func call(_ target: UInt64, at site: UInt64) -> [UInt8]? {
    branch(0x9400_0000, to: target, at: site)
  }

  private static func branch(_ opcode: UInt32, to target: UInt64, at site: UInt64) -> [UInt8]? {
    let distance = Int64(bitPattern: target &- site)
    guard distance % 4 == 0, distance >= -(1 << 27), distance < 1 << 27 else { return nil }
    return bytes([opcode | UInt32(truncatingIfNeeded: distance >> 2) & 0x03ff_ffff])
  }

  /// ldr x16, of the word at a distance; then br x16.
  private static func farJump(_ distance: Int) -> [UInt8] {
    bytes([load16(distance), 0xd61f_0200])
  }

  private static func load16(_ distance: Int) -> UInt32 {
    0x5800_0010 | (UInt32(truncatingIfNeeded: distance >> 2) & 0x7_ffff) << 5
  }

  static func write(_ slot: inout SlotBytes, original: UInt64) {
    let site = slot.layout.siteOffset
    slot.put(bytes([0xaa1e_03e9]), at: site - 4)  // mov x9, x30
    slot.put(nop, at: site)
    let behind = site + siteLength
    slot.put(
      jump(to: original, at: slot.address(behind)) ?? farJump(SlotLayout.original - behind),
      at: behind)
    for arm in SlotLayout.arms {
      slot.put(farJump(-SlotLayout.veneer), at: arm + SlotLayout.veneer)
      slot.put(
        bytes([
          0xa9be_07e0,  // stp x0, x1, [sp, #-32]!
          0xa901_7be9,  // stp x9, x30, [sp, #16]
          load16(-(SlotLayout.adaptor + 8)),  // ldr x16, the hook's address
          0xd63f_0200,  // blr x16
          0xa941_43e9,  // ldp x9, x16, [sp, #16]
          0xa8c2_07e0,  // ldp x0, x1, [sp], #32
          0xaa09_03fe,  // mov x30, x9
          0xd65f_0200,  // ret x16
        ]), at: arm + SlotLayout.adaptor)
    }
  }

  private static func bytes(_ words: [UInt32]) -> [UInt8] {
    words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }
  }
}
