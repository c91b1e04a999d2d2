// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation
internal import Glibc

/// A small server whose request path is probed while it serves.
///
///     swift run -c release probed-server [--workers N]
///
/// Its workers are isolated threads that wait for requests in user. A line on standard input says what
/// to do, and `help` which lines there are:
///
///     load 100000
///     attach latency server.request
///     wait
///     show
///     detach all
@main
struct ProbedServer {
  static func main() {
    var workers = 2
    var arguments = CommandLine.arguments.dropFirst()
    while let argument = arguments.popFirst() {
      guard argument == "--workers", let number = arguments.popFirst().flatMap({ Int($0) }),
        (1...16).contains(number)
      else {
        print("usage: probed-server [--workers N]   (1 to 16)")
        exit(64)
      }
      workers = number
    }
    do throws(IsolationError) {
      let server = try Server(workers: workers)
      var console = Console(server)
      while let line = readLine() {
        let isOver = !console.obey(line)
        // A reader of a pipe is answered line by line.
        fflush(nil)
        if isOver { break }
      }
      console.finish()
      server.stop()
    } catch {
      print("probed-server: \(error)")
      exit(69)
    }
  }
}
