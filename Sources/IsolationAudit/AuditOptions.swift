// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// What the command line asks for.
struct AuditOptions: Equatable {
  /// The processors to look at, where they are named.
  var processors: CPUMask?
  /// The process whose threads are looked at as well.
  var process: Int32?
  /// How long to count what comes.
  var watch: Duration?
  /// The folder that stands for `/`.
  var root = ""
  var isJSON = false

  /// A command line that cannot be followed.
  struct UsageError: Error, Equatable {
    let message: String

    init(_ message: String) { self.message = message }
  }

  static let longestWatch = 86400.0

  static let help = """
    usage: isolation-audit [options]

    Looks whether processors are set up for threads that must not be disturbed, and says for
    everything that disturbs them what was read, why it matters, and how to change it. It needs no
    rights, changes nothing, and interrupts no processor.

      --cpus LIST      the processors to look at, such as 2-3,8
      --pid PID        look at this process as well: where its threads may run, and what limits
                       them
      --watch SECONDS  then count for so long what interrupts these processors, once a second
      --json           print one JSON object
      --root DIR       read the files of this folder in place of those of /
      --help           print this

    Without --cpus these are the processors that threads of PID are bound to, one each; else those
    that the kernel calls isolated or nohz_full; else all but the first.

    Exit status: 0 if nothing was found, 1 if something was, 2 if nothing was found but something
    could not be looked at, 64 for bad options, 66 if there is no such process or folder.

    """

  /// Reads the arguments after the program's name; nil asks for help.
  static func parse(_ arguments: [String]) throws(UsageError) -> AuditOptions? {
    var options = AuditOptions()
    var rest = arguments[...]
    while let option = rest.popFirst() {
      func value() throws(UsageError) -> String {
        guard let value = rest.popFirst() else { throw UsageError("\(option) needs a value") }
        return value
      }
      switch option {
      case "--help", "-h": return nil
      case "--json": options.isJSON = true
      case "--cpus": options.processors = try mask(value())
      case "--pid":
        let text = try value()
        guard let process = Int32(text), process > 0 else {
          throw UsageError("--pid needs the number of a process, not \"\(text)\"")
        }
        options.process = process
      case "--watch":
        let text = try value()
        guard let seconds = Double(text), seconds > 0, seconds <= longestWatch else {
          throw UsageError(
            "--watch needs a number of seconds above 0 and up to \(Int(longestWatch)), "
              + "not \"\(text)\"")
        }
        options.watch = .seconds(seconds)
      case "--root":
        options.root = try value()
        if options.root.isEmpty { throw UsageError("--root needs a folder") }
      default: throw UsageError("unknown argument \"\(option)\"")
      }
    }
    return options
  }

  private static func mask(_ text: String) throws(UsageError) -> CPUMask {
    let mask: CPUMask
    do {
      mask = try CPUMask(cpuList: text)
    } catch {
      throw UsageError("--cpus: \(error)")
    }
    if mask.isEmpty { throw UsageError("--cpus needs at least one processor") }
    return mask
  }
}
