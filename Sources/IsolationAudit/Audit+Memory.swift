// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

extension Audit {
  /// What the kernel does with the memory of a process that goes on running.
  static let memoryChecks: [Check] = [
    ("huge-pages", { $0.lookAtHugePages() }),
    ("same-page-merging", { $0.lookAtMerging() }),
    ("numa-balancing", { $0.lookAtBalancing() }),
    ("compaction", { $0.lookAtCompaction() }),
    ("swap", { $0.lookAtSwap() }),
  ]

  private static let shootdown =
    "the kernel interrupts every processor that runs the process, to flush the translation"

  private mutating func lookAtHugePages() {
    let path = "/sys/kernel/mm/transparent_hugepage/enabled"
    guard let text = valueIfPresent(path), text.contains("[always]") else { return }
    find(
      "huge pages are made without being asked for", .likely,
      [Finding.Evidence(path: path, value: text)],
      because: "A kernel thread joins pages of a running process. For each \(Self.shootdown); a "
        + "fault there waits until it is through.",
      [
        (.sysfs, "echo madvise > \(path)"), (.kernelParameter, "transparent_hugepage=madvise"),
        (.tuned, "transparent_hugepages=madvise"),
      ])
  }

  private mutating func lookAtMerging() {
    let path = "/sys/kernel/mm/ksm/run"
    guard let run = number(path, ifPresent: true), run == 1 else { return }
    find(
      "equal pages are merged", .likely, [Finding.Evidence(path: path, value: "\(run)")],
      because:
        "Pages of processes that allow it are made read-only: for each \(Self.shootdown), and "
        + "the next write faults.",
      [
        (.sysfs, "echo 2 > \(path)"), (.systemd, "systemctl disable ksm ksmtuned"),
        (.program, "leave MADV_MERGEABLE and PR_SET_MEMORY_MERGE alone"),
      ])
  }

  private mutating func lookAtBalancing() {
    let path = "/proc/sys/kernel/numa_balancing"
    guard let mode = number(path, ifPresent: true), mode != 0,
      let nodes = list("/sys/devices/system/node/online", ifPresent: true), nodes.count > 1
    else { return }
    find(
      "memory is moved between nodes", .certain,
      [
        Finding.Evidence(path: path, value: "\(mode)"),
        Finding.Evidence(path: "/sys/devices/system/node/online", value: "\(nodes)"),
      ],
      because:
        "To learn who uses a page the kernel takes its translations away, again and again: the "
        + "loop meets page faults, and \(Self.shootdown).",
      [
        (.sysctl, "kernel.numa_balancing=0"), (.kernelParameter, "numa_balancing=disable"),
        (.program, "bind the memory of the process to one node"),
      ])
  }

  private mutating func lookAtCompaction() {
    let path = "/proc/sys/vm/compaction_proactiveness"
    guard let zeal = number(path, ifPresent: true), zeal > 0 else { return }
    find(
      "memory is compacted ahead of need", .possible,
      [Finding.Evidence(path: path, value: "\(zeal)")],
      because: "When memory is fragmented the kernel moves pages of running processes: for each "
        + "\(Self.shootdown), and the loop waits if it touches the page meanwhile.",
      [
        (.sysctl, "vm.compaction_proactiveness=0"),
        (.program, "lock the memory, and set vm.compact_unevictable_allowed=0"),
      ])
  }

  private mutating func lookAtSwap() {
    guard let text = valueIfPresent("/proc/swaps") else { return }
    let areas = text.split(separator: "\n").dropFirst()
    if areas.isEmpty { return }
    find(
      "memory may be swapped out", .possible,
      areas.map {
        Finding.Evidence(
          path: "/proc/swaps", value: $0.split { $0 == " " || $0 == "\t" }.joined(separator: " "))
      },
      because: "A page that was swapped out costs the loop a page fault that waits for a device.",
      [
        (.program, "lock the memory (mlockall)"), (.cgroup, "memory.swap.max=0"),
        (.systemd, "MemorySwapMax=0"), (.sysctl, "swapoff -a, or vm.swappiness=0"),
      ])
  }
}
