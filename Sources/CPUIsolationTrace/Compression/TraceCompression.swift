// SPDX-License-Identifier: Apache-2.0

/// How the pages and descriptions of a trace file are compressed.
///
/// ```swift
/// try recording.write(.traceDat, to: "trace.dat", compression: .zstd)
/// ```
///
/// The system's own library does it (`libzstd.so.1`, `libz.so.1`), which is looked for when a file
/// first needs it.
///
/// - Source: trace-cmd.dat.v7(5).
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: never
public enum TraceCompression: String, Sendable, CaseIterable {
  /// As it is, which every reader takes.
  case none
  /// By libzstd, which current builds of trace-cmd write unless they are told otherwise.
  case zstd
  /// By libz, which builds of trace-cmd without libzstd write.
  case zlib
}

extension TraceCompression {
  /// The most bytes that one compressed byte can stand for. zstd: a block of 128 KiB that repeats
  /// one byte takes four. zlib: a copy of 258 bytes takes two bits.
  var largestRatio: UInt64 {
    switch self {
    case .none: 1
    case .zstd: 1 << 15
    case .zlib: 1032
    }
  }

  /// A section of descriptions has at most this: ten times what a kernel with all its modules
  /// lists as symbols.
  static let largestSection: UInt64 = 1 << 27
  /// What trace-cmd compresses at once.
  static let pagesInChunk = 10
  /// And what a chunk may have at most: a CPU's chunk is in memory whole.
  static let mostPagesInChunk: UInt64 = 1024
}

extension TraceCompression {
  /// The bytes that a file claims to have compressed at `place`; an error where it claims what
  /// cannot be, before anything is allocated.
  func decompress(
    _ bytes: [UInt8], _ claimed: UInt64, at place: UInt64, in source: TraceSource
  ) throws(TraceFileError) -> [UInt8] {
    guard claimed <= Self.largestSection,
      claimed <= (UInt64(bytes.count) + 1).multipliedFullWidth(by: largestRatio).low
    else {
      throw source.error(
        .damaged, at: place, "\(bytes.count) bytes that claim to hold \(claimed)")
    }
    do {
      guard let library = try CompressionLibrary.of(self) else { return bytes }
      return try library.decompress(bytes, count: Int(claimed))
    } catch let error as CompressionLibrary.Flaw {
      throw source.error(.damaged, at: place, "\(rawValue): \(error.reason)")
    } catch {
      throw source.error(
        .unsupported, at: place,
        "it is compressed with \(self), and \(error); or let trace-cmd make one that is not: "
          + "trace-cmd convert --compression none -i \(source.name) -o FILE")
    }
  }
}
