// SPDX-License-Identifier: Apache-2.0

@testable import CPUIsolationTrace

/// Takes a byte that chooses how it is compressed, and the chunks of one CPU. Whatever they claim,
/// what comes out is whole pages or an error within the input; and the input itself, compressed and
/// decompressed, is the input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let input = Array(UnsafeBufferPointer(start: start, count: count))
  guard let choice = input.first else { return 0 }
  let compression: TraceCompression = choice & 1 == 0 ? .zstd : .zlib
  let chunks = Array(input.dropFirst())
  let source = TraceSource(bytes: chunks, name: "input")
  var layout = TracePageLayout(pageSize: 256, longSize: choice & 2 == 0 ? 8 : 4)
  layout.order = choice & 4 == 0 ? .little : .big
  var reader = TracePageReader(
    TracePages(
      source: source, offset: 0, size: source.size, layout: layout, compression: compression))
  var page = TracePage()
  do {
    while let window = try reader.next() {
      precondition(window.count % layout.pageSize == 0)
      for start in stride(from: 0, to: window.count, by: layout.pageSize) {
        try reader.decode(&page, in: window, at: start)
        precondition(page.events.allSatisfy { $0.payload.upperBound <= window.count })
      }
    }
  } catch {
    precondition(error.position.map { $0 <= source.size } ?? false, "\(error)")
  }
  guard let library = try? CompressionLibrary.of(compression),
    let compressed = try? library.compress(chunks)
  else { return 0 }
  precondition((try? library.decompress(compressed, count: chunks.count)) == chunks)
  return 0
}
