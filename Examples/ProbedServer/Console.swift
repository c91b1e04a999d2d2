// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// What a line on standard input does.
struct Console {
  private let server: Server
  private var load: Load? = nil
  private var probes: [(number: Int, probe: ProbeRegistry.Probe)] = []
  private var lastNumber = 0

  init(_ server: Server) { self.server = server }

  static let help = """
    points                        names what can be probed
    attach USE POINT [FILTER]     USE is count, latency, values:ARGUMENT or counts:ARGUMENT;
                                  POINT may have * and ?
    detach NUMBER | detach all    takes probes off
    show                          prints what they have counted
    load N                        serves N requests, while other lines are read
    wait                          waits until they have been served
    quit                          ends

    """

  /// False: it was the last one.
  mutating func obey(_ line: String) -> Bool {
    let words = line.split(separator: " ", maxSplits: 3).map(String.init)
    switch (words.first ?? "", words.count) {
    case ("", _): break
    case ("points", 1): for name in ProbeRegistry.shared.pointNames { print(name) }
    case ("attach", 3...4): attach(words[1], words[2], words.count > 3 ? words[3] : nil)
    case ("detach", 2): detach(words[1])
    case ("show", 1): show()
    case ("load", 2):
      guard let count = Int(words[1]), count > 0 else { return refuse("load wants a number") }
      finish()
      load = Load(count, of: server)
    case ("wait", 1): finish()
    case ("quit", 1): return false
    case ("help", 1): print(Self.help, terminator: "")
    default: return refuse("\"\(line)\" is no command; help lists them")
    }
    return true
  }

  private func refuse(_ reason: String) -> Bool {
    print("error: \(reason)")
    return true
  }

  /// Waits until the load has been served.
  mutating func finish() {
    guard let load else { return }
    load.wait()
    self.load = nil
    print("served \(server.served)")
  }

  // MARK: Probes

  private mutating func attach(_ use: String, _ point: String, _ filter: String?) {
    let parts = use.split(separator: ":", maxSplits: 1).map(String.init)
    let wanted: ProbeRegistry.Use
    switch (parts.first ?? "", parts.count) {
    case ("count", 1): wanted = .count
    case ("latency", 1): wanted = .latency
    case ("values", 2): wanted = .values(of: parts[1])
    case ("counts", 2): wanted = .counts(by: parts[1])
    default:
      print("error: there is no use \(use)")
      return
    }
    do throws(IsolationError) {
      for probe in try ProbeRegistry.shared.attach(wanted, toAll: point, filter: filter) {
        lastNumber += 1
        probes.append((lastNumber, probe))
        print("attached \(lastNumber) \(probe)")
      }
    } catch {
      print("error: \(error)")
    }
  }

  private mutating func detach(_ which: String) {
    let chosen = probes.filter { which == "all" || which == "\($0.number)" }
    if chosen.isEmpty, which != "all" {
      print("error: there is no probe \(which)")
      return
    }
    // When it returns, no worker is in them any more; none was stopped for it.
    ProbeRegistry.shared.remove(chosen.map(\.probe))
    probes.removeAll { number, _ in chosen.contains { $0.number == number } }
    for (number, probe) in chosen { print("detached \(number) after \(probe.hits) hits") }
  }

  private func show() {
    if probes.isEmpty { print("nothing is attached") }
    for (number, probe) in probes {
      print(
        "\(number) \(probe): hits \(probe.hits), filtered \(probe.filtered), missed \(probe.missed)"
      )
      if let histogram = probe.histogram { show(histogram) }
      for (value, count) in (probe.counts ?? [:]).sorted(by: { $0.value > $1.value }).prefix(10) {
        print("  \(value): \(count)")
      }
    }
  }

  /// A bar for each doubling.
  private func show(_ histogram: ProbeRegistry.Histogram) {
    var doublings: [UInt64] = []
    for (bucket, count) in histogram.buckets.enumerated() {
      while doublings.count <= bucket / 16 { doublings.append(0) }
      doublings[bucket / 16] += count
    }
    let most = max(1, doublings.max() ?? 1)
    for (index, count) in doublings.enumerated() where count > 0 {
      let values = ProbeRegistry.Histogram.values(of: index * 16 + 15)
      let bar = String(repeating: "#", count: Int((count * 40 + most - 1) / most))
      print("  to \(values.upperBound): \(count) \(bar)")
    }
    let percentiles = [50.0, 99, 100].map { "\(histogram.percentile($0))" }
    print("  total \(histogram.count), p50 p99 max \(percentiles.joined(separator: " "))")
  }
}
