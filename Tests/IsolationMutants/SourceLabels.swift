// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  internal import Glibc
  internal import ModelEngine

  /// Where the labels of the ordering comments stand in the library's sources.
  ///
  /// An ordering comment says `// Acquire — area:X. Why.` and the access is after it. Several
  /// labels in its first sentence stand for several accesses, in that order. `// Acquire fence —`
  /// stands for a fence.
  struct SourceLabels {
    /// One comment.
    private struct Comment {
      var labels: [String]
      var isFence: Bool
      /// The lines that the accesses may stand on.
      var lines: ClosedRange<UInt>
    }

    private var comments: [String: [Comment]] = [:]
    private let folder: String

    /// How far after its comment an access may stand.
    private static let reach: UInt = 8

    /// The sources that this program was built from.
    init() {
      let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
      folder = parts.dropLast(3).joined(separator: "/") + "/Sources/CPUIsolation"
    }

    /// The access after the `occurrence`th comment that names the label in the file, among those
    /// that were executed; nil if the comment or the access is not there.
    mutating func site(of place: LabelledPlace, among executed: Set<Site>) -> Site? {
      if comments[place.path] == nil { comments[place.path] = Self.read(folder + "/" + place.path) }
      let found = comments[place.path]!.filter {
        $0.labels.contains(place.label) && $0.isFence == place.isFence
      }
      guard place.occurrence < found.count else { return nil }
      let comment = found[place.occurrence]
      let file = "CPUIsolation/" + place.path.split(separator: "/").last!
      let lines = executed.filter { $0.file == file && comment.lines.contains($0.line) }
        .map(\.line).sorted()
      let index = comment.labels.firstIndex(of: place.label)!
      return index < lines.count ? Site(file: file, line: lines[index]) : nil
    }

    private static func read(_ path: String) -> [Comment] {
      let lines = text(path).split(separator: "\n", omittingEmptySubsequences: false)
      var comments: [Comment] = []
      for (index, line) in lines.enumerated() {
        let labels = labels(in: line)
        if labels.isEmpty { continue }
        var end = index
        while end < lines.count, isComment(lines[end]) { end += 1 }
        let first = UInt(end) + 1
        comments.append(
          Comment(
            labels: labels, isFence: line.contains(" fence — "), lines: first...first + reach))
        // What stands after the next comment belongs to that one.
        if comments.count > 1 {
          let before = comments[comments.count - 2].lines
          let last = max(before.lowerBound, min(before.upperBound, UInt(index)))
          comments[comments.count - 2].lines = before.lowerBound...last
        }
      }
      return comments
    }

    private static func isComment(_ line: Substring) -> Bool {
      line.drop { $0 == " " }.hasPrefix("//")
    }

    /// The labels in the first sentence after the dash of a comment's first line.
    private static func labels(in line: Substring) -> [String] {
      let comment = line.drop { $0 == " " }
      guard comment.hasPrefix("// "), let dash = comment.firstIndex(of: "—") else { return [] }
      let sentence = comment[dash...].prefix { $0 != "." }
      return sentence.split { !$0.isLetter && $0 != ":" }.filter { word in
        guard let colon = word.firstIndex(of: ":") else { return false }
        return colon != word.startIndex && word[colon...].count == 2
      }.map { String($0) }
    }

    /// What a file holds; nothing if it cannot be read.
    static func text(_ path: String) -> String {
      guard let file = unsafe fopen(path, "r") else { return "" }
      defer { unsafe fclose(file) }
      return unsafe text(file)
    }

    static func text(_ file: UnsafeMutablePointer<FILE>) -> String {
      var bytes: [UInt8] = []
      while true {
        let byte = unsafe fgetc(file)
        if byte == EOF { return String(decoding: bytes, as: UTF8.self) }
        bytes.append(UInt8(truncatingIfNeeded: byte))
      }
    }
  }

  /// A label in a file.
  struct LabelledPlace: Hashable, Sendable {
    var label: String
    /// The file, from `Sources/CPUIsolation`.
    var path: String
    /// Which of the file's comments with this label, fences and other accesses apart.
    var occurrence = 0
    var isFence = false
  }
#endif
