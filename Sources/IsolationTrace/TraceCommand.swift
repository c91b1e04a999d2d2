// SPDX-License-Identifier: Apache-2.0

/// What `isolation-trace` can be asked to do: one type per subcommand.
protocol TraceSubcommand {
  /// The word on the command line.
  static var name: String { get }
  /// Its forms and options, for `--help` and after a usage error.
  static var usage: String { get }
  /// Reads the arguments after its name.
  init(_ arguments: [String]) throws(UsageError)
  /// Does it, and returns the exit status.
  func run(_ console: inout Console) -> Int32
}

/// The whole command line.
enum TraceCommand {
  static var subcommands: [any TraceSubcommand.Type] {
    [ReportCommand.self, FilterCommand.self, CPUListCommand.self, ConvertCommand.self]
  }

  /// Runs what the arguments after the program's name ask for, and returns the exit status.
  static func run(_ arguments: [String]) -> Int32 {
    var console = Console()
    defer { console.flush() }
    guard let name = arguments.first else {
      console.complain(help)
      return UsageError.exitStatus
    }
    if name == "--help" || name == "-h" {
      console.print(help)
      return 0
    }
    guard let subcommand = subcommands.first(where: { $0.name == name }) else {
      console.complain("isolation-trace: there is no \"\(name)\"\n\(help)")
      return UsageError.exitStatus
    }
    let rest = Array(arguments.dropFirst())
    if rest == ["--help"] || rest == ["-h"] {
      console.print(subcommand.usage)
      return 0
    }
    do {
      return try subcommand.init(rest).run(&console)
    } catch {
      console.complain("isolation-trace \(name): \(error.message)\n\(subcommand.usage)")
      return UsageError.exitStatus
    }
  }

  static var help: String {
    "isolation-trace SUBCOMMAND …\n\n" + subcommands.map { $0.usage }.joined(separator: "\n")
  }
}
