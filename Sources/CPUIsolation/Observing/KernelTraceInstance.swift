// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// A trace instance of this process: a folder that the kernel fills when it is made, and whose
/// recording ends when it is removed.
struct KernelTraceInstance: Sendable {
  private let files: SystemFiles
  let path: String
  private let pipe: Int32

  /// Where tracefs is mounted, usually; the second is part of debugfs.
  private static let homes = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"]
  private static let prefix = "cpu-isolation."

  init(
    _ files: SystemFiles, processors: CPUMask, signal: Int32?, kibibytes: Int
  ) throws(SystemFiles.Refusal) {
    let home = try Self.home(files)
    Self.removeStale(files, home)
    // Several ledgers of one process have instances of their own.
    var number = 0
    while true {
      let path = "\(home)/instances/\(Self.prefix)\(Self.identity(of: getpid(), files)).\(number)"
      do {
        try files.makeFolder(path)
        self.path = path
        break
      } catch {
        guard error.errno == EEXIST, number < 1000 else { throw error }
        number += 1
      }
    }
    self.files = files
    do {
      pipe = try Self.begin(
        files, path, processors: processors, signal: signal, kibibytes: kibibytes)
    } catch {
      try? files.removeFolder(path)
      throw error
    }
  }

  private static func home(_ files: SystemFiles) throws(SystemFiles.Refusal) -> String {
    for home in homes where (try? files.names(in: "\(home)/instances")) != nil { return home }
    _ = try files.names(in: "\(homes[0])/instances")
    return homes[0]
  }

  private static func begin(
    _ files: SystemFiles, _ path: String, processors: CPUMask, signal: Int32?, kibibytes: Int
  ) throws(SystemFiles.Refusal) -> Int32 {
    try files.write("mono", to: "\(path)/trace_clock")
    try files.write("1", to: "\(path)/options/record-tgid")
    try files.write("\(kibibytes)", to: "\(path)/buffer_size_kb")
    var events = [
      ("ipi/ipi_send_cpu", "cpu & CPUS{\(processors)}"),
      ("ipi/ipi_send_cpumask", "cpumask & CPUS{\(processors)}"),
      ("csd/csd_queue_cpu", "cpu & CPUS{\(processors)}"),
    ]
    // Result 3: refused, since the sender's user may not have more signals wait. Nobody was interrupted.
    if let signal {
      events.append(("signal/signal_generate", "sig == \(signal) && result != 3"))
    }
    for (event, filter) in events { try files.write(filter, to: "\(path)/events/\(event)/filter") }
    let pipe = try files.openPipe("\(path)/trace_pipe")
    do {
      for (event, _) in events { try files.write("1", to: "\(path)/events/\(event)/enable") }
    } catch {
      close(pipe)
      throw error
    }
    return pipe
  }

  /// What is there now, in lines; empty where there is nothing.
  func drain() throws(SystemFiles.Refusal) -> [UInt8] {
    try SystemFiles.drain(pipe, atMost: 65536, "\(path)/trace_pipe")
  }

  /// Writes a line into the trace: the kernel adds its own number of the process.
  func write(mark: String) throws(SystemFiles.Refusal) {
    try files.write(mark, to: "\(path)/trace_marker")
  }

  /// What no other process writes, by its instance's name.
  var mark: String { String(path[(path.lastIndex(of: "/") ?? path.startIndex)...].dropFirst()) }

  /// Whether processes have other numbers here than for the kernel, whose own namespace has always this
  /// name. Where that cannot be read they may have.
  static func isInNamespace(_ files: SystemFiles) -> Bool {
    (try? files.linkTarget("/proc/self/ns/pid")) != "pid:[4026531836]"
  }

  /// Ends the recording. The kernel refuses while the pipe is open.
  func remove() {
    close(pipe)
    // A refusal changes nothing here, and the next ledger tries again when this process has ended.
    try? files.removeFolder(path)
  }

  // MARK: Instances that were left

  /// The process's number and when it began, in the kernel's ticks: numbers are given out again.
  private static func identity(of process: Int32, _ files: SystemFiles) -> String {
    guard let stat = try? files.text("/proc/\(process)/stat"), let close = stat.lastIndex(of: ")")
    else { return "\(process).0" }
    let fields = stat[stat.index(after: close)...].split(separator: " ")
    return "\(process).\(fields.count > 19 ? String(fields[19]) : "0")"
  }

  private static func removeStale(_ files: SystemFiles, _ home: String) {
    for name in (try? files.names(in: "\(home)/instances")) ?? [] where name.hasPrefix(prefix) {
      let parts = name.dropFirst(prefix.count).split(separator: ".")
      guard parts.count == 3, let process = Int32(parts[0]) else { continue }
      if identity(of: process, files) == "\(parts[0]).\(parts[1])" { continue }
      try? files.removeFolder("\(home)/instances/\(name)")
    }
  }
}
