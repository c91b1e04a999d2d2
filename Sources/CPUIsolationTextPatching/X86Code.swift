// SPDX-License-Identifier: Apache-2.0

/// The machine code of x86-64, as far as sites need it.
///
///     slot + site offset   the site, 5 bytes: nop | jmp rel32 | call rel32
///                     +5   jmp to the original
///     slot + 80            the original's address
///     slot + 96, + 144     two arms:
///                     +0   an address
///                     +8   jmp to it, for a target that the site cannot reach
///                    +16   the adaptor: calls it between two saved arguments
///                    +32   call the adaptor, then jmp after the site
///
/// The site is the function's first instruction, as with the kernel's `-mfentry`: a jump there
/// finds the stack and the arguments as the caller left them, and nothing below the stack pointer
/// is live. A patch changes the five bytes and the address of the arm that is not in use.
/// Everything else is constant, so that every return address on a stack stays good whatever is
/// patched.
enum X86Code: SiteCode {
  static let siteLength = 5
  static let fill: UInt8 = 0xcc  // int3
  static let breakpoint: UInt8 = 0xcc
  static let phases: [PatchPhase] = [.breakpoint, .tail, .first]

  /// The nop of five bytes of Intel's table 4-12: one instruction, or a thread could be between
  /// two.
  static let nop: [UInt8] = [0x0f, 0x1f, 0x44, 0x00, 0x00]

  static func jump(to target: UInt64, at site: UInt64) -> [UInt8]? {
    branch(0xe9, to: target, at: site)
  }

  static func call(_ target: UInt64, at site: UInt64) -> [UInt8]? {
    branch(0xe8, to: target, at: site)
  }

  private static func branch(_ opcode: UInt8, to target: UInt64, at site: UInt64) -> [UInt8]? {
    let distance = Int64(bitPattern: target &- (site &+ 5))
    guard let reach = Int32(exactly: distance) else { return nil }
    return [opcode] + bytes(reach)
  }

  static func write(_ slot: inout SlotBytes, original: UInt64) {
    let behind = slot.layout.siteOffset + siteLength
    slot.put(nop, at: slot.layout.siteOffset)
    if let direct = jump(to: original, at: slot.address(behind)) {
      slot.put(direct, at: behind)
    } else {
      // jmp *distance(%rip)
      slot.put([0xff, 0x25] + bytes(Int32(SlotLayout.original - behind - 6)), at: behind)
    }
    for arm in SlotLayout.arms {
      let adaptor = arm + SlotLayout.adaptor
      let copy = arm + SlotLayout.copy
      // jmp *-14(%rip)
      slot.put([0xff, 0x25] + bytes(Int32(-14)), at: arm + SlotLayout.veneer)
      // push %rdi; push %rsi; call *-24(%rip); pop %rsi; pop %rdi; ret. Three pushes below the
      // site's caller: the stack is aligned where the hook begins.
      slot.put(
        [0x57, 0x56, 0xff, 0x15] + bytes(Int32(-24)) + [0x5e, 0x5f, 0xc3], at: adaptor)
      slot.put(call(slot.address(adaptor), at: slot.address(copy))!, at: copy)
      slot.put(jump(to: slot.address(behind), at: slot.address(copy + 5))!, at: copy + 5)
    }
  }

  private static func bytes(_ value: Int32) -> [UInt8] {
    let bits = UInt32(bitPattern: value)
    return (0..<4).map { UInt8(truncatingIfNeeded: bits >> (8 * $0)) }
  }
}
