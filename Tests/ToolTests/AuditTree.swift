// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// A folder of made-up files of a machine with eight processors, of which 4 to 7 are isolated as well
/// as can be, and of process 42, whose threads are bound to them.
final class AuditTree {
  let root: URL

  init() throws {
    root = FileManager.default.temporaryDirectory.appendingPathComponent("audit-\(UUID())")
    for (path, text) in Self.wellSetUp { try write(text, to: path) }
    for processor in 4...7 {
      let folder = "/sys/devices/system/cpu/cpu\(processor)"
      try write("\(processor)\n", to: "\(folder)/topology/thread_siblings_list")
      try write("performance\n", to: "\(folder)/cpufreq/scaling_governor")
      try write("0\n", to: "\(folder)/cpuidle/state0/disable")
      try write("0\n", to: "\(folder)/cpuidle/state0/latency")
      try write("1\n", to: "\(folder)/cpuidle/state1/disable")
      try write("170\n", to: "\(folder)/cpuidle/state1/latency")
      try write("0\n", to: "/sys/kernel/debug/sched/fair_server/cpu\(processor)/runtime")
      let machineCheck = "/sys/devices/system/machinecheck/machinecheck\(processor)"
      try write("300\n", to: "\(machineCheck)/check_interval")
      try write("1\n", to: "\(machineCheck)/ignore_ce")
    }
    try writeInterrupt(24, to: "0-3", effective: "2", name: "nvme0q1")
    // One without a handler may have any affinity.
    try write("0-7\n", to: "/proc/irq/9/smp_affinity_list")
    try writeThread(42, allowed: "0-3")
    try writeThread(43, allowed: "4")
    try writeThread(44, allowed: "5")
  }

  deinit { try? FileManager.default.removeItem(at: root) }

  func write(_ text: String, to path: String) throws {
    let file = root.appendingPathComponent(path)
    try FileManager.default.createDirectory(
      at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(text.utf8).write(to: file)
  }

  func remove(_ path: String) throws {
    try FileManager.default.removeItem(at: root.appendingPathComponent(path))
  }

  func writeInterrupt(_ number: Int, to list: String, effective: String, name: String) throws {
    let folder = "/proc/irq/\(number)"
    try write("\(list)\n", to: "\(folder)/smp_affinity_list")
    try write("\(effective)\n", to: "\(folder)/effective_affinity_list")
    try FileManager.default.createDirectory(
      at: root.appendingPathComponent("\(folder)/\(name)"), withIntermediateDirectories: true)
  }

  /// A thread of process 42, whose name has what ends a name in a careless reader.
  func writeThread(_ id: Int, allowed: String, slack: Int = 1) throws {
    let folder = "/proc/42/task/\(id)"
    let rest = (4...52).map { $0 == 10 ? "17" : $0 == 12 ? "3" : $0 == 41 ? "0" : "7" }
    try write("\(id) (a) b (\(id)) S \(rest.joined(separator: " "))\n", to: "\(folder)/stat")
    try write(
      "Name:\ta\nCpus_allowed_list:\t\(allowed)\nvoluntary_ctxt_switches:\t5\n"
        + "nonvoluntary_ctxt_switches:\t6\n", to: "\(folder)/status")
    try write("900 800 7\n", to: "\(folder)/schedstat")
    try write("\(slack)\n", to: "/proc/\(id)/timerslack_ns")
  }

  private static let wellSetUp: [(String, String)] = [
    ("/sys/devices/system/cpu/online", "0-7\n"),
    ("/sys/devices/system/cpu/isolated", "4-7\n"),
    ("/sys/devices/system/cpu/nohz_full", "4-7\n"),
    ("/proc/cmdline", "ro isolcpus=domain,managed_irq,4-7 nohz_full=4-7 mce=ignore_ce\n"),
    ("/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu tsc constant_tsc\n"),
    ("/proc/irq/default_smp_affinity", "0f\n"),
    ("/proc/sys/kernel/watchdog", "1\n"),
    ("/proc/sys/kernel/watchdog_cpumask", "0-3\n"),
    ("/proc/sys/kernel/sched_rt_runtime_us", "-1\n"),
    ("/proc/sys/kernel/sched_rt_period_us", "1000000\n"),
    ("/proc/sys/kernel/osrelease", "6.12.1-rt\n"),
    ("/proc/sys/kernel/numa_balancing", "0\n"),
    ("/proc/sys/vm/stat_interval", "10\n"),
    ("/proc/sys/vm/compaction_proactiveness", "0\n"),
    ("/proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n"),
    ("/sys/devices/virtual/workqueue/cpumask", "0f\n"),
    ("/sys/devices/virtual/workqueue/writeback/cpumask", "0f\n"),
    ("/sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
    ("/sys/devices/system/node/online", "0-1\n"),
    ("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
    ("/sys/kernel/mm/ksm/run", "0\n"),
    ("/sys/class/net/eth0/queues/rx-0/rps_cpus", "00000000,0000000f\n"),
    ("/proc/42/cgroup", "0::/service/loops\n"),
    ("/proc/42/status", "Name:\ta\nVmLck:\t    4096 kB\n"),
    ("/sys/fs/cgroup/service/loops/cpu.max", "max 100000\n"),
    ("/sys/fs/cgroup/service/cpu.max", "max 100000\n"),
  ]
}
