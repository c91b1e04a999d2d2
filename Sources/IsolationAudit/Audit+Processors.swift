// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

extension Audit {
  /// What the kernel was told about the processors, and how they are built.
  static let processorChecks: [Check] = [
    ("isolated", { $0.lookAtIsolation() }),
    ("nohz-full", { $0.lookAtTick() }),
    ("rcu-callbacks", { $0.lookAtCallbacks() }),
    ("housekeeping", { $0.lookAtHousekeeping() }),
    ("hyperthreads", { $0.lookAtSiblings() }),
    ("idle-states", { $0.lookAtIdleStates() }),
    ("frequency", { $0.lookAtFrequency() }),
  ]

  private static let folder = "/sys/devices/system/cpu"

  /// What all ways of isolation have in common, for a mask.
  private static func isolation(_ mask: CPUMask, _ parameters: String) -> [(Finding.Means, String)]
  {
    [
      (.kernelParameter, parameters),
      (.tuned, "profile cpu-partitioning or realtime with isolated_cores=\(mask)"),
    ]
  }

  private mutating func lookAtIsolation() {
    let path = "\(Self.folder)/isolated"
    guard let isolated = list(path) else { return }
    let partitions = "/sys/fs/cgroup/cpuset.cpus.isolated"
    let partitioned = list(partitions, ifPresent: true)
    let rest = processors.subtracting(isolated).subtracting(partitioned ?? [])
    if rest.isEmpty { return }
    var evidence = [Finding.Evidence(path: path, value: "\(isolated)")]
    if let partitioned {
      evidence.append(Finding.Evidence(path: partitions, value: "\(partitioned)"))
    }
    find(
      "\(Self.named(rest)) not isolated: the scheduler places any thread there", .certain, evidence,
      because: "A thread that is placed there, or balanced there, takes whole time slices of "
        + "milliseconds from the loop.",
      Self.isolation(rest, "isolcpus=domain,managed_irq,\(rest)") + [
        (
          .cgroup,
          "a cgroup of its own with cpuset.cpus=\(rest) and cpuset.cpus.partition=isolated"
        ),
        (.systemd, "CPUAffinity= without \(rest) in system.conf, for everything else"),
      ])
  }

  private mutating func lookAtTick() {
    let path = "\(Self.folder)/nohz_full"
    let missesBefore = unseen.count
    let list = list(path, ifPresent: true)
    if unseen.count > missesBefore { return }
    let rest = processors.subtracting(list ?? [])
    if rest.isEmpty { return }
    find(
      list == nil
        ? "the kernel is built without nohz_full: the tick never stops"
        : "\(Self.named(rest)) not in nohz_full: the tick does not stop", .certain,
      [Finding.Evidence(path: path, value: list.map { "\($0)" } ?? "does not exist")],
      because: "100 to 1000 times a second the tick takes some microseconds from the loop, more on "
        + "a virtual machine.",
      list == nil
        ? [(.kernelParameter, "none: a kernel with CONFIG_NO_HZ_FULL=y, and nohz_full=\(rest)")]
        : Self.isolation(rest, "nohz_full=\(rest)"))
  }

  private mutating func lookAtCallbacks() {
    guard let line = value("/proc/cmdline") else { return }
    // nohz_full takes callbacks away as well.
    let missesBefore = unseen.count
    var offloaded = list("\(Self.folder)/nohz_full", ifPresent: true) ?? []
    if unseen.count > missesBefore { return }
    let words = line.split(separator: " ")
    for word in words where word.hasPrefix("rcu_nocbs=") {
      let text = String(word.dropFirst("rcu_nocbs=".count))
      guard let mask = try? CPUMask(cpuList: text, width: (machine.online.last ?? 0) + 1) else {
        miss("/proc/cmdline: rcu_nocbs has no list of processors: \"\(text)\"")
        return
      }
      offloaded.formUnion(mask)
    }
    // Without a list it is every processor.
    if words.contains("rcu_nocbs") { return }
    let rest = processors.subtracting(offloaded)
    if rest.isEmpty { return }
    find(
      "\(Self.named(rest)) not in rcu_nocbs: callbacks of RCU may run there", .likely,
      [
        Finding.Evidence(
          path: "/proc/cmdline",
          value: words.first { $0.hasPrefix("rcu_nocbs") }.map(String.init) ?? "no rcu_nocbs")
      ],
      because: "What a system call on this processor frees later is freed there, in a softirq that "
        + "interrupts the loop. A kernel with CONFIG_RCU_NOCB_CPU_DEFAULT_ALL=y does not do it.",
      Self.isolation(rest, "rcu_nocbs=\(rest)"))
  }

  private mutating func lookAtHousekeeping() {
    guard machine.online.subtracting(processors).isEmpty else { return }
    find(
      "no processor is left for other work", .certain,
      [Finding.Evidence(path: "\(Self.folder)/online", value: "\(machine.online)")],
      because: "Kernel threads, interrupts of devices and other programs have to run somewhere, "
        + "and have only the loop's processors.",
      [(.program, "leave at least one processor without a loop")])
  }

  private mutating func lookAtSiblings() {
    var evidence: [Finding.Evidence] = []
    for processor in processors {
      let path = "\(Self.folder)/cpu\(processor)/topology/thread_siblings_list"
      guard let siblings = list(path) else { return }
      let others = siblings.intersection(machine.online).subtracting(CPUMask(processor))
      if !others.isEmpty { evidence.append(Finding.Evidence(path: path, value: "\(siblings)")) }
    }
    if evidence.isEmpty { return }
    find(
      "processors share their cores with others (SMT)", .certain, evidence,
      because: "The other thread of the core takes part of its units and caches: the loop runs at "
        + "60 to 80 % while it works, and no counter of interrupts shows it.",
      [
        (.kernelParameter, "nosmt"), (.sysfs, "echo off > \(Self.folder)/smt/control"),
        (.sysfs, "or echo 0 > \(Self.folder)/cpuN/online for the siblings"),
      ])
  }

  /// In microseconds: what waking may take, where it is to be called quick.
  private static let quickWake = 10

  private mutating func lookAtIdleStates() {
    var evidence: [Finding.Evidence] = []
    for processor in processors {
      let states = "\(Self.folder)/cpu\(processor)/cpuidle"
      for state in namesIfPresent(in: states) where state.hasPrefix("state") {
        guard let isDisabled = number("\(states)/\(state)/disable"),
          let latency = number("\(states)/\(state)/latency")
        else { return }
        if isDisabled == 0, latency > Self.quickWake {
          evidence.append(
            Finding.Evidence(path: "\(states)/\(state)/latency", value: "\(latency) µs"))
        }
      }
    }
    if evidence.isEmpty { return }
    find(
      "processors sleep so deeply that waking takes more than \(Self.quickWake) µs", .possible,
      evidence,
      because: "A loop that never sleeps does not meet this. One that waits in a system call wakes "
        + "so much later.",
      [
        (.kernelParameter, "processor.max_cstate=1 intel_idle.max_cstate=1"),
        (.sysfs, "echo 1 > \(Self.folder)/cpuN/cpuidle/stateM/disable"),
        (.program, "hold /dev/cpu_dma_latency open with a latency of 0"),
        (.tuned, "force_latency=cstate.id_no_zero:1|3"),
      ])
  }

  private mutating func lookAtFrequency() {
    var evidence: [Finding.Evidence] = []
    for processor in processors {
      let path = "\(Self.folder)/cpu\(processor)/cpufreq/scaling_governor"
      guard let governor = valueIfPresent(path), governor != "performance" else { continue }
      evidence.append(Finding.Evidence(path: path, value: governor))
    }
    if evidence.isEmpty { return }
    find(
      "the frequency of processors follows their load", .possible, evidence,
      because: "After a pause the loop runs slower until the governor has noticed, and each change "
        + "of frequency stops it for some microseconds.",
      [
        (.sysfs, "echo performance > \(Self.folder)/cpuN/cpufreq/scaling_governor"),
        (.tuned, "governor=performance"),
        (.kernelParameter, "cpufreq.default_governor=performance"),
      ])
  }
}
