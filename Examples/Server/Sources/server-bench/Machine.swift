// SPDX-License-Identifier: Apache-2.0

import CMachine
import Glibc

/// Clocks, threads and processors, as the system has them.
enum Machine {
  /// The monotonic clock, in nanoseconds.
  static var now: Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }

  static func sleep(until nanoseconds: Int64) {
    var time = timespec(
      tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
    // Returns EINTR after a signal: none is expected, and a wake too early does no harm.
    while clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nil) == EINTR {}
  }

  static func sleep(_ nanoseconds: Int64) { sleep(until: now + nanoseconds) }

  /// The processors that the process may use.
  static let processors: [Int32] = {
    var processors = [Int32](repeating: 0, count: 1024)
    let count = machine_processors(&processors, Int32(processors.count))
    return Array(processors.prefix(Int(count)))
  }()

  /// Binds a thread; 0 is the calling one. A system that refuses leaves it where it is.
  static func bind(_ thread: pid_t = 0, to processors: some Collection<Int32>) {
    let processors = Array(processors)
    _ = machine_bind(thread, processors, Int32(processors.count))
  }

  /// The text of a file of /proc; empty if it has gone.
  static func text(_ path: String) -> String {
    let file = open(path, O_RDONLY)
    guard file >= 0 else { return "" }
    defer { close(file) }
    return String(unsafeUninitializedCapacity: 4096) { buffer in
      max(0, read(file, buffer.baseAddress, buffer.count))
    }
  }
}

/// What the kernel has counted for the event loops of a process.
struct LoopTimes {
  /// Processor time, in nanoseconds.
  var busy = 0.0
  /// How often they went to sleep.
  var sleeps = 0.0

  /// Now; `process` nil is this one.
  init(of process: pid_t? = nil) throws {
    let folder = "/proc/\(process.map { "\($0)" } ?? "self")/task"
    guard let list = opendir(folder) else { throw LoadFailure(sentence: "cannot read \(folder)") }
    defer { closedir(list) }
    while let entry = readdir(list) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) {
        String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      guard Machine.text("\(folder)/\(name)/comm").hasPrefix("NIO-ELT") else { continue }
      busy +=
        Machine.text("\(folder)/\(name)/schedstat").split(separator: " ").first
        .flatMap { Double($0) } ?? 0
      for line in Machine.text("\(folder)/\(name)/status").split(separator: "\n")
      where line.hasPrefix("voluntary_ctxt_switches:") {
        sleeps += line.split(separator: "\t").last.flatMap { Double($0) } ?? 0
      }
    }
  }
}

extension Machine {
  /// Binds all threads that another process has now.
  static func bindThreads(of process: pid_t, to processors: [Int32]) {
    guard let list = opendir("/proc/\(process)/task") else { return }
    defer { closedir(list) }
    while let entry = readdir(list) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) {
        String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      if let thread = pid_t(name) { bind(thread, to: processors) }
    }
  }
}
