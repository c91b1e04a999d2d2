// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// The machine that is looked at, and which of its processors.
struct Machine {
  let files: SystemFiles
  /// The processors that are in use.
  let online: CPUMask
  /// Those that are looked at.
  let processors: CPUMask
  /// How they were chosen.
  let choice: Choice
  /// The process, and its threads as they were at the beginning.
  let process: Int32?
  let threads: [ThreadCounts]

  /// Where the list of processors came from.
  enum Choice: String {
    case named = "--cpus"
    case bound = "threads of the process"
    case isolated = "the kernel's isolated processors"
    case others = "all but the first, since none is isolated"
  }

  /// What makes a look impossible.
  struct Refusal: Error {
    let message: String
    let status: Int32
  }

  init(_ options: AuditOptions) throws(Refusal) {
    let files = SystemFiles(root: options.root)
    self.files = files
    do {
      _ = try files.names(in: "/")
    } catch {
      throw Refusal(
        message: "--root: \(options.root) is no folder that can be read",
        status: AuditCommand.Status.noInput)
    }
    process = options.process
    do {
      threads = try options.process.map { try ThreadCounts.all(files, process: "\($0)") } ?? []
    } catch {
      throw Refusal(
        message:
          "--pid: there is no process \(options.process ?? 0), or it cannot be seen: \(error)",
        status: AuditCommand.Status.noInput)
    }
    func mask(_ path: String) -> CPUMask {
      (try? files.text("/sys/devices/system/cpu/" + path)).flatMap { CPUMask($0) } ?? []
    }
    let online = mask("online")
    self.online = online
    if online.isEmpty {
      throw Refusal(
        message: "/sys/devices/system/cpu/online names no processor",
        status: AuditCommand.Status.noInput)
    }
    if let named = options.processors {
      let offline = named.subtracting(online)
      if !offline.isEmpty {
        throw Refusal(
          message: "--cpus: \(offline) is not in use; there are \(online)",
          status: AuditCommand.Status.usage)
      }
      (processors, choice) = (named, .named)
      return
    }
    let bound = CPUMask(threads.compactMap(\.processor)).intersection(online)
    let isolated = mask("isolated").union(mask("nohz_full")).intersection(online)
    if !bound.isEmpty {
      (processors, choice) = (bound, .bound)
    } else if !isolated.isEmpty {
      (processors, choice) = (isolated, .isolated)
    } else {
      let others = CPUMask(online.dropFirst())
      (processors, choice) = (others.isEmpty ? online : others, .others)
    }
  }
}
