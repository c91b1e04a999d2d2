// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation
internal import Glibc

/// The arguments of a subcommand, taken one by one.
struct Arguments {
  private var rest: ArraySlice<String>
  /// After `--` nothing is an option.
  private var takesOptions = true

  enum Argument: Equatable {
    case option(String)
    case operand(String)
  }

  init(_ arguments: [String]) { rest = arguments[...] }

  mutating func next() -> Argument? {
    guard let argument = rest.popFirst() else { return nil }
    guard takesOptions, argument.hasPrefix("--") else { return .operand(argument) }
    guard argument == "--" else { return .option(argument) }
    takesOptions = false
    return next()
  }

  /// The value after an option.
  mutating func value(of option: String) throws(UsageError) -> String {
    guard let value = rest.popFirst() else { throw UsageError("\(option) wants a value") }
    return value
  }

  /// The value of `--cpus`.
  mutating func cpuCount() throws(UsageError) -> Int {
    let text = try value(of: "--cpus")
    guard let count = Int(text), (1...CPUMask.maximumWidth).contains(count) else {
      throw UsageError("--cpus wants a number in 1...\(CPUMask.maximumWidth), not \"\(text)\"")
    }
    return count
  }
}

/// The machine the tool runs on.
enum Machine {
  /// How many CPU numbers the kernel has: one more than the largest a CPU can ever get, so that
  /// holes count.
  static var cpuCount: Int {
    var bytes: [UInt8] = []
    let file = unsafe open("/sys/devices/system/cpu/possible", O_RDONLY | O_CLOEXEC)
    if file >= 0 {
      bytes = Console.read(file, atMost: 4096) ?? []
      close(file)
    }
    if let last = CPUMask(String(decoding: bytes, as: UTF8.self))?.last { return last + 1 }
    return min(max(1, sysconf(Int32(_SC_NPROCESSORS_CONF))), CPUMask.maximumWidth)
  }
}
