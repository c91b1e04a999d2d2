// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CRefusals
import Foundation
import Glibc
import Testing

@testable import IsolationDemo

/// The judge: what is legal passes, and what is not is counted and told.
@Suite struct DemoLegalityTests {
  private let legality = Legality()
  private let versions = Versions(count: 4)
  private let place = Place(cpu: 3, iteration: 7)

  private func judge(_ contents: Frames.Contents?, from lowest: UInt64) -> Violation.Kind? {
    let before = legality.violations
    legality.judge(2, contents, in: versions, from: lowest, at: place)
    return legality.violations == before ? nil : legality.first?.kind
  }

  private func contents(_ version: UInt64, page: UInt64 = 2) -> Frames.Contents {
    Frames.Contents(page: page, version: version, isWhole: true)
  }

  @Test func whatIsBetweenTheBoundsIsLegal() {
    versions.finish(2, at: versions.begin(2))
    #expect(judge(contents(1), from: versions.lowest(2)) == nil)
    #expect(versions.begin(2, by: 2) == 3)
    #expect(judge(contents(1), from: versions.lowest(2)) == nil)
    #expect(judge(contents(3), from: versions.lowest(2)) == nil)
    versions.finish(2, at: 3)
    #expect(judge(contents(3), from: versions.lowest(2)) == nil)
    #expect(legality.first == nil)
  }

  @Test(arguments: [
    (Frames.Contents(page: Frames.poison, version: Frames.poison, isWhole: false), "poison"),
    (Frames.Contents(page: 1, version: 3, isWhole: true), "found page 1 in the frame of page 2"),
    (Frames.Contents(page: 2, version: 3, isWhole: false), "half written"),
    (Frames.Contents(page: 2, version: 1, isWhole: true), "read version 1 of page 2"),
    (Frames.Contents(page: 2, version: 5, isWhole: true), "version 3 was legal"),
  ])
  func whatIsNotIsTold(contents: Frames.Contents, words: String) {
    versions.finish(2, at: versions.begin(2, by: 3))
    #expect(judge(contents, from: versions.lowest(2)) != nil)
    let first = legality.first?.description ?? ""
    #expect(first.hasPrefix("CPU 3, in iteration 7, ") && first.contains(words), "\(first)")
  }

  @Test func nothingIsLegalWhereNothingMayBe() {
    #expect(judge(nil, from: versions.lowest(2)) == nil, "not mapped yet")
    versions.finish(2, at: versions.begin(2))
    #expect(judge(nil, from: 0) == nil, "it was being mapped")
    #expect(judge(nil, from: 1) == .missing)
    _ = versions.begin(2, by: LiveMemory.exchange)
    #expect(judge(nil, from: 1) == .missing, "a page that gets another frame is never without one")
    versions.finish(2, at: 5)
    _ = versions.begin(2)
    #expect(judge(nil, from: 5) == nil, "it is being unmapped")
    versions.finish(2, at: 6)
    _ = versions.begin(2)
    #expect(judge(nil, from: 5) == nil, "it was unmapped, and is being mapped")
    #expect(legality.violations == 2)
  }

  @Test func theFirstOneIsKept() {
    legality.note(Violation(.deadline, at: Place(cpu: 1), thing: 0, seen: 9, legal: 5...5))
    legality.note(Violation(.key, at: place, thing: 0))
    #expect(legality.violations == 2)
    #expect(
      legality.first?.description
        == "CPU 1, while it drained, knew of no timer before 9, but 5 had been promised")
  }

  @Test func freeFramesArePoisonAndTheLastIsTheNext() {
    let frames = Frames(perHousekeeper: 3, housekeepers: 2)
    let frame = frames.take(for: 5, version: 9, by: 1)
    let contents = frames.read(frame)
    #expect((contents.page, contents.version, contents.isWhole) == (5, 9, true))
    frames.giveBack(frame, by: 1)
    #expect(frames.read(frame).page == Frames.poison)
    #expect(frames.take(for: 6, version: 1, by: 1) == frame)
    #expect(frames.read(frame).isWhole)
  }
}

/// The built command with an order that is wrong on purpose, and where the system refuses.
@Suite(.serialized) struct DemoBreakTests {
  @Test(arguments: [
    (["--break", "flag-after-flush"], [Mode.deferred]),
    (["--mode", "both", "--break", "flag-after-flush"], Mode.allCases),
  ])
  func whatIsBrokenIsDeferred(arguments: [String], modes: [Mode]) throws {
    guard case .run(let options) = try Options.parse(arguments, processors: 2) else {
      throw Options.UsageError("help was asked for")
    }
    #expect(options.broken == .flagAfterFlush)
    #expect(options.modes == modes)
  }

  /// Each is caught, by the same check, and long before the time is over.
  @Test(.timeLimit(.minutes(2)), arguments: BrokenOrder.allCases)
  func aBrokenOrderIsCaught(order: BrokenOrder) throws {
    let run = try DemoProcess(["--json", "--break", order.rawValue, "--duration", "60"])
    #expect(run.status == 1)
    let whole = try #require(
      try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
    #expect(whole["bad_case"] is NSNull)
    let modes = try #require(whole["modes"] as? [[String: Any]])
    #expect(modes.count == 1)
    #expect(modes[0]["broken"] as? String == order.rawValue)
    #expect(try #require(modes[0]["violations"] as? Int) > 0)
    #expect(modes[0]["lost"] as? Int == 0, "the sends are all covered: the order is wrong")
    #expect((modes[0]["first_violation"] as? String)?.contains(" legal") == true)
    #expect(run.errors.contains("BROKEN ON PURPOSE (--break \(order.rawValue))"))
    #expect(run.errors.contains("violations"))
  }

  @Test func aBrokenRunSaysSoInItsTables() throws {
    let run = try DemoProcess(["--break", "reuse", "--duration", "0.1"])
    #expect(run.output.hasPrefix("BROKEN ON PURPOSE (--break reuse): "))
  }

  /// What `vm.memfd_noexec=2` answers: everything but the site works.
  @Test func withoutExecutableMemoryTheRestRuns() async throws {
    let result = await #expect(
      processExitsWith: .exitCode(0), observing: [\.standardOutputContent]
    ) {
      guard crf_refuse_memory_files(EACCES) == 0 else { _exit(2) }
      let status = Command.run(["--json", "--mode", "deferred", "--duration", "0.3"])
      fflush(nil)
      _exit(status)
    }
    let output = String(decoding: result?.standardOutputContent ?? [], as: UTF8.self)
    #expect(output.contains(#""patching":"refused: "#))
    #expect(output.contains(#""checked":{"calls":0,"#))
    #expect(output.contains(#""violations":0"#))
  }
}
