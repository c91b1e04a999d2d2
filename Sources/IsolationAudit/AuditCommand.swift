// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation
internal import Glibc

/// The command `isolation-audit`, from its arguments to its exit status.
enum AuditCommand {
  enum Status {
    static let clean: Int32 = 0
    static let found: Int32 = 1
    static let unseen: Int32 = 2
    /// `EX_USAGE` and `EX_NOINPUT` of `sysexits.h`.
    static let usage: Int32 = 64
    static let noInput: Int32 = 66
  }

  static func run(_ arguments: [String]) -> Int32 {
    let options: AuditOptions
    do {
      guard let parsed = try AuditOptions.parse(arguments) else {
        write(AuditOptions.help, to: STDOUT_FILENO)
        return Status.clean
      }
      options = parsed
    } catch {
      write("isolation-audit: \(error.message)\nTry isolation-audit --help.\n", to: STDERR_FILENO)
      return Status.usage
    }
    do {
      let machine = try Machine(options)
      let audit = Audit(machine)
      var report = AuditReport(audit)
      if let duration = options.watch {
        // What is counted comes later than the findings, which need not wait for it.
        if !options.isJSON { write(report.text, to: STDOUT_FILENO) }
        var watch = Watch(machine)
        watch.run(for: duration) { rows in
          report.seconds.append(rows)
          if !options.isJSON {
            write(AuditReport.text(rows, isFirst: report.seconds.count == 1), to: STDOUT_FILENO)
          }
        }
        if options.isJSON { write(report.json, to: STDOUT_FILENO) }
      } else {
        write(options.isJSON ? report.json : report.text, to: STDOUT_FILENO)
      }
      if !audit.findings.isEmpty { return Status.found }
      return audit.unseen.isEmpty ? Status.clean : Status.unseen
    } catch {
      write("isolation-audit: \(error.message)\n", to: STDERR_FILENO)
      return error.status
    }
  }

  private static func write(_ text: String, to file: Int32) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let count = unsafe rest.withUnsafeBytes { unsafe Glibc.write(file, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      // The reader of the pipe has gone.
      guard count > 0 else { return }
      rest = rest.dropFirst(count)
    }
  }
}
