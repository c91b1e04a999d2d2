// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Foundation
import Glibc
import Testing

@testable import IsolationAudit

/// The built command on made-up machines.
@Suite struct AuditTests {
  private typealias Object = [String: Any]

  private static var executable: String {
    DemoProcess.directory.appendingPathComponent("isolation-audit").path
  }

  private func run(_ arguments: [String], under tool: [String] = []) throws -> DemoProcess {
    try DemoProcess(arguments, of: Self.executable, under: tool)
  }

  private func object(_ run: DemoProcess) throws -> Object {
    try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? Object)
  }

  private func checks(_ run: DemoProcess, in list: String = "findings") throws -> [String] {
    let list = try #require(try object(run)[list] as? [Object])
    return list.compactMap { $0["check"] as? String }
  }

  // MARK: - Made-up machines

  @Test(arguments: [[], ["--pid", "42"], ["--cpus", "4-7"], ["--pid", "42", "--cpus", "5-6"]])
  func aWellSetUpMachineYieldsNothing(_ arguments: [String]) throws {
    let tree = try AuditTree()
    let text = try run(arguments + ["--root", tree.root.path])
    #expect(text.output.hasSuffix("\nnothing found\n"), "\(text.output)")
    #expect(text.status == 0 && text.errors.isEmpty)
    let json = try run(arguments + ["--json", "--root", tree.root.path])
    #expect(json.status == 0)
    #expect(try checks(json).isEmpty && checks(json, in: "not_visible").isEmpty)
  }

  @Test func theProcessorsAreThoseThatWereMeant() throws {
    let tree = try AuditTree()
    func processors(_ arguments: [String]) throws -> String? {
      try object(run(arguments + ["--json", "--root", tree.root.path]))["processors"] as? String
    }
    #expect(try processors([]) == "4-7", "those that the kernel calls isolated")
    #expect(try processors(["--pid", "42"]) == "4-5", "those that threads are bound to")
    #expect(try processors(["--cpus", "7"]) == "7", "those that are named")
    try tree.write("\n", to: "/sys/devices/system/cpu/isolated")
    try tree.write("(null)\n", to: "/sys/devices/system/cpu/nohz_full")
    #expect(try processors([]) == "1-7", "all but the first")
  }

  /// One thing that is wrong, and the one check that has to find it.
  private static let flaws: [(path: String, text: String?, check: String)] = [
    ("/sys/devices/system/cpu/isolated", "4-6\n", "isolated"),
    ("/sys/devices/system/cpu/nohz_full", "5-7\n", "nohz-full rcu-callbacks"),
    ("/sys/devices/system/cpu/nohz_full", nil, "nohz-full rcu-callbacks"),
    ("/sys/devices/system/cpu/cpu6/topology/thread_siblings_list", "2,6\n", "hyperthreads"),
    ("/sys/devices/system/cpu/cpu4/cpuidle/state0/latency", "170\n", "idle-states"),
    ("/sys/devices/system/cpu/cpu5/cpufreq/scaling_governor", "schedutil\n", "frequency"),
    ("/proc/irq/24/effective_affinity_list", "7\n", "device-interrupts"),
    ("/proc/irq/24/smp_affinity_list", "0-4\n", "movable-interrupts"),
    ("/proc/irq/default_smp_affinity", "ffffffff\n", "new-interrupts"),
    ("/sys/class/net/eth0/queues/rx-0/rps_cpus", "10\n", "receive-steering"),
    ("/sys/devices/system/machinecheck/machinecheck7/ignore_ce", "0\n", "machine-checks"),
    ("/proc/sys/kernel/watchdog_cpumask", "0-4\n", "watchdog"),
    ("/sys/devices/virtual/workqueue/cpumask", "ff\n", "workqueues"),
    ("/sys/devices/virtual/workqueue/writeback/cpumask", "80\n", "workqueues"),
    ("/proc/sys/kernel/sched_rt_runtime_us", "950000\n", "real-time-limit"),
    ("/sys/kernel/debug/sched/fair_server/cpu4/runtime", "50000000\n", "fair-server"),
    ("/proc/sys/vm/stat_interval", "1\n", "memory-statistics"),
    ("/sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n", "clock"),
    ("/proc/cpuinfo", "flags : tsc hypervisor\n", "guest"),
    ("/sys/hypervisor/type", "xen\n", "guest"),
    ("/sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n", "huge-pages"),
    ("/sys/kernel/mm/ksm/run", "1\n", "same-page-merging"),
    ("/proc/sys/kernel/numa_balancing", "1\n", "numa-balancing"),
    ("/proc/sys/vm/compaction_proactiveness", "20\n", "compaction"),
    ("/proc/swaps", "Filename\n/dev/sda2 partition 100 0 -2\n", "swap"),
    (
      "/proc/42/task/42/status",
      "Cpus_allowed_list:\t0-4\nvoluntary_ctxt_switches:\t1\nnonvoluntary_ctxt_switches:\t1\n",
      "other-threads"
    ),
    (
      "/proc/42/task/44/status",
      "Cpus_allowed_list:\t4\nvoluntary_ctxt_switches:\t1\nnonvoluntary_ctxt_switches:\t1\n",
      "shared-processor"
    ),
    ("/sys/fs/cgroup/service/cpu.max", "150000 100000\n", "processor-quota"),
    ("/proc/43/timerslack_ns", "50000\n", "timer-slack"),
    ("/proc/42/status", "VmLck:\t       0 kB\n", "locked-memory"),
  ]

  @Test(arguments: flaws.indices)
  func everyFlawIsFoundByItsCheckAlone(_ index: Int) throws {
    let flaw = Self.flaws[index]
    let tree = try AuditTree()
    if let text = flaw.text {
      try tree.write(text, to: flaw.path)
    } else {
      try tree.remove(flaw.path)
    }
    let arguments = ["--cpus", "4-7", "--pid", "42", "--root", tree.root.path]
    let json = try run(arguments + ["--json"])
    #expect(json.status == 1)
    #expect(try checks(json).joined(separator: " ") == flaw.check)
    let finding = try #require((try object(json)["findings"] as? [Object])?.first)
    let read = try #require(finding["read"] as? [[String: String]])
    #expect(read.contains { $0["path"] == flaw.path }, "\(read)")
    let changes = try #require(finding["change"] as? [[String: String]])
    #expect(!changes.isEmpty && changes.allSatisfy { $0["what"]?.isEmpty == false })
    #expect(["certain", "likely", "possible"].contains(finding["certainty"] as? String))
    let text = try run(arguments)
    #expect(text.status == 1 && text.output.contains("  read    \(flaw.path): "))
  }

  @Test func aPartitionOfTheControlGroupsIsolatesAsWell() throws {
    let tree = try AuditTree()
    try tree.write("\n", to: "/sys/devices/system/cpu/isolated")
    try tree.write("4-7\n", to: "/sys/fs/cgroup/cpuset.cpus.isolated")
    #expect(try run(["--root", tree.root.path]).status == 0)
    try tree.write("4-5\n", to: "/sys/fs/cgroup/cpuset.cpus.isolated")
    #expect(try checks(run(["--json", "--root", tree.root.path])) == ["isolated"])
  }

  @Test func callbacksMayBeOffloadedWithoutNoHz() throws {
    let tree = try AuditTree()
    try tree.write("4-6\n", to: "/sys/devices/system/cpu/nohz_full")
    try tree.write("ro rcu_nocbs=7-N\n", to: "/proc/cmdline")
    #expect(try checks(run(["--json", "--root", tree.root.path])) == ["nohz-full"])
    try tree.write("ro rcu_nocbs\n", to: "/proc/cmdline")
    #expect(try checks(run(["--json", "--root", tree.root.path])) == ["nohz-full"])
  }

  @Test func aQuotaOfTheOlderHierarchyIsFound() throws {
    let tree = try AuditTree()
    try tree.write("4:cpu,cpuacct:/a/b\n", to: "/proc/42/cgroup")
    try tree.write("-1\n", to: "/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us")
    let arguments = ["--pid", "42", "--json", "--root", tree.root.path]
    #expect(try run(arguments).status == 0)
    try tree.write("50000\n", to: "/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us")
    #expect(try checks(run(arguments)) == ["processor-quota"])
  }

  @Test func noProcessorForTheRestIsAFlaw() throws {
    let tree = try AuditTree()
    try tree.write("4-7\n", to: "/sys/devices/system/cpu/online")
    let json = try run(["--cpus", "4-7", "--json", "--root", tree.root.path])
    #expect(try checks(json) == ["housekeeping"])
  }

  /// What is not there, or is no text of the kernel, is not taken for good.
  @Test(
    arguments: [
      ("/sys/devices/system/cpu/isolated", nil, "isolated"),
      ("/sys/devices/system/cpu/nohz_full", "4-\n", "nohz-full rcu-callbacks"),
      ("/proc/cmdline", nil, "rcu-callbacks"),
      ("/proc/cmdline", "rcu_nocbs=x\n", "rcu-callbacks"),
      ("/proc/irq", nil, "device-interrupts new-interrupts"),
      ("/proc/irq/24/effective_affinity_list", "zero\n", "device-interrupts"),
      ("/proc/irq/default_smp_affinity", "0g\n", "new-interrupts"),
      ("/proc/sys/kernel/watchdog_cpumask", "0-8193\n", "watchdog"),
      ("/proc/sys/kernel/sched_rt_runtime_us", "lots\n", "real-time-limit"),
      ("/sys/kernel/debug", nil, "fair-server"),
      ("/proc/cpuinfo", nil, "guest"),
      ("/sys/devices/virtual/workqueue/cpumask", "ffffffff0\n", "workqueues"),
      ("/sys/devices/system/cpu/cpu4/topology", nil, "hyperthreads"),
    ] as [(String, String?, String)])
  func whatCannotBeReadIsSaid(_ path: String, _ text: String?, _ check: String) throws {
    let tree = try AuditTree()
    if let text { try tree.write(text, to: path) } else { try tree.remove(path) }
    let json = try run(["--cpus", "4-7", "--json", "--root", tree.root.path])
    #expect(try checks(json).isEmpty)
    #expect(try checks(json, in: "not_visible").joined(separator: " ") == check)
    #expect(json.status == 2)
    let reasons = try #require(try object(json)["not_visible"] as? [[String: String]])
    #expect(reasons.allSatisfy { $0["reason"]?.contains("/") == true }, "\(reasons)")
  }

  @Test func masksAreReadFromWordsOf32Bits() {
    #expect(CPUMask(hexWords: "0f") == [0, 1, 2, 3])
    #expect(CPUMask(hexWords: "1,00000000,80000000") == [31, 64])
    #expect(CPUMask(hexWords: "0") == [])
    for text in ["", "g", "1,,2", "123456789", "1,"] {
      #expect(CPUMask(hexWords: text) == nil, "\(text)")
    }
  }

  // MARK: - Command line

  @Test(arguments: [
    (["--cpus"], "--cpus needs a value"), (["--cpus", "3-1"], "--cpus: CPU list region \"3-1\""),
    (["--cpus", ""], "--cpus needs at least one processor"),
    (["--cpus", "8000"], "--cpus: 8000 is not in use; there are 0"),
    (["--pid", "0"], "--pid needs the number of a process, not \"0\""),
    (["--pid", "self"], "not \"self\""), (["--watch", "-1"], "--watch needs a number of seconds"),
    (["--watch", "nan"], "not \"nan\""), (["--root", ""], "--root needs a folder"),
    (["--fast"], "unknown argument \"--fast\""), (["7"], "unknown argument \"7\""),
  ])
  func mistakesAreUsageErrors(_ arguments: [String], _ complaint: String) throws {
    let outcome = try run(arguments)
    #expect(outcome.status == 64 && outcome.output.isEmpty)
    #expect(outcome.errors.contains(complaint), "\(outcome.errors)")
  }

  @Test func whatIsNotThereIsNoInput() throws {
    let tree = try AuditTree()
    for (arguments, complaint) in [
      (["--root", tree.root.path + "/nowhere"], "is no folder that can be read"),
      (["--root", tree.root.path, "--pid", "77"], "there is no process 77"),
      (["--root", tree.root.path + "/proc"], "online names no processor"),
    ] {
      let outcome = try run(arguments)
      #expect(outcome.status == 66 && outcome.output.isEmpty)
      #expect(outcome.errors.contains(complaint), "\(outcome.errors)")
    }
  }

  @Test func helpIsPrinted() throws {
    let help = try run(["--help"])
    #expect(help.status == 0 && help.errors.isEmpty && help.output == AuditOptions.help)
  }
}
