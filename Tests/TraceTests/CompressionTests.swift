// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolationTrace

/// Files whose sections and pages are compressed.
@Suite struct CompressionTests {
  static let methods: [TraceCompression] = [.zstd, .zlib]

  /// As `trace-cmd convert` compressed them, 3.1.6 with zstd and 3.3.3 with zlib; the texts are those
  /// of the files it read.
  @Test(arguments: ["kernel-6-zstd", "kernel-7-zstd", "kernel-6-zlib"])
  func filesOfTraceCmd(name: String) throws {
    let recording = try TraceRecording(contentsOf: Fixture.path("\(name).dat"))
    #expect(
      recording.reportLines(.traceCmd) == (try Fixture.lines("\(name.dropLast(5)).txt")))
    #expect(recording.warnings.isEmpty)
  }

  /// What is written is read again: instances, losses, and more pages than a chunk has.
  @Test(arguments: methods) func roundTrip(compression: TraceCompression) throws {
    var large = TestRecording.manifold()
    for index in 0..<9_000 {
      large.append(
        cpu: index % 3, timestamp: 2 << 60 + UInt64(index) * 1_000,
        event: TestRecording.id("context_user_enter"),
        payload: TestPayload.transition(UInt64(index), thread: 5))
    }
    let instances = try TraceRecording(
      bytes: Version7.file(of: TestRecording.interplay(), sorted: true, instances: ["a", "b"]))
    for recording in [large, instances, TraceRecording(cpuCount: 3)] {
      let (bytes, damage) = try recording.encoded(as: .traceDat, compression: compression)
      #expect(damage.isEmpty)
      let read = try TraceRecording(bytes: bytes)
      #expect(read.reportLines() == recording.reportLines())
      #expect(read.buffers.map(\.name) == recording.buffers.map(\.name))
      #expect(read.eventFormats == recording.eventFormats)
      // A version 6 of it is the version 6 of what it was made from.
      #expect(
        try read.encoded(as: .traceDat).bytes == recording.encoded(as: .traceDat).bytes)
    }
    let plain = try large.encoded(as: .traceDat).bytes.count
    #expect(try large.encoded(as: .traceDat, compression: compression).bytes.count < plain / 4)
  }

  /// A compressed file that is cut short or altered is an error with a byte, or what is left.
  @Test(arguments: methods) func damage(compression: TraceCompression) throws {
    let recording = TestRecording.interplay()
    let whole = try recording.encoded(as: .traceDat, compression: compression).bytes
    let lines = recording.reportLines().count
    var errors = 0
    for index in stride(from: 11, to: whole.count, by: 3) {
      for bytes in [
        Array(whole[..<index]), whole[..<index] + [~whole[index]] + whole[(index + 1)...],
      ] {
        do {
          let read = try TraceRecording(bytes: bytes)
          var records = read.records()
          var count = 1
          while records.next() != nil { count += 1 }
          #expect(count <= lines)
          errors += records.damage.count
        } catch {
          #expect(error.position != nil, "\(error)")
          errors += 1
        }
      }
    }
    #expect(errors > whole.count / 3)
  }

  /// Where the chunks of CPU 0 begin in a file of `interplay`.
  private func chunks(_ recording: TraceRecording) -> Int {
    Int(recording.buffers[0].recorded[0].pages.offset)
  }

  private func damage(
    _ compression: TraceCompression, _ change: (inout [UInt8], TraceRecording) -> Void
  ) throws -> [TraceFileError] {
    var bytes = try TestRecording.interplay().encoded(as: .traceDat, compression: compression).bytes
    change(&bytes, try TraceRecording(bytes: bytes))
    var records: TraceRecords
    do {
      records = try TraceRecording(bytes: bytes).records()
    } catch {
      return [error]
    }
    while records.next() != nil {}
    return records.damage
  }

  private func set(_ bytes: inout [UInt8], _ place: Int, _ value: UInt32) {
    bytes.replaceSubrange(place..<place + 4, with: TestPayload.bytes(value))
  }

  /// A chunk that claims what it cannot hold is refused where it begins, and nothing is allocated.
  @Test(arguments: methods, [4_096 * 1_025, 0xffff_f000, 0, 5_000] as [UInt32])
  func chunksThatClaimTooMuch(compression: TraceCompression, claim: UInt32) throws {
    var place = 0
    let errors = try damage(compression) { bytes, recording in
      place = chunks(recording) + 4
      set(&bytes, place + 4, claim)
    }
    #expect(errors.count == 1)
    #expect(errors.first?.code == .damaged && errors.first?.position == UInt64(place))
    #expect(errors.first?.message.contains("claims \(claim) bytes") == true)
  }

  /// One that holds more, or less, than it claims is refused too.
  @Test(arguments: methods) func chunksThatHoldSomethingElse(compression: TraceCompression) throws {
    // Two pages of zeros, which say that they are empty.
    let library = try #require(try CompressionLibrary.of(compression))
    let bomb = try library.compress([UInt8](repeating: 0, count: 1 << 20))
    for claim in [4_096, 1 << 21] as [UInt32] {
      var place = 0
      let errors = try damage(compression) { bytes, recording in
        place = chunks(recording) + 4
        set(&bytes, place, UInt32(bomb.count))
        set(&bytes, place + 4, claim)
        bytes.replaceSubrange(place + 8..<min(place + 8 + bomb.count, bytes.count), with: bomb)
      }
      #expect(errors.contains { $0.code == .damaged && $0.position == UInt64(place) }, "\(errors)")
    }
  }

  /// A section that claims more than its bytes can stand for, or than any section has.
  @Test(arguments: methods, [1 << 26, 1 << 28, 1 << 31, 3] as [UInt32])
  func sectionsThatClaimTooMuch(compression: TraceCompression, claim: UInt32) throws {
    var place = 0
    let errors = try damage(compression) { bytes, _ in
      place = bytes.firstIndex(of: 16)!  // the number of the first section, after the text's end
      while bytes[place..<place + 4] != [16, 0, 1, 0] { place += 1 }
      set(&bytes, place + 20, claim)
    }
    #expect(errors.map(\.code) == [.damaged])
    #expect(errors.first?.position == UInt64(place))
  }

  /// A library that is missing is named, with what to install.
  @Test func missingLibraries() throws {
    let zstd = #expect(throws: CompressionLibrary.Missing.self) {
      try CompressionLibrary.loadZstd("libabsent.so.1")
    }
    #expect(
      zstd?.description
        == "libabsent.so.1 is not installed (Debian: libzstd1, Fedora: libzstd)")
    let zlib = #expect(throws: CompressionLibrary.Missing.self) {
      try CompressionLibrary.loadZlib("libabsent.so.1")
    }
    #expect(zlib?.description.contains("(Debian: zlib1g, Fedora: zlib-ng-compat)") == true)
    // A library of that name that has not the functions.
    #expect(throws: CompressionLibrary.Missing.self) {
      try CompressionLibrary.loadZlib("libc.so.6")
    }
  }

  /// A method that is not known here: the error has the command that makes a readable file.
  @Test func unknownMethods() throws {
    let bytes = try Version7.file(of: TestRecording.interplay(), sorted: true, compression: "lz4")
    let error = #expect(throws: TraceFileError.self) {
      try TraceRecording(bytes: bytes, name: "t.dat")
    }
    #expect(error?.code == .unsupported && error?.position == 18)
    #expect(error?.message.contains("compressed with lz4") == true)
    #expect(error?.message.contains("trace-cmd convert --compression none -i t.dat") == true)
  }

  /// A compressed file is patched at its end, which a pipe does not allow.
  @Test func noPipes() throws {
    let error = #expect(throws: TraceFileError.self) {
      try TestRecording.interplay().write(.traceDat, to: "/dev/null", compression: .zstd)
    }
    #expect(error?.message.contains("is no pipe") == true)
  }
}
