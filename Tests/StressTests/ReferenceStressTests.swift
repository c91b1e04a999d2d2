// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

extension StressTests {
  /// A coordinator does what its reference does, step for step, whatever the script.
  @Suite struct ReferenceScripts {
    @Test("random scripts", arguments: 0..<10)
    func random(seed: UInt64) throws {
      var state = seed &* 0x9e37_79b9_7f4a_7c15
      for script in 0..<4 {
        let bytes = (0..<160).map { _ in
          state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
          // Closing is for good: seldom.
          let byte = UInt8(truncatingIfNeeded: state >> 56)
          return byte == 0xff ? UInt8(truncatingIfNeeded: state >> 48) : byte
        }
        do {
          try CoordinatorScript.follow(bytes)
        } catch {
          Issue.record("script \(script) of seed \(seed): \(error)")
        }
      }
    }

    private static let corpus = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../Fuzz/Corpus/CoordinatorFuzzer").standardizedFileURL

    @Test("the scripts of the corpus")
    func corpus() throws {
      let files = try FileManager.default.contentsOfDirectory(
        at: Self.corpus, includingPropertiesForKeys: nil)
      #expect(files.count >= 20)
      for file in files {
        do {
          try CoordinatorScript.follow(Array(try Data(contentsOf: file)))
        } catch {
          Issue.record("\(file.lastPathComponent): \(error)")
        }
      }
    }

    /// A script, and the step of it that CPU 1 leaves out.
    struct Omission: Sendable, CustomTestStringConvertible {
      let testDescription: String
      let script: [UInt8]
      let step: Int
    }

    @Test(
      "a step that a CPU leaves out is found",
      arguments: [
        Omission(testDescription: "enterUser", script: [0x17], step: 1),
        Omission(testDescription: "enterKernel", script: [0x17, 0x00, 0x21, 0x18], step: 3),
        Omission(testDescription: "poll", script: [0x17, 0x02, 0x21, 0x19], step: 3),
        Omission(testDescription: "safePoint", script: [0x00, 0x21, 0x1a], step: 2),
        // A grace period shows it, once the other CPUs have passed.
        Omission(
          testDescription: "declareQuiescent", script: [0x0e, 0x1b, 0x0b, 0x2b, 0x3b], step: 2),
        Omission(testDescription: "detach", script: [0x1c], step: 1),
      ])
    func omitted(omission: Omission) throws {
      try CoordinatorScript.follow(omission.script)
      #expect(throws: CoordinatorScript.Difference.self) {
        try CoordinatorScript.follow(omission.script, omitting: omission.step)
      }
    }
  }
}
