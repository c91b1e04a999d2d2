// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Foundation
import Glibc
import Testing

/// The library's events as tools from outside find them in a program that uses it.
@Suite("Static probes of a program", .serialized) struct StaticProbeTests {
  private static let events = TraceEventFormat.builtIn.map(\.name)

  private func probes() throws -> [StaticProbeNotes.Probe] {
    try StaticProbeNotes(of: DemoProcess.executable).probes
      .filter { $0.provider == "cpu_isolation" }
  }

  @Test("the program has a note for each built-in event, at an instruction that does nothing")
  func notes() throws {
    let probes = try probes()
    #expect(Set(probes.map(\.name)) == Set(Self.events))
    for probe in probes {
      #if arch(x86_64)
        #expect(probe.code[0] == 0x90)
      #elseif arch(arm64)
        #expect(probe.code == [0x1f, 0x20, 0x03, 0xd5])
      #endif
      #expect(probe.arguments.allSatisfy { $0.size == 8 })
    }
    // A half word each, in the order of the events.
    let watchers = Dictionary(probes.map { ($0.name, $0.watchers) }) { first, _ in first }
    for (first, second) in zip(Self.events, Self.events.dropFirst()) {
      #expect(try #require(watchers[second]) - #require(watchers[first]) == 2)
    }
  }

  @Test("the arguments are the fields of the record, a mask by its address and its words")
  func arguments() throws {
    let probes = Dictionary(try probes().map { ($0.name, $0.arguments.count) }) { first, _ in first
    }
    for format in TraceEventFormat.builtIn {
      let fields = format.fields.dropFirst(4)
      let masks = fields.filter { $0.name == "cpumask" }.count
      #expect(probes[format.name] == fields.count + masks, "\(format.name): \(fields.map(\.name))")
    }
  }

  private static let tracefs = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"].first {
    FileManager.default.isWritableFile(atPath: "\($0)/uprobe_events")
  }

  /// The kernel counts in the demonstration, as bpftrace has it do.
  @Test(
    "a kernel's uprobe counts the deferrals of a running program",
    .enabled(if: tracefs != nil, "there is no tracefs that can be written"))
  func deferrals() throws {
    // A copy: other tests run the program itself meanwhile, and hits of a place are those of its file.
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(at: folder) }
    let program = folder.appendingPathComponent("isolation-demo").path
    try FileManager.default.copyItem(
      atPath: DemoProcess.executable.resolvingSymlinksInPath().path, toPath: program)
    let uprobes = try Uprobes(in: #require(Self.tracefs), of: program)
    defer { uprobes.remove() }
    for name in ["deferred_work_set", "deferred_work_drain"] {
      // The compiler may have made several places of one.
      for (number, probe) in try probes().filter({ $0.name == name }).enumerated() {
        try uprobes.add("\(name)_\(number)", probe)
      }
    }
    #expect(try uprobes.hits("deferred_work_set") == 0)
    let run = try DemoProcess(
      ["--mode", "deferred", "--duration", "1", "--json"], of: program)
    #expect(run.status == 0, "\(run.errors)")
    let (sets, drains) = (
      try uprobes.hits("deferred_work_set"), try uprobes.hits("deferred_work_drain")
    )
    #expect(sets > 0 && drains > 0, "\(sets) set, \(drains) run")
    // Its first argument is a CPU: none of the demonstration's has so high a number.
    let seen = try uprobes.firstArguments()
    #expect(!seen.isEmpty && seen.allSatisfy { $0 < 8192 }, "\(seen.prefix(10))")
  }
}

/// Dynamic events of the kernel at places of a program, in a trace of their own.
private struct Uprobes {
  private let home: String
  private let program: String
  private let group = "cpu_isolation_\(getpid())"
  private var instance: String { "\(home)/instances/\(group)" }

  init(in home: String, of program: String) throws {
    self.home = home
    self.program = program
    try FileManager.default.createDirectory(
      atPath: instance, withIntermediateDirectories: false)
  }

  /// Has hits of a place counted from now on, and the half word kept that tells the program.
  func add(_ name: String, _ probe: StaticProbeNotes.Probe) throws {
    let register = Self.kernelName(probe.arguments[0].register)
    let place = "0x\(String(probe.instruction, radix: 16))"
    let watchers = "0x\(String(probe.watchers, radix: 16))"
    try write(
      "p:\(group)/\(name) \(program):\(place)(\(watchers)) first=\(register):u64",
      to: "\(home)/uprobe_events")
    try write("1", to: "\(instance)/events/\(group)/\(name)/enable")
  }

  /// What the kernel calls a register: `%rdi` is `%di`, `x1` is `%x1`, and `%r8` is the same.
  private static func kernelName(_ register: String) -> String {
    let name = register.hasPrefix("%") ? String(register.dropFirst()) : register
    return "%"
      + (name.hasPrefix("r") && name.last?.isNumber == false ? String(name.dropFirst()) : name)
  }

  func hits(_ name: String) throws -> Int {
    try String(contentsOfFile: "\(home)/uprobe_profile", encoding: .utf8)
      .split(separator: "\n").map { $0.split(separator: " ") }
      .filter { $0.count == 3 && $0[1].hasPrefix(name) && $0[0] == program }
      .reduce(0) { $0 + (Int($1[2]) ?? 0) }
  }

  func firstArguments() throws -> [UInt64] {
    try String(contentsOfFile: "\(instance)/trace", encoding: .utf8).split(separator: "\n")
      .compactMap { line in
        line.range(of: "first=").flatMap { UInt64(line[$0.upperBound...].prefix { $0.isNumber }) }
      }
  }

  func remove() {
    let events = "\(instance)/events/\(group)"
    let names = (try? FileManager.default.contentsOfDirectory(atPath: events)) ?? []
    let added = names.filter { $0 != "enable" && $0 != "filter" }
    for name in added { try? write("0", to: "\(events)/\(name)/enable") }
    unsafe rmdir(instance)
    for name in added { try? write("-:\(group)/\(name)", to: "\(home)/uprobe_events") }
  }

  /// In one write, and without making the file empty: that would take away the events of others.
  private func write(_ text: String, to path: String) throws {
    let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    defer { try? file.close() }
    try file.write(contentsOf: Data(text.utf8))
  }
}
