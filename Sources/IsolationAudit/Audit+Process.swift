// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

extension Audit {
  /// What concerns the threads of one process.
  static let processChecks: [Check] = [
    ("other-threads", { $0.lookAtOtherThreads() }),
    ("shared-processor", { $0.lookAtSharedProcessors() }),
    ("processor-quota", { $0.lookAtQuota() }),
    ("timer-slack", { $0.lookAtTimerSlack() }),
    ("locked-memory", { $0.lookAtLockedMemory() }),
  ]

  /// The threads that are bound to one of the processors.
  private var bound: [ThreadCounts] {
    machine.threads.filter { thread in thread.processor.map(processors.contains) ?? false }
  }

  private func evidence(_ threads: [ThreadCounts]) -> [Finding.Evidence] {
    threads.map {
      Finding.Evidence(
        path: "/proc/\(machine.process ?? 0)/task/\($0.id)/status",
        value: "Cpus_allowed_list: \($0.allowed) (\($0.name))")
    }
  }

  private mutating func lookAtOtherThreads() {
    let crowd = machine.threads.filter {
      $0.processor == nil && !$0.allowed.intersection(processors).isEmpty
    }
    guard !crowd.isEmpty else { return }
    find(
      "\(Self.counted(crowd.count, "thread")) of the process may run on \(place) beside its loops",
      bound.isEmpty ? .likely : .certain, evidence(crowd),
      because: "When the scheduler places one there, it takes whole time slices from the loop.",
      [
        (.program, "sched_setaffinity for these threads, or before they are started"),
        (
          .systemd, "CPUAffinity=\(others) for the service; its loops then bind themselves"
        ),
        (.kernelParameter, "isolcpus=domain,managed_irq,\(processors)"),
      ])
  }

  private mutating func lookAtSharedProcessors() {
    let crowds = Dictionary(grouping: bound) { $0.processor ?? 0 }.filter { $0.value.count > 1 }
    for (processor, threads) in crowds.sorted(by: { $0.key < $1.key }) {
      find(
        "\(threads.count) threads of the process are bound to processor \(processor)", .certain,
        evidence(threads),
        because: "They take turns: a loop that never sleeps and the others hold each other up.",
        [(.program, "one thread for each processor")])
    }
  }

  private mutating func lookAtQuota() {
    guard let process = machine.process, let text = value("/proc/\(process)/cgroup") else { return }
    var evidence: [Finding.Evidence] = []
    for line in text.split(separator: "\n") {
      let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3 else { continue }
      let isUnified = parts[0] == "0" && parts[1].isEmpty
      guard isUnified || parts[1].split(separator: ",").contains("cpu") else { continue }
      // A limit above the group holds for it too.
      var group = parts[2] == "/" ? "" : String(parts[2])
      while true {
        for folder in Self.hierarchies(isUnified, String(parts[1])) {
          let path = folder + group + (isUnified ? "/cpu.max" : "/cpu.cfs_quota_us")
          guard let limit = valueIfPresent(path) else { continue }
          let isLimit = isUnified ? !limit.hasPrefix("max") : !limit.hasPrefix("-")
          if isLimit { evidence.append(Finding.Evidence(path: path, value: limit)) }
        }
        guard let slash = group.lastIndex(of: "/") else { break }
        group = String(group[..<slash])
      }
    }
    if evidence.isEmpty { return }
    find(
      "the time of the process is limited by its control group", .certain, evidence,
      because: "When the group has used its time, all of its threads stop until the next period "
        + "begins, the loops among them.",
      [
        (.cgroup, "echo max > cpu.max, in this group and above"), (.systemd, "CPUQuota="),
        (
          .program,
          "in Kubernetes: whole processors with requests equal to limits, and a static CPU "
            + "manager policy"
        ),
      ])
  }

  /// Where control groups are mounted, usually.
  private static func hierarchies(_ isUnified: Bool, _ controllers: String) -> [String] {
    isUnified
      ? ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
      : ["/sys/fs/cgroup/\(controllers)", "/sys/fs/cgroup/cpu"].uniqued()
  }

  /// In nanoseconds.
  private static let smallSlack = 1000

  private mutating func lookAtTimerSlack() {
    var evidence: [Finding.Evidence] = []
    for thread in bound where thread.policy == 0 {
      let path = "/proc/\(thread.id)/timerslack_ns"
      guard let slack = number(path) else { return }
      if slack > Self.smallSlack {
        evidence.append(Finding.Evidence(path: path, value: "\(slack) ns (\(thread.name))"))
      }
    }
    if evidence.isEmpty { return }
    find(
      "timers of bound threads may fire late", .possible, evidence,
      because:
        "A thread that sleeps with a time limit wakes up to so much later. A loop that never "
        + "sleeps does not meet this.",
      [(.program, "prctl(PR_SET_TIMERSLACK, 1), or CPUThread.Options.timerSlack")])
  }

  private mutating func lookAtLockedMemory() {
    guard let process = machine.process, let text = value("/proc/\(process)/status") else { return }
    guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("VmLck:") }) else {
      return
    }
    let words = line.split { $0 == " " || $0 == "\t" }
    guard words.count > 1, words[1] == "0" else { return }
    find(
      "the process has locked no memory", .possible,
      [Finding.Evidence(path: "/proc/\(process)/status", value: words.joined(separator: " "))],
      because: "Under pressure the kernel drops pages of program text and swaps others: the loop "
        + "meets page faults that wait for a device.",
      [
        (.program, "mlockall(MCL_CURRENT) once everything is loaded and touched"),
        (.systemd, "LimitMEMLOCK=infinity, which allows it"),
      ])
  }
}

extension Array where Element: Hashable {
  /// The first of equal elements.
  fileprivate func uniqued() -> [Element] {
    var seen: Set<Element> = []
    return filter { seen.insert($0).inserted }
  }
}
