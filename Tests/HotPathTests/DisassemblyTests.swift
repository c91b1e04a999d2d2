// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

/// Looks at the machine code of the probes in the release build of `isolation-bench`: nothing that
/// the hot paths call may belong to the Swift runtime.
@Suite struct DisassemblyTests {
  private static let probes = [
    "cpuisolation_probe_entry", "cpuisolation_probe_exit", "cpuisolation_probe_send",
    "cpuisolation_probe_record", "cpuisolation_probe_key",
    "cpuisolation_probe_pop", "cpuisolation_probe_push",
    "cpuisolation_probe_translation",
  ]

  /// What a probe may call: the library's own never-inlined slow halves, by their mangled names.
  private static let allowed = [
    "$s12CPUIsolation16OwnerTransitionsO",
    "$s12CPUIsolation8WorkTypeV8SendPathV11deliverSlow",
    "$s12CPUIsolation8WorkTypeV8SendPathV8conclude",
    recording,
    "$s12CPUIsolation10TracepointV6refuse",
    "$s12CPUIsolation14PatchDiagnosisO",
    "$s12CPUIsolation8PoolCoreV",
    "$s12CPUIsolation8PoolRingV12popContended",
    "$s12CPUIsolation8PoolRingV14refuseStranger",
    "$s12CPUIsolation12AddressSpaceC17LocalTranslationsV",
    // A record is made up on the stack, which the compiler guards.
    "__stack_chk_fail",
  ]

  private static let recording = "$s12CPUIsolation15CoordinatorCoreV6record__5words"

  @Test(
    .enabled(if: Disassembly.tool != nil, "objdump and llvm-objdump are absent"),
    .enabled(if: Command.exists("swift"), "the swift command is absent"),
    .timeLimit(.minutes(15)))
  func probesCallNothingOfTheRuntime() throws {
    let disassembly = try Disassembly(of: releaseBuild())
    for probe in Self.probes {
      let body = disassembly.functions[probe] ?? []
      #expect(body.count > 5, "the release build has no \(probe)")
      for target in disassembly.calls(in: probe) {
        #expect(
          Self.allowed.contains(where: target.hasPrefix), "\(probe) calls \(target)")
      }
    }
    // An event that is on is recorded without the runtime too, filter and all.
    let record = try #require(disassembly.functions.keys.first { $0.hasPrefix(Self.recording) })
    let reached = disassembly.reached(from: record)
    #expect(reached.count > 2)
    for target in reached where target.hasPrefix("swift_") {
      Issue.record("recording an event calls \(target)")
    }
    #if arch(x86_64)
      // What was looked at are the paths themselves, not calls of them.
      for probe in ["entry", "send", "pop"].map({ "cpuisolation_probe_\($0)" }) {
        let body = disassembly.functions[probe] ?? []
        #expect(
          body.contains { $0.hasPrefix("lock") || $0.hasPrefix("xchg") },
          "\(probe) has no locked instruction")
      }
      // A key is one load of the copy, of an address that is a sum, and one branch when it is off.
      let key = disassembly.functions["cpuisolation_probe_key"] ?? []
      #expect(key.filter { $0.hasPrefix("mov") && $0.contains(",1),") }.count == 1, "\(key)")
      #expect(key.prefix { !$0.hasPrefix("j") }.contains { $0.hasPrefix("or ") }, "\(key)")
      #expect(!key.contains { $0.hasPrefix("lock") }, "\(key)")
    #endif
  }

  /// Builds the program in a directory of its own: the one that the tests were built in is locked,
  /// or is a debug build.
  private func releaseBuild() throws -> String {
    let root = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined()
    let scratch = root + "/.build/disassembly"
    let build = Command.run(
      "cd '\(root)' && env -u CPUISOLATION_THREAD_SANITIZER"
        + " swift build -c release --product isolation-bench --scratch-path '\(scratch)' 2>&1")
    try #require(build.status == 0, "\(build.output)")
    return scratch + "/release/isolation-bench"
  }

  // MARK: The reader itself

  private static let sample = """
    0000000000001000 <clean>:
        1000:\tpush   %rbp
        1001:\tlock xadd %rax,(%rdi)
        1005:\tlea    0x10(%rip),%r9        # 2000 <swift_retain+0x4>
        1009:\tje     1020 <clean+0x20>
        100b:\tjmp    3000 <$s12CPUIsolation16OwnerTransitionsO9enterSlow>

    0000000000001100 <dirty>:
        1100:\tcall   2000 <swift_retain>
        1105:\tcall   2010 <swift_release@plt>
        110a:\tcall   *0x8(%rax)
        110d:\tjne    2020 <swift_beginAccess@plt>

    0000000000001200 <arm>:
        1200:\tbl\t2000 <swift_retain>
        1204:\tb.ne\t1200 <arm>
        1208:\tblr\tx8
        120c:\tcbz\tx0, 1200 <arm>
        1210:\ttbz\tw0, #3, 1210 <arm+0x10>
        1214:\tldr\tx0, [x1]

    """

  @Test func callsAreFound() {
    let disassembly = Disassembly(text: Self.sample)
    #expect(Set(disassembly.functions.keys) == ["clean", "dirty", "arm"])
    #expect(disassembly.calls(in: "clean") == ["$s12CPUIsolation16OwnerTransitionsO9enterSlow"])
    #expect(
      disassembly.calls(in: "dirty")
        == [
          "swift_retain", "swift_release@plt", "an address: call *0x8(%rax)",
          "swift_beginAccess@plt",
        ])
    #expect(disassembly.calls(in: "arm") == ["swift_retain", "an address: blr x8"])
    #expect(disassembly.functions["missing"] == nil)
  }
}

/// What `objdump -d` prints, by function.
private struct Disassembly {
  /// The instructions of each function, without addresses.
  private(set) var functions: [String: [String]] = [:]

  struct Failed: Error {
    let output: String
  }

  /// The disassembler that is installed here.
  static let tool = ["objdump", "llvm-objdump"].first(where: Command.exists)

  init(of program: String) throws {
    let result = Command.run(
      "\(Self.tool ?? "objdump") -d --no-show-raw-insn '\(program)' 2>&1")
    guard result.status == 0 else { throw Failed(output: String(result.output.prefix(1000))) }
    self.init(text: result.output)
  }

  init(text: String) {
    var name: String? = nil
    for line in text.split(separator: "\n") {
      if line.hasSuffix(">:"), let start = line.firstIndex(of: "<") {
        name = String(line[line.index(after: start)...].dropLast(2))
        functions[name!] = []
      } else if let name, let tab = line.firstIndex(of: "\t") {
        functions[name]?.append(String(line[line.index(after: tab)...]))
      }
    }
  }

  /// The functions that `function` calls or jumps to, and what it calls through an address.
  func calls(in function: String) -> [String] {
    (functions[function] ?? []).compactMap { instruction in
      let words = instruction.split(whereSeparator: \.isWhitespace).map(String.init)
      guard let mnemonic = words.first, Self.branches(mnemonic) else { return nil }
      let code = instruction.split(separator: "# ")[0]  // a comment, not an operand such as #3
      if words.contains(where: { $0.hasPrefix("*") }) || ["blr", "br"].contains(mnemonic) {
        return "an address: " + words.joined(separator: " ")
      }
      guard let start = code.firstIndex(of: "<"), let end = code.lastIndex(of: ">") else {
        return "an address: " + words.joined(separator: " ")
      }
      let target = String(code[code.index(after: start)..<end])
      return target == function || target.hasPrefix(function + "+") ? nil : target
    }
  }

  /// The functions that `function` can come to, however many calls away.
  func reached(from function: String) -> Set<String> {
    var reached: Set<String> = []
    var rest = [function]
    while let next = rest.popLast() {
      for target in calls(in: next) where reached.insert(target).inserted { rest.append(target) }
    }
    return reached
  }

  /// Whether the instruction can leave the function: calls and jumps of x86-64 and arm64.
  private static func branches(_ mnemonic: String) -> Bool {
    mnemonic.hasPrefix("call") || mnemonic.hasPrefix("j") || mnemonic.hasPrefix("b.")
      || ["b", "bl", "blr", "br", "cbz", "cbnz", "tbz", "tbnz"].contains(mnemonic)
  }
}

/// A shell command.
private enum Command {
  static func run(_ script: String) -> (status: Int32, output: String) {
    guard let pipe = unsafe popen(script, "r") else { return (127, "") }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = unsafe fread(&chunk, 1, chunk.count, pipe), count > 0 {
      bytes += chunk[..<count]
    }
    let status = unsafe pclose(pipe)
    return (status >> 8 & 0xff, String(decoding: bytes, as: UTF8.self))
  }

  static func exists(_ name: String) -> Bool { run("command -v \(name)").status == 0 }
}
