// SPDX-License-Identifier: Apache-2.0

/// What the command line asks for.
struct Options {
  var printsJSON = false
  var checks = false
  /// How often each variant runs, in turn with the others.
  var runs = 8
  /// How long each run takes.
  var seconds = 5.0
  /// Requests in a second, over all connections, whether or not the last ones are answered.
  var requests = 4000
  /// The same for the part that brings the loops near their limit.
  var busyRequests = 22_000
  var connections = 8
  /// Changes of the table in a second.
  var changes = 10_000
  var keys = 100
  /// The parts to measure; nil is all.
  var parts: [Part]? = nil
  /// The server to be, in the process that this one starts.
  var serves: Variant? = nil
  /// Whether its changing thread is preempted in the middle of changes.
  var isPreempted = false

  enum Part: String, CaseIterable {
    case load, busy, preempted, loops, executor, samples
  }

  struct Refusal: Error { let sentence: String }

  init(_ arguments: some Sequence<String>) throws(Refusal) {
    var rest = Array(arguments)[...]
    while let option = rest.popFirst() {
      switch option {
      case "--json": printsJSON = true
      case "--check": checks = true
      case "--preempted": isPreempted = true
      case "--runs": runs = try Self.positive(option, &rest)
      case "--requests": requests = try Self.positive(option, &rest)
      case "--busy-requests": busyRequests = try Self.positive(option, &rest)
      case "--connections": connections = try Self.positive(option, &rest)
      case "--changes": changes = try Self.positive(option, &rest)
      case "--keys": keys = try Self.positive(option, &rest)
      case "--seconds":
        guard let seconds = rest.popFirst().flatMap({ Double($0) }), seconds > 0, seconds <= 3600
        else { throw Refusal(sentence: "--seconds wants a number above 0, and 3600 at most") }
        self.seconds = seconds
      case "--only":
        parts = try (rest.popFirst() ?? "").split(separator: ",").map { name throws(Refusal) in
          guard let part = Part(rawValue: String(name)) else {
            throw Refusal(sentence: "there is no part \"\(name)\"")
          }
          return part
        }
      case "--serve":
        guard let variant = rest.popFirst().flatMap({ Variant(rawValue: $0) }) else {
          throw Refusal(sentence: "--serve wants a variant")
        }
        serves = variant
      default: throw Refusal(sentence: "unknown option \"\(option)\"")
      }
    }
  }

  /// What a server starts with.
  static func table(_ keys: Int) -> [String: String] {
    Dictionary(uniqueKeysWithValues: (0..<keys).map { ("key\($0)", "value") })
  }

  private static func positive(
    _ option: String, _ rest: inout ArraySlice<String>
  ) throws(Refusal) -> Int {
    guard let number = rest.popFirst().flatMap({ Int($0) }), (1...10_000_000).contains(number)
    else { throw Refusal(sentence: "\(option) wants a positive number") }
    return number
  }

  static let usage = """
    server-bench [--json] [--check] [--only PART,…] [--runs N] [--seconds S] [--requests N]
                 [--busy-requests N] [--connections N] [--changes N] [--keys N]

    Starts the key-value server as processes of their own, its table protected in five ways, and loads
    them in turn. Every row is ours, a peer, and the ratio of their medians; it is ok while the ratio does not
    exceed its budget.

      --json           prints {"rows":[…]} in place of the table
      --check          exits 1 when a row is not ok
      --only PART,…    of \(Part.allCases.map(\.rawValue).joined(separator: ", "))
      --runs N         runs of each variant (8)
      --seconds S      the length of each (5)
      --requests N     requests a second, sent on time whatever was answered (4000)
      --busy-requests N  the same for the part "busy" (22000)
      --connections N  over so many connections (8)
      --changes N      changes of the table a second (10000)
      --keys N         entries of the table (100)
    """
}
