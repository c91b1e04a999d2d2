// SPDX-License-Identifier: Apache-2.0

internal import CBenchmarkPeers
internal import Glibc

/// What the figures were measured on: ratios say little without the price of a locked instruction.
struct Machine {
  /// The processor, as the system names it, with its family and model where it says them.
  let processor: String
  /// Cycles of the cycle counter, which may tick at another rate than the core.
  let lockedInstructionCycles: Double
  let nanosecondsPerCycle: Double

  init(_ stage: borrowing Stage) {
    processor = Self.processor(in: Self.text(ofFile: "/proc/cpuinfo"))
    nanosecondsPerCycle = stage.clock.nanosecondsPerCycle
    let (target, type) = unsafe (stage.peers[Stage.firstTarget], UInt64(stage.work.bit))
    let count = 10_000
    let samples = (0..<101).map { _ in
      stage.time(count) { unsafe _ = peer_sends(target, type, UInt64(count)) }
    }
    lockedInstructionCycles = Spread(samples).median / nanosecondsPerCycle
  }

  var text: String {
    """
    \(processor)
    \(BenchmarkTable.number(1 / nanosecondsPerCycle)) cycles of its counter a nanosecond; \
    a loop round one locked instruction takes \(BenchmarkTable.number(lockedInstructionCycles))


    """
  }

  /// The first processor of what `/proc/cpuinfo` says.
  static func processor(in text: String) -> String {
    func value(_ name: String) -> String? {
      for line in text.split(separator: "\n") {
        let parts = line.split(separator: ":", maxSplits: 1)
        guard parts.count == 2, parts[0].filter({ $0 != "\t" }) == name else { continue }
        return String(parts[1].drop { $0 == " " })
      }
      return nil
    }
    guard let name = value("model name") else { return "a processor that the system does not name" }
    guard let family = value("cpu family"), let model = value("model") else { return name }
    return "\(name), family \(family), model \(model)"
  }

  /// The beginning of a file: what says the first processor's name.
  private static func text(ofFile path: String) -> String {
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return "" }
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let length = unsafe read(file, &bytes, bytes.count)
    return String(decoding: bytes.prefix(max(0, length)), as: UTF8.self)
  }
}
