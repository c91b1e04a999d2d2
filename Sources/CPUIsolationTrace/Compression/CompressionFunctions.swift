// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// A library that stays loaded: functions of it may be called as long as the process runs.
@safe private struct SharedLibrary {
  private let handle: UnsafeMutableRawPointer

  init?(_ file: String) {
    guard let handle = unsafe dlopen(file, RTLD_NOW | RTLD_LOCAL) else { return nil }
    unsafe self.handle = handle
  }

  /// Safety: `Function` is what the library's header declares under that name.
  @unsafe func function<Function>(_ name: String) -> Function? {
    guard let symbol = unsafe dlsym(handle, name) else { return nil }
    return unsafe unsafeBitCast(symbol, to: Function.self)
  }
}

/// What is used of zstd.h. A result is a size, unless `isError` says otherwise.
@safe struct ZstdFunctions: Sendable {
  typealias Decompress =
    @Sendable @convention(c) (UnsafeMutableRawPointer?, Int, UnsafeRawPointer?, Int) -> Int
  typealias Compress =
    @Sendable @convention(c) (UnsafeMutableRawPointer?, Int, UnsafeRawPointer?, Int, CInt) -> Int
  typealias Bound = @Sendable @convention(c) (Int) -> Int
  typealias IsError = @Sendable @convention(c) (Int) -> CUnsignedInt
  typealias ErrorName = @Sendable @convention(c) (Int) -> UnsafePointer<CChar>?
  typealias Version = @Sendable @convention(c) () -> UnsafePointer<CChar>?

  let decompress: Decompress
  let compress: Compress
  let bound: Bound
  let isError: IsError
  let errorName: ErrorName
  let version: Version

  init?(_ file: String) {
    guard let library = SharedLibrary(file),
      let decompress: Decompress = unsafe library.function("ZSTD_decompress"),
      let compress: Compress = unsafe library.function("ZSTD_compress"),
      let bound: Bound = unsafe library.function("ZSTD_compressBound"),
      let isError: IsError = unsafe library.function("ZSTD_isError"),
      let errorName: ErrorName = unsafe library.function("ZSTD_getErrorName"),
      let version: Version = unsafe library.function("ZSTD_versionString")
    else { return nil }
    unsafe (self.decompress, self.compress, self.bound) = (decompress, compress, bound)
    unsafe (self.isError, self.errorName, self.version) = (isError, errorName, version)
  }
}

/// What is used of zlib.h. A result is 0 or a code; lengths are room before and size after.
@safe struct ZlibFunctions: Sendable {
  typealias Uncompress =
    @Sendable @convention(c) (
      UnsafeMutableRawPointer?, UnsafeMutablePointer<CUnsignedLong>, UnsafeRawPointer?,
      CUnsignedLong
    ) -> CInt
  typealias Compress =
    @Sendable @convention(c) (
      UnsafeMutableRawPointer?, UnsafeMutablePointer<CUnsignedLong>, UnsafeRawPointer?,
      CUnsignedLong, CInt
    ) -> CInt
  typealias Bound = @Sendable @convention(c) (CUnsignedLong) -> CUnsignedLong
  typealias Version = @Sendable @convention(c) () -> UnsafePointer<CChar>?

  let uncompress: Uncompress
  let compress: Compress
  let bound: Bound
  let version: Version

  init?(_ file: String) {
    guard let library = SharedLibrary(file),
      let uncompress: Uncompress = unsafe library.function("uncompress"),
      let compress: Compress = unsafe library.function("compress2"),
      let bound: Bound = unsafe library.function("compressBound"),
      let version: Version = unsafe library.function("zlibVersion")
    else { return nil }
    unsafe (self.uncompress, self.compress) = (uncompress, compress)
    unsafe (self.bound, self.version) = (bound, version)
  }
}
