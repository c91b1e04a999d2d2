// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import Testing

/// The built command, from outside. One run at a time: the runs have threads that spin.
@Suite(.serialized) struct DemoRunTests {
  private typealias Object = [String: Any]

  private static let deferrable = ["sync_core", "flush_tlb_all", "flush_tlb_range", "nohz_kick"]
  private static let fields: Set = [
    "sent", "ipis", "deferred", "queued", "merged", "executed", "pending", "gone",
  ]

  private func object(_ run: DemoProcess) throws -> Object {
    try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? Object)
  }

  private func modes(_ run: DemoProcess) throws -> [Object] {
    try #require(try object(run)["modes"] as? [Object])
  }

  private func callbacks(_ mode: Object) throws -> [String: [String: Int]] {
    try #require(mode["callbacks"] as? [String: [String: Int]])
  }

  @Test(.needsQueuedSignals) func bothModes() throws {
    let run = try DemoProcess(["--json", "--duration", "3"])
    #expect(run.status == 0)
    #expect(run.errors.isEmpty)
    let whole = try object(run)
    #expect(Set(whole.keys) == ["modes", "bad_case"])
    let badCase = try #require(whole["bad_case"] as? [String: Double])
    #expect(Set(badCase.keys) == ["ns_per_round_trip_idle", "ns_per_round_trip_storm"])
    #expect(badCase.values.allSatisfy { $0 > 0 })
    let modes = try modes(run)
    #expect(modes.map { $0["mode"] as? String } == ["immediate", "deferred"])
    for mode in modes {
      #expect(
        Set(mode.keys) == [
          "mode", "broken", "callbacks", "ipis_total", "lost", "violations", "first_violation",
          "checked", "patching", "oldest_pending_us", "noise", "transitions", "trace", "kernel",
          "quiet_memory_refused",
        ])
      #expect(mode["lost"] as? Int == 0)
      #expect(mode["kernel"] is NSNull)
      #expect(mode["violations"] as? Int == 0)
      #expect(mode["first_violation"] is NSNull && mode["broken"] is NSNull)
      let checked = try #require(mode["checked"] as? [String: Int])
      #expect(Set(checked.keys) == ["calls", "pages", "handles", "keys", "timers"])
      for (what, count) in checked where what != "calls" { #expect(count > 3, "\(what)") }
      // Where the system refuses executable memory, the demonstration says so, and does without.
      let patching = try #require(mode["patching"] as? String)
      #expect(patching == "done" ? checked["calls"]! > 3 : patching.hasPrefix("refused: "))
      #expect(try #require(mode["transitions"] as? Int) > 0)
      let noise = try #require(mode["noise"] as? [String: Double])
      #expect(
        Set(noise.keys) == [
          "runtime_us", "noise_us", "percent_available", "max_single_us", "samples",
        ])
      #expect(try #require(noise["runtime_us"]) > 100_000)
      #expect((0...100).contains(try #require(noise["percent_available"])))
      let callbacks = try callbacks(mode)
      #expect(Set(callbacks.keys) == Set(Self.deferrable + ["plain_call"]))
      for counts in callbacks.values {
        #expect(Set(counts.keys) == Self.fields)
        #expect(
          counts["sent"] == counts["executed"]! + counts["merged"]! + counts["pending"]!
            + counts["gone"]!)
        #expect(counts["sent"]! > 0)
      }
      #expect(mode["ipis_total"] as? Int == callbacks.values.reduce(0) { $0 + $1["ipis"]! })
    }
    #expect(try #require(modes[0]["ipis_total"] as? Int) > 3)
    let deferred = try callbacks(modes[1])
    for name in Self.deferrable {
      #expect(deferred[name]?["ipis"] == 0)
      #expect(try #require(deferred[name]?["executed"]) > 0)
    }
    #expect(try #require(deferred["sync_core"]?["merged"]) > 0, "bursts have to be coalesced")
  }

  @Test func tablesOfBothModes() throws {
    let run = try DemoProcess(["--duration", "0.3"])
    #expect(run.status == 0)
    #expect(run.errors.isEmpty)
    for text in [
      "immediate: IPIs to isolated CPUs", "deferred: IPIs to isolated CPUs",
      "      0 callback=sync_core\n", "lost: 0", "violations: 0", "judged: ", "oldest pending:",
      "% available",
      "ns per round trip, nothing pending",
    ] {
      #expect(run.output.contains(text), "no \"\(text)\"")
    }
  }

  @Test(arguments: ["immediate", "deferred"])
  func oneMode(mode: String) throws {
    let run = try DemoProcess(["--json", "--duration", "0.2", "--mode", mode])
    #expect(run.status == 0)
    #expect(try modes(run).map { $0["mode"] as? String } == [mode])
  }

  @Test func moreCPUsThanProcessors() throws {
    let run = try DemoProcess(
      ["--json", "--duration", "0.5", "--housekeeping", "0,2", "--isolated", "1,4-9:1/5"])
    #expect(run.status == 0)
    for mode in try modes(run) {
      #expect(mode["lost"] as? Int == 0)
      for counts in try callbacks(mode).values {
        #expect(
          counts["sent"] == counts["executed"]! + counts["merged"]! + counts["pending"]!
            + counts["gone"]!)
      }
    }
    #expect(run.errors.contains("processors"))
  }

  @Test(arguments: [
    (["--nonsense"], "--nonsense"), (["--duration", "x"], "--duration"),
    (["--isolated", "1-"], "--isolated"), (["--mode"], "--mode"),
    (["--break", "everything"], "--break"),
  ])
  func badOptions(arguments: [String], option: String) throws {
    let run = try DemoProcess(arguments)
    #expect(run.status == 64)
    #expect(run.output.isEmpty)
    #expect(run.errors.contains(option))
  }

  @Test func help() throws {
    let run = try DemoProcess(["--help"])
    #expect(run.status == 0)
    #expect(run.output.contains("--housekeeping LIST"))
    #expect(run.errors.isEmpty)
  }

  @Test func progressIsForTerminals() throws {
    let (master, slave) = try #require(pseudoterminal())
    defer { close(master) }
    let terminal = FileHandle(fileDescriptor: slave, closeOnDealloc: true)
    let run = try DemoProcess(["--json", "--duration", "0.2"], terminal: terminal)
    #expect(run.status == 0)
    // One read: a terminal has no end, and this much has been written by now.
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = unsafe read(master, &buffer, buffer.count)
    let shown = String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
    #expect(shown.hasPrefix("\rimmediate: "))
    #expect(!shown.contains("\n"))
    #expect(try modes(run).count == 2)
  }

  /// Both ends of a new terminal. By hand: the C library's functions for it are hidden from Swift.
  private func pseudoterminal() -> (master: Int32, slave: Int32)? {
    let master = unsafe open("/dev/ptmx", O_RDWR | O_NOCTTY)
    // TIOCSPTLCK and TIOCGPTN, as Linux encodes them.
    var locked: Int32 = 0
    var number: Int32 = 0
    guard master >= 0, unsafe ioctl(master, 0x4004_5431, &locked) == 0,
      unsafe ioctl(master, 0x8004_5430, &number) == 0
    else { return nil }
    let slave = unsafe open("/dev/pts/\(number)", O_RDWR | O_NOCTTY)
    return slave < 0 ? nil : (master, slave)
  }

  /// Whether processes can be traced here: not everywhere that the tool is installed.
  private static var strace: String? {
    guard let strace = DemoProcess.find("strace"),
      let run = try? DemoProcess(["--help"], under: [strace, "-f", "-c", "-e", "trace=tgkill"]),
      run.status == 0
    else { return nil }
    return strace
  }

  @Test(
    .needsQueuedSignals, .enabled("strace is not here, or may not trace") { strace != nil })
  func ipisAreSystemCalls() throws {
    let strace = try #require(Self.strace)
    let run = try DemoProcess(
      ["--json", "--duration", "0.5", "--mode", "immediate"],
      under: [strace, "-f", "-c", "-e", "trace=tgkill"])
    #expect(run.status == 0)
    let mode = try #require(try modes(run).first)
    // % time, seconds, µs per call, calls, errors if there were any, name
    let line = run.errors.split(separator: "\n").first { $0.hasSuffix(" tgkill") }
    let calls = try #require(line).split(separator: " ")[3]
    #expect(mode["ipis_total"] as? Int == Int(calls))
    #expect(mode["lost"] as? Int == 0)
  }
}
