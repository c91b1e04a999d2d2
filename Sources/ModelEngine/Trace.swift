// SPDX-License-Identifier: Apache-2.0

/// An execution, written down as it happens.
struct Trace {
  private(set) var lines: [String] = []
  private var numbers: [UInt: Int] = [:]

  mutating func add(_ body: Int, _ event: String, _ site: Site?) {
    let place = site.map { "  (\($0.file.split(separator: "/").last ?? ""):\($0.line))" } ?? ""
    lines.append("\(body < 0 ? "end" : "\(body)")  \(event)\(place)")
  }

  /// What a word is called: the name that somebody gave it, or the order in which it was met.
  mutating func name(_ address: UInt, _ names: [UInt: String]) -> String {
    if let name = names[address] { return name }
    if numbers[address] == nil { numbers[address] = numbers.count + 1 }
    return "word \(numbers[address]!)"
  }
}

extension ModelEngine {
  /// Whether this execution is written down: names of words are of use.
  public var isTracing: Bool { trace != nil }

  func noteAccess(_ address: UInt, _ site: Site, _ event: (String) -> String) {
    guard trace != nil else { return }
    let name = trace!.name(address, names)
    trace!.add(running, event(name), site)
  }

  /// A buffered store of another body that somebody is about to see, or that nobody waited for.
  func noteFlush(_ store: BufferedStore, of body: Int) {
    guard trace != nil else { return }
    let name = trace!.name(store.address, names)
    trace!.add(body, "\(name) = \(hex(store.value)) becomes visible", nil)
  }

  func hex(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
}
