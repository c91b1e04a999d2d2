// SPDX-License-Identifier: Apache-2.0

/// The texts that stand in a trace file before its pages, as they came, so that writing them again
/// loses nothing.
struct TraceFileParts: Sendable {
  var headerPage: [UInt8] = []
  var headerEvent: [UInt8] = []
  var ftraceFormats: [[UInt8]] = []
  var systems: [(name: String, formats: [[UInt8]])] = []
  var printk: [UInt8] = []

  mutating func add(_ format: [UInt8], system: String) {
    if let index = systems.firstIndex(where: { $0.name == system }) {
      systems[index].formats.append(format)
    } else {
      systems.append((system, [format]))
    }
  }

  /// What the kernel's file `header_page` says of such pages.
  static func headerPage(_ layout: TracePageLayout) -> [UInt8] {
    func field(_ type: String, _ offset: Int, _ size: Int, signed: Int) -> String {
      "\tfield: \(type);\toffset:\(offset);\tsize:\(size);\tsigned:\(signed);\n"
    }
    return Array(
      (field("u64 timestamp", 0, 8, signed: 0)
        + field("local_t commit", 8, layout.longSize, signed: 1)
        + field("int overwrite", 8, 1, signed: 1)
        + field("char data", layout.headerSize, layout.capacity, signed: 0)).utf8)
  }

  /// What the kernel's file `header_event` says of such events.
  static var headerEvent: [UInt8] {
    typealias Kind = TracePageLayout.Kind
    return Array(
      """
      # compressed entry header
      \ttype_len    :    5 bits
      \ttime_delta  :   27 bits
      \tarray       :   32 bits

      \tpadding     : type == \(Kind.padding)
      \ttime_extend : type == \(Kind.timeExtend)
      \ttime_stamp : type == \(Kind.timeStamp)
      \tdata max type_len  == \(Kind.maximumWords)

      """.utf8)
  }

  /// The size of the kernel's `commit`, from what its file `header_page` says.
  static func longSize(headerPage: [UInt8]) -> Int? {
    let text = String(decoding: headerPage, as: UTF8.self)
    for line in text.split(separator: "\n") where line.contains("commit;") {
      for part in line.split(separator: ";") {
        let words = part.split(separator: ":")
        guard words.count == 2, words[0].hasSuffix("size") else { continue }
        return Int(words[1])
      }
    }
    return nil
  }
}
