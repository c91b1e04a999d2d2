// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// The buffer pool, as a server's writer would run it.
@Suite struct BufferPoolTests {
  private struct Report: Decodable {
    var stale: Int
    var lookups: Double
    var lockRatio: Double
    var versionRatio: Double
    var evictions: Int
    var flushes: Int

    private enum CodingKeys: String, CodingKey {
      case stale, evictions, flushes
      case lookups = "lookups_per_s"
      case lockRatio = "ratio_rwlock"
      case versionRatio = "ratio_version"
    }
  }

  private static var program: String {
    DemoProcess.directory.appendingPathComponent("buffer-pool").path
  }

  @Test(arguments: [1, 2, 4])
  func noFrameIsStale(readers: Int) throws {
    let run = try DemoProcess(
      ["--json", "--seconds", "0.6", "--readers", "\(readers)"], of: Self.program)
    #expect(run.status == 0, "\(run.output)\(run.errors)")
    let report = try JSONDecoder().decode(Report.self, from: Data(run.output.utf8))
    #expect(report.stale == 0)
    // Something was looked up, evicted and dropped: otherwise nothing could have been stale.
    #expect(report.lookups > 0 && report.evictions > 0 && report.flushes > 0, "\(report)")
    #expect(report.lockRatio > 0 && report.versionRatio > 0)
  }

  @Test func theTextSaysTheSame() throws {
    let run = try DemoProcess(["--seconds", "0.2"], of: Self.program)
    #expect(run.status == 0)
    #expect(run.output.contains("stale frames        0\n"), "\(run.output)")
    #expect(run.output.contains("reader-writer lock"))
  }

  @Test(arguments: [
    ["--seconds"], ["--seconds", "0"], ["--readers", "x"], ["--lookups"], ["--other"],
  ])
  func unknownArgumentsAreRefused(arguments: [String]) throws {
    let run = try DemoProcess(arguments, of: Self.program)
    #expect(run.status == 64)
    #expect(run.output.hasPrefix("usage: buffer-pool"))
  }
}
