// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// The system's library for one way to compress.
///
/// - Source: zstd.h (zstd 1.5), zlib.h (zlib 1.2): the functions that both have had since their
///   first stable releases.
struct CompressionLibrary: Sendable {
  /// The library is not there, or is not what its name says.
  struct Missing: Error, Equatable, CustomStringConvertible {
    var file: String
    var debianPackage: String
    var fedoraPackage: String

    var description: String {
      "\(file) is not installed (Debian: \(debianPackage), Fedora: \(fedoraPackage))"
    }
  }

  /// What is wrong with compressed bytes, or with what they claim to hold.
  struct Flaw: Error, Equatable { var reason: String }

  /// The library's version, as its file says it.
  let version: String
  private let functions: Functions

  private enum Functions: Sendable {
    case zstd(ZstdFunctions)
    case zlib(ZlibFunctions)
  }

  /// nil for no compression.
  static func of(_ compression: TraceCompression) throws(Missing) -> CompressionLibrary? {
    switch compression {
    case .none: nil
    case .zstd: try zstd.get()
    case .zlib: try zlib.get()
    }
  }

  private static let zstd = Result { () throws(Missing) in
    try loadZstd("libzstd.so.1")
  }
  private static let zlib = Result { () throws(Missing) in
    try loadZlib("libz.so.1")
  }

  static func loadZstd(_ file: String) throws(Missing) -> CompressionLibrary {
    guard let functions = ZstdFunctions(file) else {
      throw Missing(file: file, debianPackage: "libzstd1", fedoraPackage: "libzstd")
    }
    return CompressionLibrary(
      version: unsafe functions.version().map { unsafe String(cString: $0) } ?? "",
      functions: .zstd(functions))
  }

  static func loadZlib(_ file: String) throws(Missing) -> CompressionLibrary {
    guard let functions = ZlibFunctions(file) else {
      throw Missing(file: file, debianPackage: "zlib1g", fedoraPackage: "zlib-ng-compat")
    }
    return CompressionLibrary(
      version: unsafe functions.version().map { unsafe String(cString: $0) } ?? "",
      functions: .zlib(functions))
  }

  /// Exactly the bytes that were claimed: more or fewer are a flaw.
  func decompress(_ bytes: [UInt8], count: Int) throws(Flaw) -> [UInt8] {
    if count == 0 { return [] }
    var failure: String?
    // Safety: both libraries write at most as many bytes as they are told there is room for.
    let result = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, used in
      unsafe bytes.withUnsafeBytes { source in
        unsafe (used, failure) = decompress(
          source, to: UnsafeMutableRawPointer(buffer.baseAddress!), count)
      }
    }
    if let failure { throw Flaw(reason: failure) }
    guard result.count == count else {
      throw Flaw(reason: "\(result.count) bytes are compressed here, not \(count)")
    }
    return result
  }

  /// Returns how many bytes there are now, and why it stopped.
  private func decompress(
    _ source: UnsafeRawBufferPointer, to start: UnsafeMutableRawPointer, _ count: Int
  ) -> (Int, String?) {
    switch functions {
    case .zstd(let zstd):
      let result = unsafe zstd.decompress(start, count, source.baseAddress, source.count)
      guard zstd.isError(result) == 0 else {
        return (0, unsafe zstd.errorName(result).map { unsafe String(cString: $0) } ?? "damaged")
      }
      return (result, nil)
    case .zlib(let zlib):
      var length = UInt(count)
      let result = unsafe zlib.uncompress(start, &length, source.baseAddress, UInt(source.count))
      return result == 0 ? (Int(length), nil) : (0, Self.zlibText(result))
    }
  }

  /// The bytes in fewer, or in a few more.
  func compress(_ bytes: [UInt8]) throws(Flaw) -> [UInt8] {
    var failure: String?
    let bound =
      switch functions {
      case .zstd(let zstd): zstd.bound(bytes.count)
      case .zlib(let zlib): Int(zlib.bound(UInt(bytes.count)))
      }
    let result = unsafe [UInt8](unsafeUninitializedCapacity: bound) { buffer, used in
      unsafe bytes.withUnsafeBytes { source in
        switch functions {
        case .zstd(let zstd):
          let result = unsafe zstd.compress(
            buffer.baseAddress, bound, source.baseAddress, source.count, Self.zstdLevel)
          if zstd.isError(result) == 0 { used = result } else { failure = "zstd failed" }
        case .zlib(let zlib):
          var length = UInt(bound)
          let result = unsafe zlib.compress(
            buffer.baseAddress, &length, source.baseAddress, UInt(source.count), Self.zlibLevel)
          if result == 0 { used = Int(length) } else { failure = Self.zlibText(result) }
        }
      }
    }
    if let failure { throw Flaw(reason: failure) }
    return result
  }

  /// Both libraries' own choice between time and size.
  private static let zstdLevel: CInt = 3
  private static let zlibLevel: CInt = -1

  /// zlib's codes are negative numbers; its texts for them say less.
  private static func zlibText(_ code: CInt) -> String {
    switch code {
    case -3: "what is compressed here is damaged"
    case -4: "there is not enough memory"
    case -5: "what is compressed here ends too early, or is longer than it claims"
    default: "zlib error \(code)"
    }
  }
}
