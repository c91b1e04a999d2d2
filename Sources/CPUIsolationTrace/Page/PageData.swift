// SPDX-License-Identifier: Apache-2.0

/// What the page's script draws from: JSON, with the marks as numbers of seven bits a byte.
struct PageData {
  private var part: PagePart
  /// Names that the page needs, and where they stand in its list.
  private var texts: [String] = []
  private var places: [Int32: Int] = [:]

  /// What the marks of one part may take, as they stand on the page.
  private let mostBytes: Int

  init(_ part: PagePart, mostBytes: Int) {
    self.part = part
    self.mostBytes = mostBytes
  }

  mutating func json() -> String {
    let series = encodedSeries()
    let used = series.reduce(into: Set<Int32>()) { $0.formUnion($1.used) }
    let identities = part.identities.all.enumerated().map { index, identity in
      used.contains(Int32(index)) ? self.identity(identity) : "0"
    }
    let lanes = part.cpus.map { cpu in
      let name = part.timeline.soleThread(of: cpu).map { ",\"name\":\($0.jsonQuoted)" } ?? ""
      return "{\"cpu\":\(cpu),\"isolated\":\(part.isolated.contains(cpu))\(name)}"
    }
    let losses = part.losses.map { "[\($0.cpu),\($0.time - min($0.time, part.first))]" }
    let json = """
      {"title":\(part.title.jsonQuoted),"length":\(part.length),\
      "ticks":\(!part.countsNanoseconds),\
      "binWidth":\(UInt64(1) << min(part.scale.shift, 63)),\
      "texts":[\(texts.map(\.jsonQuoted).joined(separator: ","))],
      "identities":[\(identities.joined(separator: ","))],
      "lanes":[\(lanes.joined(separator: ","))],
      "losses":[\(losses.joined(separator: ","))],
      "series":[\(series.map(\.json).joined(separator: ",\n"))]}
      """
    // Nothing in it may look like the end of the script that it stands in.
    return json.replacing("<", with: "\\u003c")
  }

  private mutating func identity(_ identity: PageIdentity) -> String {
    let name = place(identity.name)
    let sender = identity.sender.map { place($0) } ?? -1
    let callsite = identity.callsite.map { place($0) } ?? -1
    return "[\(name),\(sender),\(identity.senderCPU ?? -1),\(callsite)]"
  }

  private mutating func place(_ name: Int32) -> Int {
    if let known = places[name] { return known }
    let place = texts.count
    texts.append(part.timeline.names[name])
    places[name] = place
    return place
  }

  private struct Encoded {
    var key: PagePart.SeriesKey
    var json: String
    var used: Set<Int32>
  }

  /// As many marks as there is room for.
  private mutating func encodedSeries() -> [Encoded] {
    let keys = part.series.keys.sorted {
      ($0.cpu, $0.activity.rawValue) < ($1.cpu, $1.activity.rawValue)
    }
    var encoded: [PagePart.SeriesKey: Encoded] = [:]
    for key in keys { encoded[key] = encode(key) }
    while encoded.values.reduce(0, { $0 + $1.json.utf8.count }) > mostBytes {
      let most = encoded.values.map(\.json.utf8.count).max() ?? 0
      let large = keys.filter { encoded[$0]?.json.utf8.count ?? 0 > most / 2 }
      // Nothing but heads is left.
      guard large.contains(where: { part.series[$0]?.marks.count ?? 0 > 1 }) else { break }
      for key in large {
        part.thin(key)
        encoded[key] = encode(key)
      }
    }
    return keys.compactMap { encoded[$0] }
  }

  private func encode(_ key: PagePart.SeriesKey) -> Encoded {
    guard let series = part.series[key] else { return Encoded(key: key, json: "", used: []) }
    let marks = series.sorted()
    var bytes: [UInt8] = []
    var used: Set<Int32> = []
    var last = part.first
    bytes.appendVarint(UInt64(marks.count))
    for mark in marks {
      // Before the beginning lies what only its age tells of.
      let start = max(mark.start, last)
      bytes.appendVarint(start - last)
      last = start
      bytes.appendVarint(UInt64(mark.identity))
      if key.activity.hasDuration {
        let cut = start - mark.start
        bytes.appendVarint(mark.duration.map { $0 - min($0, cut) &+ 1 } ?? 0)
      }
      if key.activity == .deferral { bytes.appendVarint(UInt64(mark.merges)) }
      used.insert(mark.identity)
    }
    var json = "{\"cpu\":\(key.cpu),\"activity\":\(key.activity.rawValue),\"level\":\(series.level)"
    if !series.bins.isEmpty {
      var counts: [UInt8] = []
      for count in series.bins { counts.appendVarint(UInt64(count)) }
      json += ",\"bins\":\"\(counts.base64)\""
    }
    json += ",\"marks\":\"\(bytes.base64)\"}"
    return Encoded(key: key, json: json, used: used)
  }
}
