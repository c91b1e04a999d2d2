// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import Testing

/// The built command on the machine that the tests run on, with fewer rights, and with less to see.
@Suite(.serialized) struct AuditMachineTests {
  private typealias Object = [String: Any]

  private static let isRoot = geteuid() == 0

  /// Runs a copy of the command that every user may execute.
  private func run(_ arguments: [String], under tool: [String] = []) throws -> DemoProcess {
    let copy = FileManager.default.temporaryDirectory.appendingPathComponent("audit-\(UUID())")
    defer { try? FileManager.default.removeItem(at: copy) }
    // By another process: the child of a fork in another test would have the file open for writing, and nothing
    // could execute it meanwhile.
    let install = try #require(DemoProcess.find("install"))
    let copying = try DemoProcess(
      [
        "-m", "755", DemoProcess.directory.appendingPathComponent("isolation-audit").path,
        copy.path,
      ],
      of: install)
    try #require(copying.status == 0, "\(copying.errors)")
    return try DemoProcess(arguments, of: copy.path, under: tool)
  }

  private func object(_ run: DemoProcess) throws -> Object {
    try #require(
      try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? Object, "\(run.errors)")
  }

  private func checks(_ run: DemoProcess, in list: String = "findings") throws -> Set<String> {
    Set(try #require(try object(run)[list] as? [Object]).compactMap { $0["check"] as? String })
  }

  private func text(_ path: String) -> String? {
    (try? String(contentsOfFile: path, encoding: .utf8))?
      .trimmingCharacters(in: .whitespacesAndNewlines)
  }

  /// The last processor: what the audit has to say of it, by another reader.
  private var processor: Int { Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))) - 1 }

  private func isOne(of list: String?) -> Bool {
    (list ?? "").split(separator: ",").contains { region in
      let ends = region.split(separator: "-").compactMap { Int($0) }
      return !ends.isEmpty && ends[0] <= processor && processor <= ends[ends.count - 1]
    }
  }

  /// What another reader finds wrong with the last processor.
  private var expected: [String: Bool] {
    let irq = "/proc/irq"
    let arriving = ((try? FileManager.default.contentsOfDirectory(atPath: irq)) ?? []).filter {
      let folder = "\(irq)/\($0)"
      let entries = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
      var isFolder: ObjCBool = false
      return entries.contains {
        unsafe FileManager.default.fileExists(
          atPath: "\(folder)/\($0)", isDirectory: &isFolder)
          && isFolder.boolValue
      } && isOne(of: text("\(folder)/effective_affinity_list"))
    }
    return [
      "isolated": !isOne(of: text("/sys/devices/system/cpu/isolated"))
        && !isOne(of: text("/sys/fs/cgroup/cpuset.cpus.isolated")),
      "nohz-full": !isOne(of: text("/sys/devices/system/cpu/nohz_full")),
      "device-interrupts": !arriving.isEmpty,
      "watchdog": text("/proc/sys/kernel/watchdog") == "1"
        && isOne(of: text("/proc/sys/kernel/watchdog_cpumask")),
      "workqueues": Int(
        text("/sys/devices/virtual/workqueue/cpumask")?.suffix(8) ?? "0", radix: 16
      )
      .map { $0 >> processor & 1 == 1 } ?? false,
      "real-time-limit": text("/proc/sys/kernel/sched_rt_runtime_us") != "-1",
      "guest": text("/proc/cpuinfo")?.contains(/\nflags.* hypervisor/) == true,
    ]
  }

  @Test(.enabled("with 32 processors at most") { sysconf(Int32(_SC_NPROCESSORS_ONLN)) <= 32 })
  func thisMachineIsToldAsItIs() throws {
    let run = try run(["--json", "--cpus", "\(processor)"])
    let found = try checks(run)
    for (check, isExpected) in expected {
      #expect(found.contains(check) == isExpected, "\(check)")
    }
    #expect(run.status == (found.isEmpty ? 2 : 1) || found.isEmpty && run.status == 0)
  }

  @Test(.enabled("as root") { isRoot })
  func everybodyMayLook() throws {
    let setpriv = try #require(DemoProcess.find("setpriv"))
    let rights = [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups"]
    let all = try run(["--json", "--cpus", "\(processor)"])
    let few = try run(["--json", "--cpus", "\(processor)"], under: rights)
    #expect(few.errors.isEmpty && few.status == all.status)
    // What needs more rights is said not to be visible; all else is the same.
    let lost = try checks(all).subtracting(checks(few))
    #expect(try lost.isSubset(of: checks(few, in: "not_visible")))
    for (check, isExpected) in expected { #expect(try checks(few).contains(check) == isExpected) }
  }

  /// What container runtimes do with the file.
  @Test(.enabled("as root") { isRoot })
  func hiddenInterruptsAreNotZero() throws {
    let unshare = try #require(DemoProcess.find("unshare"))
    let run = try run(
      ["--json", "--cpus", "\(processor)", "--watch", "0.1"],
      under: [
        unshare, "--mount", "/bin/sh", "-c",
        "mount --bind /dev/null /proc/interrupts && exec \"$@\"", "sh",
      ])
    let seconds = try #require(try object(run)["seconds"] as? [[Object]], "\(run.errors)")
    let row = try #require(seconds.first?.first)
    let counts = try #require(row["counts"] as? Object)
    let reasons = try #require(row["not_visible"] as? [String: String])
    for column in ["tlbShootdowns", "functionCalls", "rescheduling", "timer", "deviceInterrupts"] {
      #expect(counts[column] is NSNull && reasons[column]?.contains("hidden") == true)
    }
    #expect(row["devices"] is NSNull && row["others"] is NSNull)
    #expect(counts["stolenTime"] is Int, "this is another file")
  }

  @Test func aRunningProcessIsWatched() throws {
    let tool = try #require(DemoProcess.find("taskset"))
    let loop = Process()
    loop.executableURL = URL(fileURLWithPath: tool)
    loop.arguments = ["-c", "\(processor)", "/bin/sh", "-c", "while :; do :; done"]
    (loop.standardOutput, loop.standardError) = (FileHandle.nullDevice, FileHandle.nullDevice)
    try loop.run()
    // Not by a signal that the loop has inherited the mask against.
    defer {
      kill(loop.processIdentifier, SIGKILL)
      loop.waitUntilExit()
    }
    // Until taskset has become the shell, which is bound.
    for _ in 0..<1000 where text("/proc/\(loop.processIdentifier)/comm") != "sh" { usleep(10_000) }
    let run = try run(["--json", "--pid", "\(loop.processIdentifier)", "--watch", "1.2"])
    let whole = try object(run)
    #expect(whole["processors"] as? String == "\(processor)")
    #expect(whole["chosen_by"] as? String == "threads of the process")
    let seconds = try #require(whole["seconds"] as? [[Object]])
    #expect(seconds.count == 2, "one second, and the rest")
    for rows in seconds {
      #expect(rows.count == 1 && rows[0]["thread"] as? Int == Int(loop.processIdentifier))
      let counts = try #require(rows[0]["counts"] as? Object)
      for column in ["preemptions", "sleeps", "minorFaults", "majorFaults"] {
        #expect(counts[column] is Int, "\(column)")
      }
      #expect(counts["kicks"] is NSNull, "another process's coordinator counts them")
    }
  }
}
