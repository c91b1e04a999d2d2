// SPDX-License-Identifier: Apache-2.0

public import CPUIsolation

extension Coordinator.Statistics {
  /// The figures in the text format that Prometheus scrapes, version 0.0.4.
  ///
  ///     # TYPE cpuisolation_work_sent_total counter
  ///     cpuisolation_work_sent_total{work="table"} 1200
  public func prometheusText() -> String {
    var families: [(name: String, text: String)] = []
    var places: [String: Int] = [:]
    for sample in samples() {
      let place: Int
      if let known = places[sample.name] {
        place = known
      } else {
        place = families.count
        places[sample.name] = place
        let name = Self.prometheusName(sample)
        let kind = sample.kind == .counter ? "counter" : "gauge"
        families.append((name, "# TYPE \(name) \(kind)\n"))
      }
      let labels = sample.labels.map { "\($0.0)=\"\(Self.escaped($0.1))\"" }
        .joined(separator: ",")
      let value = Int(exactly: sample.value).map { "\($0)" } ?? "\(sample.value)"
      families[place].text +=
        families[place].name + (labels.isEmpty ? "" : "{\(labels)}") + " \(value)\n"
    }
    return families.map(\.text).joined()
  }

  /// `work.oldestPending` becomes `cpuisolation_work_oldest_pending_seconds`.
  private static func prometheusName(_ sample: Sample) -> String {
    var name = "cpuisolation_"
    for character in sample.name {
      if character == "." {
        name += "_"
      } else if character.isUppercase {
        name += "_" + character.lowercased()
      } else {
        name.append(character)
      }
    }
    if sample.kind == .counter { return name + "_total" }
    let isDuration = ["work.oldestPending", "cpu.longestDrain"].contains(sample.name)
    return isDuration ? name + "_seconds" : name
  }

  private static func escaped(_ text: String) -> String {
    text.reduce(into: "") { escaped, character in
      switch character {
      case "\\": escaped += "\\\\"
      case "\"": escaped += "\\\""
      case "\n": escaped += "\\n"
      default: escaped.append(character)
      }
    }
  }
}
