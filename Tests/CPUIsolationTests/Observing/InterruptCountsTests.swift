// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

/// The table of `/proc/interrupts`, of several machines.
@Suite struct InterruptCountsTests {
  static let x86 = """
               CPU0       CPU2
      0:          9          0  IR-IO-APIC   2-edge      timer
     16:          1         70  IR-IO-APIC  16-fasteoi   ehci_hcd:usb1, i801_smbus
     24:          0 4294967290  PCI-MSI 512000-edge      nvme0q1
    NMI:          3          4   Non-maskable interrupts
    LOC:        100        200   Local timer interrupts
    RES:         30         40   Rescheduling interrupts
    CAL:         50         60   Function call interrupts
    TLB:         20         10   TLB shootdowns
    ERR:          7
    MIS:          0

    """

  static let arm64 = """
               CPU0       CPU1
     11:       1000       2000     GICv3  27 Level     arch_timer
    IPI0:        30         40       Rescheduling interrupts
    IPI1:        50         60       Function call interrupts
    IPI2:         0          0       CPU stop interrupts

    """

  @Test func columnsRowsAndTitles() throws {
    let table = try #require(InterruptCounts(Array(Self.x86.utf8)))
    #expect(table.processors == [0, 2])
    #expect(table.column(of: 2) == 1 && table.column(of: 1) == nil)
    #expect(table.rows.count == 10)
    let local = try #require(table.row("LOC", titled: "Local timer interrupts"))
    #expect(local.counts == [100, 200] && local.title == "Local timer interrupts")
    #expect(!local.isDevice)
    let disk = try #require(table.rows.first { $0.label == "24" })
    #expect(disk.isDevice && disk.deviceName == "nvme0q1" && disk.counts == [0, 4_294_967_290])
    #expect(table.rows[1].deviceName == "ehci_hcd:usb1, i801_smbus", "two share the line")
    #expect(table.row("ERR", titled: "")?.counts == [7], "one count for the machine")
  }

  @Test func columnsThatAreNotAskedForAreNotKept() throws {
    let table = try #require(InterruptCounts(Array(Self.x86.utf8), processors: [2, 5]))
    #expect(table.processors == [2] && table.column(of: 2) == 0)
    #expect(table.row("LOC", titled: "")?.counts == [200])
    #expect(table.row("ERR", titled: "")?.counts == [7])
    #expect(table.rows.filter { !$0.isPerProcessor }.map(\.label) == ["ERR", "MIS"])
    #expect(table.rows.filter(\.isDevice).map(\.label) == ["16", "24"], "0 never came there")
    let first = try #require(InterruptCounts(Array(Self.x86.utf8), processors: [0]))
    #expect(first.row("TLB", titled: "")?.counts == [20])
    #expect(first.rows.filter(\.isDevice).map(\.label) == ["0", "16"])
  }

  @Test func otherArchitecturesAreReadByTheirTitles() throws {
    let table = try #require(InterruptCounts(Array(Self.arm64.utf8)))
    #expect(table.row("CAL", titled: "Function call interrupts")?.label == "IPI1")
    #expect(table.row("TLB", titled: "TLB shootdowns") == nil)
    #expect(table.rows[0].deviceName == "arch_timer")
  }

  @Test(arguments: ["", "\n", "  \n1: 2\n", "CPUx CPU1\n", "CPU0 garbage\n 0: 1 x\n"])
  func whatHasNoProcessorsIsNoTable(_ text: String) {
    #expect(InterruptCounts(Array(text.utf8)) == nil)
  }

  @Test func linesThatAreNoneAreLeftOut() throws {
    let text = "CPU0\nno colon\nX: y\n 5:\n 6: 1\n 7: 0 idle\nY: 0\n 8: 99999999999999999999\n"
    let table = try #require(InterruptCounts(Array(text.utf8)))
    #expect(table.rows.map(\.label) == ["6", "Y"], "a device that never came is left out")
    #expect(table.rows[0].deviceName == "6", "nothing else is known of it")
  }

  @Test(
    arguments: [
      (5, 3, 2), (3, 3, 0), (2, 3, 0), (4, 4_294_967_290, 10), (0, 3_000_000_000, 1_294_967_296),
      (1 << 33, 1 << 32, 1 << 32), (1, 1 << 33, 0),
    ] as [(UInt64, UInt64, UInt64)])
  func countsOf32BitsComeRoundAndNeverGoBack(_ now: UInt64, _ before: UInt64, _ expected: UInt64) {
    #expect(InterferenceLedger.Counts.difference(now, before) == expected)
  }
}
