// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolationTextPatching

extension TextPatchingTests {
  /// The machine code, byte by byte, as an assembler makes it. Both architectures on either.
  @Suite struct Code {
    private func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
      bytes.map { byte in
        let digits = String(byte, radix: 16)
        return digits.count == 1 ? "0" + digits : digits
      }.joined(separator: " ")
    }

    private func slot<Architecture: SiteCode>(
      _: Architecture.Type, siteOffset: Int, original: UInt64
    ) -> [UInt8] {
      var slot = SlotBytes(
        base: 0x1000_0000, layout: SlotLayout(siteOffset: siteOffset), fill: Architecture.fill)
      slot.put(address: original, at: SlotLayout.original)
      Architecture.write(&slot, original: original)
      return slot.bytes
    }

    @Test func x86Branches() {
      #expect(hexadecimal(X86Code.nop) == "0f 1f 44 00 00")
      #expect(X86Code.jump(to: 0x1005, at: 0x1000).map(hexadecimal) == "e9 00 00 00 00")
      #expect(X86Code.jump(to: 0x1000, at: 0x1000).map(hexadecimal) == "e9 fb ff ff ff")
      #expect(X86Code.call(0x1234_5678, at: 0x1000).map(hexadecimal) == "e8 73 46 34 12")
      // The last address within reach in each direction, and the first beyond.
      let site: UInt64 = 0x2_0000_0000
      #expect(X86Code.jump(to: site + 5 + 0x7fff_ffff, at: site) != nil)
      #expect(X86Code.jump(to: site + 5 + 0x8000_0000, at: site) == nil)
      #expect(X86Code.jump(to: site + 5 - 0x8000_0000, at: site) != nil)
      #expect(X86Code.jump(to: site + 4 - 0x8000_0000, at: site) == nil)
    }

    @Test func x86Slot() {
      let near = slot(X86Code.self, siteOffset: 0, original: 0x1100_0000)
      // nop; jmp 0x11000000
      #expect(hexadecimal(near[..<10]) == "0f 1f 44 00 00 e9 f6 ff ff 00")
      #expect(near[10..<80].allSatisfy { $0 == 0xcc })
      #expect(hexadecimal(near[80..<88]) == "00 00 00 11 00 00 00 00")
      for arm in [96, 144] {
        // jmp *-14(%rip): the arm's address
        #expect(hexadecimal(near[arm + 8..<arm + 14]) == "ff 25 f2 ff ff ff")
        // push %rdi; push %rsi; call *-24(%rip); pop %rsi; pop %rdi; ret
        #expect(hexadecimal(near[arm + 16..<arm + 27]) == "57 56 ff 15 e8 ff ff ff 5e 5f c3")
      }
      // call the adaptor; jmp after the site
      #expect(hexadecimal(near[128..<138]) == "e8 eb ff ff ff e9 7b ff ff ff")
      #expect(hexadecimal(near[176..<186]) == "e8 eb ff ff ff e9 4b ff ff ff")

      let far = slot(X86Code.self, siteOffset: 61, original: 0x7fff_0000_1234)
      // nop; jmp *8(%rip): the original's address
      #expect(hexadecimal(far[61..<72]) == "0f 1f 44 00 00 ff 25 08 00 00 00")
      #expect(hexadecimal(far[80..<88]) == "34 12 00 00 ff 7f 00 00")
      #expect(hexadecimal(far[133..<138]) == "e9 b8 ff ff ff")
    }

    @Test func armBranches() {
      #expect(hexadecimal(ARMCode.nop) == "1f 20 03 d5")
      #expect(ARMCode.jump(to: 0x1010, at: 0x1000).map(hexadecimal) == "04 00 00 14")
      #expect(ARMCode.jump(to: 0x0ff0, at: 0x1000).map(hexadecimal) == "fc ff ff 17")
      #expect(ARMCode.call(0x1010, at: 0x1000).map(hexadecimal) == "04 00 00 94")
      let site: UInt64 = 0x2_0000_0000
      #expect(ARMCode.jump(to: site + (1 << 27) - 4, at: site) != nil)
      #expect(ARMCode.jump(to: site + (1 << 27), at: site) == nil)
      #expect(ARMCode.jump(to: site - (1 << 27), at: site) != nil)
      #expect(ARMCode.jump(to: site - (1 << 27) - 4, at: site) == nil)
    }

    @Test func armSlot() {
      let near = slot(ARMCode.self, siteOffset: 4, original: 0x1100_0000)
      // mov x9, x30; nop; b 0x11000000
      #expect(hexadecimal(near[..<12]) == "e9 03 1e aa 1f 20 03 d5 fe ff 3f 14")
      let far = slot(ARMCode.self, siteOffset: 4, original: 0x7fff_0000_1234)
      // mov x9, x30; nop; ldr x16, .+72; br x16
      #expect(hexadecimal(far[..<16]) == "e9 03 1e aa 1f 20 03 d5 50 02 00 58 00 02 1f d6")
      for arm in [96, 144] {
        // ldr x16, .-8; br x16
        #expect(hexadecimal(far[arm + 8..<arm + 16]) == "d0 ff ff 58 00 02 1f d6")
        // stp x0, x1, [sp, #-32]!; stp x9, x30, [sp, #16]; ldr x16, .-24; blr x16;
        // ldp x9, x16, [sp, #16]; ldp x0, x1, [sp], #32; mov x30, x9; ret x16
        #expect(
          hexadecimal(far[arm + 16..<arm + 48])
            == "e0 07 be a9 e9 7b 01 a9 50 ff ff 58 00 02 3f d6"
            + " e9 43 41 a9 e0 07 c2 a8 fe 03 09 aa 00 02 5f d6")
      }
    }

    /// A slot's pieces do not overlap, wherever the site is.
    @Test func piecesFit() {
      for offset in 0...64 {
        let bytes = slot(X86Code.self, siteOffset: offset, original: 0x7fff_0000_1234)
        #expect(bytes.count == SlotLayout.stride)
        #expect(bytes[(offset + 11)..<80].allSatisfy { $0 == 0xcc })
        #expect(bytes[192...].allSatisfy { $0 == 0xcc })
      }
    }
  }
}
