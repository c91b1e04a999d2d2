// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

@Suite struct TraceEventFormatTests {
  /// The text is that of the kernel's file, but for the number.
  @Test func kernelEventsAreLaidOutAsInTheKernel() {
    #expect(
      TraceEventFormat.ipiSendCPUMask.description == """
        name: ipi_send_cpumask
        ID: 1002
        format:
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
        \tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
        \tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
        \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

        \tfield:__data_loc cpumask_t cpumask;\toffset:8;\tsize:4;\tsigned:0;
        \tfield:void * callsite;\toffset:16;\tsize:8;\tsigned:0;
        \tfield:void * callback;\toffset:24;\tsize:8;\tsigned:0;

        print fmt: "cpumask=%s callsite=%pS callback=%pS", __get_cpumask(cpumask), \
        REC->callsite, REC->callback

        """)
    let queue = TraceEventFormat.csdQueueCPU
    #expect(queue.fields.dropFirst(4).map(\.offset) == [8, 16, 24, 32])
    #expect(queue.printFormat.hasSuffix("csd=%p\", REC->cpu, REC->callsite, REC->func, REC->csd"))
    let function = TraceEventFormat.csdFunctionExit
    #expect(function.fields.dropFirst(4).map(\.declaration) == ["void * func", "void * csd"])
    #expect(function.printFormat == "\"func=%ps, csd=%p\", REC->func, REC->csd")
  }

  @Test func everyBuiltInEventIsFoundByItsNames() {
    #expect(TraceEventFormat.builtIn.count == 13)
    #expect(Set(TraceEventFormat.builtIn.map(\.id)).count == 13)
    for event in TraceEventFormat.builtIn {
      for name in [event.name, "\(event.system)/\(event.name)", "\(event.system):\(event.name)"] {
        #expect(TraceEventFormat.builtIn(named: name) == event)
      }
    }
    #expect(TraceEventFormat.builtIn(named: "isolation") == nil)
  }

  /// Every argument of a print format is a field, so that readers of a file can print it.
  @Test func printFormatsNameFields() {
    for event in TraceEventFormat.builtIn {
      for match in event.printFormat.matches(of: /REC->(\w+)|__get_cpumask\((\w+)\)/) {
        let name = String(match.output.1 ?? match.output.2 ?? "")
        #expect(event.field(named: name) != nil, "\(event.name): \(name)")
      }
    }
  }

  @Test func declaredFieldsStandOnTheirBoundaries() {
    let event = TraceEventFormat(
      system: "mine", name: "mixed", id: 7,
      declaring: [
        .number("a", as: UInt8.self), .number("b", as: Int16.self), .text("c", bytes: 3),
        .number("d", as: Int64.self), .number("e", as: Int8.self), .dynamicText("f"),
        .cpuMask("g"), .pointer("h"), .number("i", as: UInt32.self),
      ], printFormat: "")
    #expect(event.fields.dropFirst(4).map(\.offset) == [8, 10, 12, 16, 24, 28, 32, 40, 48])
    #expect(event.fixedSize == 52)
    #expect(
      event.fields.dropFirst(4).map(\.declaration) == [
        "unsigned char a", "short b", "char c[3]", "long d", "signed char e",
        "__data_loc char[] f", "__data_loc cpumask_t g", "void * h", "unsigned int i",
      ])
    #expect(event.field(named: "h")?.isPointer == true && event.field(named: "d")?.isSigned == true)
  }

  private static let kinds: [(String, TraceEventFormat.Field.Kind)] = [
    ("int", .number), ("void *", .number), ("u8[16]", .number), ("char", .number),
    ("char[16]", .text), ("unsigned char[6]", .text), ("__data_loc char[]", .dynamicText),
    ("__data_loc u8[]", .number), ("__data_loc cpumask_t", .cpuMask),
    ("__data_loc cpumask_t *[]", .cpuMask), ("__rel_loc char[]", .relativeText),
    ("__rel_loc cpumask_t", .number), ("char *", .textPointer), ("const char *", .textPointer),
    ("const char *const *", .number), ("cpumask_t", .number),
  ]

  /// A field's kind follows from its C type, as in the kernel.
  @Test(arguments: kinds)
  func kind(_ type: String, _ kind: TraceEventFormat.Field.Kind) {
    let field = TraceEventFormat.Field(name: "x", type: type, offset: 8, size: 8, isSigned: false)
    #expect(field.kind == kind)
    #expect(field.isLocation == type.hasPrefix("__"))
  }
}

@Suite struct SymbolTableTests {
  private let table = SymbolTable([
    .init("b", 0x200..<0x210), .init("a", 0x100..<0x180), .init("a", 0x300..<0x301),
    .init("empty", 0x400..<0x400),
  ])

  @Test func namesLeadToAddresses() {
    #expect(table["a"] == 0x100..<0x180)
    #expect(table["b"] == 0x200..<0x210)
    #expect(table["c"] == nil)
    #expect(SymbolTable()["a"] == nil)
  }

  @Test func addressesLeadToNames() {
    let names: [(UInt64, String?)] = [
      (0, nil), (0xff, nil), (0x100, "a"), (0x17f, "a"), (0x180, nil), (0x20f, "b"), (0x300, "a"),
      (0x301, nil), (0x400, nil), (.max, nil),
    ]
    for (address, name) in names { #expect(table.symbol(at: address)?.name == name) }
  }
}
