// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// The command, from its arguments to its exit status.
enum TortureCommand {
  static func run(arguments: some Sequence<String>) -> Int32 {
    let options: TortureOptions
    do throws(TortureOptions.UsageError) {
      options = try TortureOptions(arguments: arguments)
    } catch {
      Output.complaint(error.message)
      return TortureOptions.UsageError.exitStatus
    }
    if options.printsHelp {
      print(TortureOptions.help, terminator: "")
      return 0
    }
    if options.listsBugs {
      print(TortureOptions.bugs)
      return 0
    }
    return Supervisor(options).run()
  }
}
