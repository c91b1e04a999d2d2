// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A trace instance that records what happens on one processor, in cycles of its counter.
struct KernelRecording: ~Copyable {
  /// Why there is none, in a sentence.
  struct Refusal: Error {
    let sentence: String
  }

  private static let home = "/sys/kernel/tracing/instances"
  private static let prefix = "noise-causes."
  private let path: String
  private let processor: Int

  /// Begins to record, which interrupts every processor.
  init(processor: Int) throws(Refusal) {
    self.processor = processor
    Self.removeStale()
    path = "\(Self.home)/\(Self.prefix)\(getpid())"
    guard mkdir(path, 0o700) == 0 else { throw Self.refusal("\(path) cannot be made") }
    do {
      try Self.write("x86-tsc", to: "\(path)/trace_clock")
      try Self.write("262144", to: "\(path)/per_cpu/cpu\(processor)/buffer_size_kb")
      try Self.write(String(1 << processor, radix: 16), to: "\(path)/tracing_cpumask")
      for name in KernelEvent.names { try Self.write("1", to: "\(path)/events/\(name)/enable") }
    } catch {
      rmdir(path)
      throw error
    }
  }

  deinit { rmdir(path) }

  /// Ends the recording.
  ///
  /// - Returns: what was recorded, in order, and how many events the kernel had no room for.
  func end() throws(Refusal) -> (lines: [TraceLine], lost: UInt64) {
    try Self.write("0", to: "\(path)/tracing_on")
    let text = try Self.read("\(path)/per_cpu/cpu\(processor)/trace")
    let counts = try Self.read("\(path)/per_cpu/cpu\(processor)/stats").split(separator: "\n")
    let lost = counts.filter { $0.hasPrefix("overrun:") || $0.hasPrefix("dropped events:") }
      .compactMap { $0.split(separator: " ").last.flatMap { UInt64($0) } }.reduce(0, +)
    return (text.split(separator: "\n").compactMap { TraceLine($0) }, lost)
  }

  /// What a process that was killed has left.
  private static func removeStale() {
    for name in (try? FileManager.default.contentsOfDirectory(atPath: home)) ?? [] {
      guard name.hasPrefix(prefix), let process = pid_t(name.dropFirst(prefix.count)),
        kill(process, 0) != 0, errno == ESRCH
      else { continue }
      rmdir("\(home)/\(name)")
    }
  }

  // MARK: Files

  private static func write(_ text: String, to path: String) throws(Refusal) {
    let file = open(path, O_WRONLY | O_CLOEXEC)
    guard file >= 0 else { throw refusal("\(path) cannot be opened") }
    defer { close(file) }
    let count = text.utf8.count
    guard Glibc.write(file, text, count) == count else { throw refusal("\(path) refuses \(text)") }
  }

  private static func read(_ path: String) throws(Refusal) -> String {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw refusal("\(path) cannot be opened") }
    defer { close(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = Glibc.read(file, &chunk, chunk.count)
      if count < 0 { throw refusal("\(path) cannot be read") }
      if count == 0 { return String(decoding: bytes, as: UTF8.self) }
      bytes += chunk[..<count]
    }
  }

  private static func refusal(_ sentence: String) -> Refusal {
    Refusal(sentence: "\(sentence): \(String(cString: strerror(errno)))")
  }
}
