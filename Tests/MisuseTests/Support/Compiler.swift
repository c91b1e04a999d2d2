// SPDX-License-Identifier: Apache-2.0

import Glibc

/// The compiler of the search path, for fixtures that must not compile.
struct Compiler {
  /// The folder of the built modules: beside the test bundle.
  private let products: String
  private let executable: String

  /// Nil where there is no compiler, or no module beside the tests.
  init?() {
    guard let executable = Self.find("swiftc"), let products = Self.products() else { return nil }
    self.executable = executable
    self.products = products
  }

  /// Compiles a fixture to SIL, where ownership is diagnosed, and compares what the compiler says
  /// with what the fixture expects. Returns the compiler's exit status and its words.
  func verify(_ fixture: String) throws -> (status: Int32, output: String) {
    let folder = products + "/MisuseFixtures"
    _ = unsafe mkdir(folder, 0o755)
    let (source, output) = ("\(folder)/\(fixture).swift", "\(folder)/\(fixture).txt")
    try Self.write(try Self.read(Self.fixtures + "/\(fixture).swift.txt"), to: source)
    let status = Self.run(
      [
        executable, "-swift-version", "6", "-parse-as-library", "-module-name", fixture,
        "-enable-upcoming-feature", "MemberImportVisibility", "-I", products + "/Modules",
        "-Xcc", "-fmodule-map-file=\(products)/CPlatform.build/module.modulemap",
        "-emit-sil", "-Xfrontend", "-verify", "-Xfrontend", "-verify-ignore-unrelated", "-o",
        "/dev/null", source,
      ], output: output)
    return (status, try Self.read(output))
  }

  struct FileError: Error { let path: String, number: Int32 }

  // MARK: - Places

  private static let fixtures =
    #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(2)
    .joined(separator: "/") + "/Fixtures"

  private static func find(_ name: String) -> String? {
    guard let path = unsafe getenv("PATH") else { return nil }
    return unsafe String(cString: path).split(separator: ":").map { "\($0)/\(name)" }
      .first { unsafe access($0, X_OK) == 0 }
  }

  private static func products() -> String? {
    // The bundle, or the helper that runs it, lies in the build folder of the configuration.
    for argument in CommandLine.arguments {
      let folder = argument.split(separator: "/", omittingEmptySubsequences: false).dropLast()
        .joined(separator: "/")
      if unsafe access(folder + "/Modules/CPUIsolation.swiftmodule", R_OK) == 0 { return folder }
    }
    return nil
  }

  // MARK: - Files and processes

  private static func read(_ path: String) throws -> String {
    let file = unsafe open(path, O_RDONLY)
    guard file >= 0 else { throw FileError(path: path, number: errno) }
    defer { close(file) }
    return unsafe String(unsafeUninitializedCapacity: 1 << 20) { buffer in
      unsafe max(0, Glibc.read(file, buffer.baseAddress, buffer.count))
    }
  }

  private static func write(_ text: String, to path: String) throws {
    let file = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    guard file >= 0 else { throw FileError(path: path, number: errno) }
    defer { close(file) }
    var text = text
    _ = text.withUTF8 { unsafe Glibc.write(file, $0.baseAddress, $0.count) }
  }

  /// Runs a program with both outputs in a file; its exit status, or -1.
  private static func run(_ arguments: [String], output: String) -> Int32 {
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { _ = unsafe posix_spawn_file_actions_destroy(&actions) }
    let flags = O_WRONLY | O_CREAT | O_TRUNC
    unsafe posix_spawn_file_actions_addopen(&actions, 1, output, flags, 0o644)
    unsafe posix_spawn_file_actions_adddup2(&actions, 1, 2)
    var words = unsafe arguments.map { unsafe strdup($0) }
    unsafe words.append(nil)
    defer { unsafe words.forEach { unsafe free($0) } }
    var process = pid_t()
    guard unsafe posix_spawn(&process, arguments[0], &actions, nil, words, environ) == 0 else {
      return -1
    }
    var status: Int32 = 0
    while unsafe waitpid(process, &status, 0) < 0 { if errno != EINTR { return -1 } }
    return status & 0x7f == 0 ? status >> 8 & 0xff : -1
  }
}
