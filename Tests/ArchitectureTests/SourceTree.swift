// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The package's files.
enum SourceTree {
  static let root = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  /// The files below a folder of the package, by their paths in it, sorted. Not the files of a tutorial's steps, which
  /// are its reader's.
  static func paths(in folder: String, endingIn suffixes: [String]) -> [String] {
    let base = root.appending(path: folder)
    let all = (try? FileManager.default.subpathsOfDirectory(atPath: base.path)) ?? []
    return all.filter { path in
      suffixes.contains { path.hasSuffix($0) }
        && !path.split(separator: "/").contains { $0.hasPrefix(".") || $0 == "Tutorials" }
    }
    .sorted().map { "\(folder)/\($0)" }
  }

  static func text(_ path: String) throws -> String {
    try String(contentsOf: root.appending(path: path), encoding: .utf8)
  }

  /// The Swift files of a folder.
  static func swift(_ folder: String) throws -> [SourceFile] {
    try paths(in: folder, endingIn: [".swift"]).map { SourceFile($0, try text($0)) }
  }

  /// All of `Sources`, read once.
  private static let read = Result { try swift("Sources") }
  static func sources() throws -> [SourceFile] { try read.get() }

  /// The library's own files.
  static func library() throws -> [SourceFile] {
    try sources().filter { $0.path.hasPrefix("Sources/CPUIsolation/") }
  }

  /// The files of all products that programs link.
  static func products() throws -> [SourceFile] {
    try sources().filter { file in
      [
        "CPUIsolation", "CPUIsolationTesting", "CPUIsolationTextPatching", "CPUIsolationTrace",
      ].contains { file.path.hasPrefix("Sources/\($0)/") }
    }
  }

  static func write(_ text: String, to path: String) throws {
    try text.write(to: root.appending(path: path), atomically: true, encoding: .utf8)
  }
}
