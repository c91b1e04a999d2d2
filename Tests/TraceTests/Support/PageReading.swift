// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import CPUIsolationTrace

/// What stands on a page, read as its script reads it, by other means.
struct PageReading {
  struct Mark {
    var activity: TraceActivity
    var cpu: Int
    var start: Int
    /// -1: a moment, or not ended.
    var length: Int
    var merges: Int
    var name: String
    var sender: String?
    var senderCPU: Int?
    var callsite: String?
    /// It stands for so many.
    var weight: Int
  }

  let html: String
  private(set) var marks: [Mark] = []
  /// The sums of the bins, by activity and CPU; only of those that have some.
  private(set) var bins: [String: Int] = [:]
  private(set) var lanes: [(cpu: Int, isIsolated: Bool)] = []

  init(_ bytes: [UInt8]) throws {
    html = String(decoding: bytes, as: UTF8.self)
    let open = "<script type=\"application/json\" id=\"data\">"
    let start = try #require(html.firstRange(of: open))
    let end = try #require(html[start.upperBound...].firstRange(of: "</script>"))
    let json = Data(html[start.upperBound..<end.lowerBound].utf8)
    let data = try #require(try JSONSerialization.jsonObject(with: json) as? [String: Any])
    for part in try #require(data["parts"] as? [[String: Any]]) { try read(part) }
  }

  private mutating func read(_ part: [String: Any]) throws {
    let texts = try #require(part["texts"] as? [String])
    let identities = try #require(part["identities"] as? [Any])
    for lane in try #require(part["lanes"] as? [[String: Any]]) {
      lanes.append((lane["cpu"] as? Int ?? -1, lane["isolated"] as? Bool ?? false))
    }
    for series in try #require(part["series"] as? [[String: Any]]) {
      let number = try #require(series["activity"] as? Int)
      let activity = try #require(TraceActivity(rawValue: UInt8(number)))
      let cpu = try #require(series["cpu"] as? Int)
      let level = try #require(series["level"] as? Int)
      if let text = series["bins"] as? String {
        var counts = try Numbers(text)
        var sum = 0
        while !counts.isAtEnd { sum += try counts.next() }
        bins["\(activity.title) \(cpu)"] = sum
      }
      var numbers = try Numbers(try #require(series["marks"] as? String))
      var time = 0
      for _ in 0..<(try numbers.next()) {
        time += try numbers.next()
        let identity = try #require(identities[numbers.next()] as? [Int])
        func text(_ place: Int) -> String? { place < 0 ? nil : texts[place] }
        marks.append(
          Mark(
            activity: activity, cpu: cpu, start: time,
            length: activity.hasDuration ? try numbers.next() - 1 : -1,
            merges: activity == .deferral ? try numbers.next() : 0, name: texts[identity[0]],
            sender: text(identity[1]), senderCPU: identity[2] < 0 ? nil : identity[2],
            callsite: text(identity[3]), weight: 1 << level))
      }
      #expect(numbers.isAtEnd)
    }
  }

  func count(_ activity: TraceActivity) -> Int { marks.count { $0.activity == activity } }

  private struct Numbers {
    private let bytes: Data
    private var place = 0

    init(_ text: String) throws { bytes = try #require(Data(base64Encoded: text)) }

    var isAtEnd: Bool { place == bytes.count }

    mutating func next() throws -> Int {
      var value = 0
      for shift in stride(from: 0, to: 63, by: 7) {
        try #require(place < bytes.count)
        let byte = bytes[place]
        place += 1
        value |= Int(byte & 127) << shift
        if byte < 128 { return value }
      }
      throw CancellationError()
    }
  }
}
