// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

extension Audit {
  /// Where devices and the network interrupt.
  static let interruptChecks: [Check] = [
    ("device-interrupts", { $0.lookAtDevices() }),
    ("new-interrupts", { $0.lookAtDefaultAffinity() }),
    ("receive-steering", { $0.lookAtReceiveSteering() }),
    ("machine-checks", { $0.lookAtMachineChecks() }),
  ]

  private var ways: [(Finding.Means, String)] {
    [
      (.kernelParameter, "irqaffinity=\(others) isolcpus=domain,managed_irq,\(processors)"),
      (.program, "IRQBALANCE_BANNED_CPULIST=\(processors) where irqbalance runs"),
      (.tuned, "profile cpu-partitioning with isolated_cores=\(processors)"),
    ]
  }

  private mutating func lookAtDevices() {
    var arriving: [Finding.Evidence] = []
    var allowed: [Finding.Evidence] = []
    var isVisible = false
    for number in namesIfPresent(in: "/proc/irq") where Int(number) != nil {
      let folder = "/proc/irq/\(number)"
      isVisible = true
      // The handlers of an interrupt are folders; without one it does not come.
      let names = namesIfPresent(in: folder).filter { !Self.attributes.contains($0) }
      if names.isEmpty { continue }
      guard let affinity = list("\(folder)/smp_affinity_list", ifPresent: true) else { continue }
      let name = names.joined(separator: ", ")
      // Where the kernel does not tell which processor it has chosen, it may be any of them.
      let path = "\(folder)/effective_affinity_list"
      let effective = list(path, ifPresent: true)
      if let effective, !effective.intersection(processors).isEmpty {
        arriving.append(Finding.Evidence(path: path, value: "\(effective) (\(name))"))
      } else if !affinity.intersection(processors).isEmpty {
        allowed.append(
          Finding.Evidence(path: "\(folder)/smp_affinity_list", value: "\(affinity) (\(name))"))
      }
    }
    if !isVisible { miss("/proc/irq names no interrupt") }
    if !arriving.isEmpty {
      find(
        "interrupts of \(Self.counted(arriving.count, "device")) arrive at \(place)", .certain,
        arriving,
        because: "Each takes some microseconds from the loop, and the softirq after it often more.",
        [(.sysctl, "echo \(others) > /proc/irq/N/smp_affinity_list")] + ways)
    }
    if !allowed.isEmpty {
      find(
        "interrupts of \(Self.counted(allowed.count, "device")) may be moved to \(place)",
        .possible,
        allowed,
        because: "They arrive elsewhere now. The kernel moves them when a processor goes off line, "
          + "and irqbalance when it likes.",
        [(.sysctl, "echo \(others) > /proc/irq/N/smp_affinity_list")] + ways,
        as: "movable-interrupts")
    }
  }

  /// What every interrupt's folder has, besides its handlers.
  private static let attributes: Set = [
    "affinity_hint", "effective_affinity", "effective_affinity_list", "node", "smp_affinity",
    "smp_affinity_list", "spurious",
  ]

  private mutating func lookAtDefaultAffinity() {
    let path = "/proc/irq/default_smp_affinity"
    guard let mask = words(path), !mask.intersection(processors).isEmpty else { return }
    find(
      "a device that is found later may interrupt \(place)", .likely,
      [Finding.Evidence(path: path, value: mask.hexWords(width: (machine.online.last ?? 0) + 1))],
      because: "What is plugged in, or set up anew, gets its interrupts on these processors.",
      [(.sysctl, "echo \(otherWords) > \(path)")] + ways)
  }

  private mutating func lookAtReceiveSteering() {
    var evidence: [Finding.Evidence] = []
    for interface in namesIfPresent(in: "/sys/class/net") {
      let queues = "/sys/class/net/\(interface)/queues"
      for queue in namesIfPresent(in: queues) where queue.hasPrefix("rx-") {
        let path = "\(queues)/\(queue)/rps_cpus"
        guard let mask = words(path, ifPresent: true), !mask.intersection(processors).isEmpty else {
          continue
        }
        evidence.append(Finding.Evidence(path: path, value: "\(mask)"))
      }
    }
    if evidence.isEmpty { return }
    find(
      "received packets are passed to \(place)", .certain, evidence,
      because: "Another processor sends them an interrupt for each burst, and the softirq runs "
        + "there.",
      [(.sysfs, "echo 0 > /sys/class/net/NAME/queues/rx-N/rps_cpus")])
  }

  private mutating func lookAtMachineChecks() {
    var evidence: [Finding.Evidence] = []
    for processor in processors {
      let folder = "/sys/devices/system/machinecheck/machinecheck\(processor)"
      guard let interval = number("\(folder)/check_interval", ifPresent: true), interval != 0,
        let isIgnoring = number("\(folder)/ignore_ce", ifPresent: true), isIgnoring == 0
      else { continue }
      evidence.append(Finding.Evidence(path: "\(folder)/check_interval", value: "\(interval) s"))
      evidence.append(Finding.Evidence(path: "\(folder)/ignore_ce", value: "\(isIgnoring)"))
    }
    if evidence.isEmpty { return }
    find(
      "processors are asked for corrected hardware errors by a timer", .likely, evidence,
      because:
        "Every interval a timer and a look at slow registers take some tens of microseconds.",
      [
        (.kernelParameter, "mce=ignore_ce"),
        (.sysfs, "echo 0 > /sys/devices/system/machinecheck/machinecheckN/check_interval"),
      ])
  }
}
