// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

extension Audit {
  /// What the kernel itself does on every processor, and what runs below it.
  static let kernelChecks: [Check] = [
    ("watchdog", { $0.lookAtWatchdog() }),
    ("workqueues", { $0.lookAtWorkqueues() }),
    ("real-time-limit", { $0.lookAtRealTimeLimit() }),
    ("fair-server", { $0.lookAtFairServer() }),
    ("memory-statistics", { $0.lookAtMemoryStatistics() }),
    ("clock", { $0.lookAtClock() }),
    ("guest", { $0.lookAtHypervisor() }),
  ]

  private mutating func lookAtWatchdog() {
    let folder = "/proc/sys/kernel"
    // A kernel without the watchdogs has neither file.
    guard let isOn = number("\(folder)/watchdog", ifPresent: true), isOn != 0,
      let mask = list("\(folder)/watchdog_cpumask", ifPresent: true)
    else { return }
    let watched = mask.intersection(processors)
    if watched.isEmpty { return }
    find(
      "the kernel's lockup watchdog runs on \(Self.place(watched))", .certain,
      [
        Finding.Evidence(path: "\(folder)/watchdog", value: "\(isOn)"),
        Finding.Evidence(path: "\(folder)/watchdog_cpumask", value: "\(mask)"),
      ],
      because: "Every few seconds a timer interrupts the loop, and a kernel thread of the highest "
        + "priority takes the processor from it.",
      [
        (.sysctl, "kernel.watchdog_cpumask=\(others)"), (.sysctl, "or kernel.watchdog=0"),
        (.kernelParameter, "nosoftlockup nmi_watchdog=0, or nowatchdog"),
      ])
  }

  private mutating func lookAtWorkqueues() {
    let folder = "/sys/devices/virtual/workqueue"
    var evidence: [Finding.Evidence] = []
    for path in ["\(folder)/cpumask"]
      + namesIfPresent(in: folder).map({ "\(folder)/\($0)/cpumask" })
    {
      // Files stand beside the folders of the queues that can be set one by one.
      guard
        let mask = path == "\(folder)/cpumask" ? words(path) : words(path, ifPresent: true)
      else { continue }
      if !mask.intersection(processors).isEmpty {
        evidence.append(Finding.Evidence(path: path, value: "\(mask)"))
      }
    }
    if evidence.isEmpty { return }
    find(
      "unbound workqueues may run on \(place)", .likely, evidence,
      because:
        "Kernel threads that write files back, free memory or serve drivers are placed there "
        + "and take the processor from the loop.",
      [
        (.sysfs, "echo \(otherWords) > \(folder)/cpumask"),
        (.kernelParameter, "workqueue.unbound_cpus=\(others)"),
        (.cgroup, "cpuset.cpus.partition=isolated does it as well"),
        (.tuned, "profile cpu-partitioning with isolated_cores=\(processors)"),
      ])
  }

  private mutating func lookAtRealTimeLimit() {
    let path = "/proc/sys/kernel/sched_rt_runtime_us"
    guard let runtime = number(path), runtime >= 0,
      let period = number("/proc/sys/kernel/sched_rt_period_us"), period > 0, runtime < period
    else { return }
    let share = runtime * 1000 / period
    let percent = share % 10 == 0 ? "\(share / 10)" : "\(share / 10).\(share % 10)"
    find(
      "SCHED_FIFO and SCHED_RR are limited to \(percent) % of the time", .likely,
      [
        Finding.Evidence(path: path, value: "\(runtime)"),
        Finding.Evidence(path: "/proc/sys/kernel/sched_rt_period_us", value: "\(period)"),
      ],
      because:
        "A real-time loop that never sleeps is stopped for \((period - runtime) / 1000) ms in "
        + "every \(period / 1000) ms while an ordinary thread waits for its processor, and on older "
        + "kernels whenever it has used its share. Ordinary threads do not meet this.",
      [
        (.sysctl, "kernel.sched_rt_runtime_us=-1"),
        (.program, "isolate the processor, and leave the loop in the default class"),
      ])
  }

  private mutating func lookAtFairServer() {
    guard let release = value("/proc/sys/kernel/osrelease") else { return }
    let numbers = release.split { !$0.isNumber }.compactMap { Int($0) }
    // The first kernel that has it is 6.12.
    guard numbers.count >= 2, (numbers[0], numbers[1]) >= (6, 12) else { return }
    var evidence: [Finding.Evidence] = []
    for processor in processors {
      let path = "/sys/kernel/debug/sched/fair_server/cpu\(processor)/runtime"
      guard let runtime = number(path) else { return }
      if runtime > 0 { evidence.append(Finding.Evidence(path: path, value: "\(runtime) ns")) }
    }
    if evidence.isEmpty { return }
    find(
      "an ordinary thread gets a share of \(place) beside a real-time loop", .possible, evidence,
      because: "A thread of the default class that waits there is run for so long in every second, "
        + "whatever the priority of the loop, and kernel.sched_rt_runtime_us=-1 does not change it.",
      [
        (.sysfs, "echo 0 > /sys/kernel/debug/sched/fair_server/cpuN/runtime"),
        (.program, "isolate the processor, so that no other thread waits there"),
      ])
  }

  /// What tuned's profiles set: longer pauses than the kernel's one second.
  private static let patientInterval = 10

  private mutating func lookAtMemoryStatistics() {
    let path = "/proc/sys/vm/stat_interval"
    guard let interval = number(path), interval < Self.patientInterval else { return }
    find(
      "memory statistics are folded every \(interval) s", .possible,
      [Finding.Evidence(path: path, value: "\(interval)")],
      because: "A kernel thread on each processor that has changed its counters takes some "
        + "microseconds. A loop that makes no system call and meets no fault changes none.",
      [
        (.sysctl, "vm.stat_interval=120"), (.tuned, "profile cpu-partitioning: 10 s"),
      ])
  }

  /// The clocks that cost a system call, or more, at every look.
  private static let slowClocks: Set = ["hpet", "acpi_pm", "jiffies", "refined-jiffies", "pit"]

  private mutating func lookAtClock() {
    let path = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
    guard let clock = value(path), Self.slowClocks.contains(clock) else { return }
    find(
      "the system's clock is \(clock)", .certain, [Finding.Evidence(path: path, value: clock)],
      because: "Every look at the time is a system call and a slow access to a device: up to some "
        + "microseconds.",
      [
        (.sysfs, "echo tsc > \(path)"), (.kernelParameter, "tsc=reliable clocksource=tsc"),
      ])
  }

  private mutating func lookAtHypervisor() {
    let path = "/proc/cpuinfo"
    guard let text = value(path) else { return }
    let flags = text.split(separator: "\n").first { $0.hasPrefix("flags") }?.split(separator: " ")
    var evidence: [Finding.Evidence] = []
    if flags?.contains("hypervisor") == true {
      evidence.append(Finding.Evidence(path: path, value: "flags: hypervisor"))
    }
    // Where the processor does not say so itself.
    for path in ["/sys/hypervisor/type", "/sys/firmware/devicetree/base/hypervisor/compatible"] {
      if let type = valueIfPresent(path), !type.isEmpty {
        evidence.append(Finding.Evidence(path: path, value: type))
      }
    }
    if evidence.isEmpty { return }
    find(
      "this is a guest: a hypervisor runs its processors when it likes", .certain, evidence,
      because: "The host's interrupts, its tick and its other threads take time from the loop that "
        + "no counter of this machine shows. What else is found here matters as well, but does not "
        + "end that.",
      [
        (.host, "bind each processor of the guest to one of the host, and isolate those"),
        (.program, "or run on the host, or on a machine without one"),
      ])
  }
}
