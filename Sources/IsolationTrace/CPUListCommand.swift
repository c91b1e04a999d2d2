// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// Reads CPU lists as the kernel would.
struct CPUListCommand: TraceSubcommand, Equatable {
  static let name = "cpulist"

  static let usage = """
    isolation-trace cpulist [--cpus N] LIST
    isolation-trace cpulist --batch [--cpus N]

      Prints the canonical form of a CPU list, and the mask in hexadecimal words. A list
      that is wrong is explained, with exit status 1.

      --cpus N  how many CPUs there are (this machine's: \(Machine.cpuCount))
      --batch   reads one list per line, prints OK<TAB>CANONICAL or ERR<TAB>invalid, range or
                overflow for each

    """

  var cpuCount: Int
  /// The list; nil for a batch.
  var list: String?

  init(_ arguments: [String]) throws(UsageError) {
    var arguments = Arguments(arguments)
    var cpuCount: Int?
    var isBatch = false
    while let argument = arguments.next() {
      switch argument {
      case .option("--batch"): isBatch = true
      case .option("--cpus"): cpuCount = try arguments.cpuCount()
      case .option(let name): throw UsageError("unknown option \"\(name)\"")
      case .operand(let operand):
        guard list == nil else { throw UsageError("one list only: \"\(operand)\" is another") }
        list = operand
      }
    }
    self.cpuCount = cpuCount ?? Machine.cpuCount
    guard isBatch != (list != nil) else {
      throw UsageError(isBatch ? "--batch takes lists from standard input" : "a list is needed")
    }
  }

  func run(_ console: inout Console) -> Int32 {
    guard let list else { return batch(&console) }
    do {
      let mask = try CPUMask(cpuList: list, width: cpuCount)
      console.print("\(mask)\n\(mask.hexWords(width: cpuCount))\n")
      return 0
    } catch {
      console.complain("isolation-trace cpulist: \(error.code): \(error.message)\n")
      return 1
    }
  }

  private func batch(_ console: inout Console) -> Int32 {
    while let line = console.readLine() {
      do {
        let mask = try CPUMask(cpuList: Self.text(line), width: cpuCount)
        console.print("OK\t\(mask)\n")
      } catch {
        console.print("ERR\t\(error.code)\n")
      }
    }
    return 0
  }

  /// The kernel reads Latin-1, where 0xa0 is a blank. No other byte above ASCII is anything in a
  /// list, so that what a line that is not UTF-8 becomes is wrong as well.
  private static func text(_ line: [UInt8]) -> String {
    String(decoding: line.map { $0 == 0xa0 ? UInt8(ascii: " ") : $0 }, as: UTF8.self)
  }
}
