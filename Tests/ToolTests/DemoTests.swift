// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

@testable import IsolationDemo

@Suite struct DemoOptionsTests {
  private func options(_ arguments: String..., processors: Int = 2) throws -> Options {
    guard case .run(let options) = try Options.parse(arguments, processors: processors) else {
      throw Options.UsageError("help was asked for")
    }
    return options
  }

  @Test func nothingSaidIsBothModesForFiveSeconds() throws {
    let options = try options()
    #expect(options.modes == [.immediate, .deferred])
    #expect(options.duration == .seconds(5))
    #expect(options.housekeeping == [0])
    #expect(options.isolated == [1])
    #expect(!options.isJSON && !options.asksKernel)
    #expect(options.broken == nil)
  }

  @Test func everythingSaid() throws {
    let options = try options(
      "--mode", "deferred", "--duration", "0.25", "--housekeeping", "0-1,4", "--isolated", "2-3",
      "--json", "--kernel")
    #expect(options.modes == [.deferred])
    #expect(options.duration == .milliseconds(250))
    #expect(options.housekeeping == [0, 1, 4])
    #expect(options.isolated == [2, 3])
    #expect(options.isJSON && options.asksKernel)
    #expect(try self.options("--mode", "immediate").modes == [.immediate])
    #expect(try self.options("--mode", "both").modes == [.immediate, .deferred])
  }

  @Test(arguments: [
    (1, [0], [1]), (2, [0], [1]), (3, [0], [1, 2]), (4, [0], [1, 2, 3]), (96, [0], [1, 2, 3]),
  ])
  func defaultsFitTheMachine(processors: Int, housekeeping: [Int], isolated: [Int]) throws {
    let options = try options(processors: processors)
    #expect(Array(options.housekeeping) == housekeeping)
    #expect(Array(options.isolated) == isolated)
  }

  @Test func oneListLeavesTheRestToTheOther() throws {
    #expect(try options("--isolated", "0").housekeeping == [1])
    #expect(try options("--isolated", "0-1").housekeeping == [2])
    #expect(try options("--housekeeping", "1").isolated == [0])
    #expect(try options("--housekeeping", "0-5").isolated == [6])
    #expect(try options("--housekeeping", "0,2", processors: 8).isolated == [1, 3, 4])
  }

  @Test(arguments: [
    (["--frobnicate"], "--frobnicate"), (["deferred"], "deferred"), (["--mode"], "--mode"),
    (["--mode", "sideways"], "--mode"),
    (["--break", "reus"], "early-touch, reuse, flag-after-flush"),
    (["--duration"], "--duration"),
    (["--duration", "soon"], "--duration"), (["--duration", "0"], "--duration"),
    (["--duration", "-1"], "--duration"), (["--duration", "nan"], "--duration"),
    (["--duration", "inf"], "--duration"), (["--duration", "1e9"], "--duration"),
    (["--housekeeping", "0-x"], "--housekeeping"), (["--housekeeping", ""], "--housekeeping"),
    (["--isolated", "3-1"], "--isolated"), (["--isolated", "99999"], "--isolated"),
    (["--isolated", "1", "--housekeeping", "0-1"], "--housekeeping"),
    (["--json", "--isolated"], "--isolated"),
  ])
  func whatIsWrongIsNamed(arguments: [String], option: String) {
    let error = #expect(throws: Options.UsageError.self) {
      try Options.parse(arguments, processors: 2)
    }
    #expect(error?.description.contains(option) == true)
  }

  @Test func helpComesFirst() throws {
    #expect(try Options.parse(["--json", "--help", "--nonsense"], processors: 2) == .help)
    for option in [
      "--mode", "--duration", "--housekeeping", "--isolated", "--json", "--filter", "--trace",
      "--report", "--break", "--kernel", "--help",
    ] {
      #expect(Options.help.contains(option))
    }
  }

  @Test func moreCPUsThanProcessorsAreAnnounced() throws {
    func warning(_ arguments: String...) throws -> String? {
      guard case .run(let options) = try Options.parse(arguments, processors: 2) else { return nil }
      return Command.introduction(options, processors: 2).warning
    }
    #expect(try warning() == nil)
    #expect(try warning("--isolated", "1-2")?.contains("3 CPUs outnumber 2 processors") == true)
    #expect(try warning("--isolated", "7")?.contains("CPUs 7 are not bound") == true)
  }
}

@Suite struct DemoWitnessTests {
  private let witness = Witness(senders: 2, cpus: 3)

  private func run(_ callback: Callback, on cpu: Int) {
    unsafe WitnessRow.observe(witness.context(of: callback), on: cpu)
  }

  private func look(at cpu: Int) -> UInt64 {
    witness.expect(on: cpu)
    witness.check(on: cpu)
    return witness.lost
  }

  @Test func aRunCoversWhatWasSentBeforeIt() {
    for sender in 0..<2 {
      for _ in 0..<3 {
        let number = witness.write(sender: sender, .nohzKick, to: 1)
        witness.promise(number, sender: sender, .nohzKick, to: 1)
      }
    }
    #expect(witness.runs(on: 1) == 0)
    run(.nohzKick, on: 1)
    #expect(witness.runs(on: 1) == 1)
    #expect(look(at: 1) == 0)
  }

  @Test func aSendWithoutRunIsLostOnce() {
    let first = witness.write(sender: 1, .syncCore, to: 2)
    witness.promise(first, sender: 1, .syncCore, to: 2)
    run(.syncCore, on: 2)
    for _ in 0..<2 {
      let number = witness.write(sender: 1, .syncCore, to: 2)
      witness.promise(number, sender: 1, .syncCore, to: 2)
    }
    #expect(look(at: 2) == 2)
    #expect(look(at: 2) == 2)
    run(.syncCore, on: 2)
    #expect(look(at: 2) == 2)
  }

  @Test(arguments: [(Callback.flushTLBAll, 0), (.syncCore, 1)])
  func aRunOfSomethingElseCoversNothing(callback: Callback, cpu: Int) {
    let number = witness.write(sender: 0, .syncCore, to: 0)
    witness.promise(number, sender: 0, .syncCore, to: 0)
    run(callback, on: cpu)
    #expect(look(at: 0) == 1)
  }

  @Test func aRunThatReadTooEarlyCoversNothing() {
    run(.syncCore, on: 0)
    let number = witness.write(sender: 0, .syncCore, to: 0)
    #expect(look(at: 0) == 0, "nothing has been promised yet")
    witness.promise(number, sender: 0, .syncCore, to: 0)
    #expect(look(at: 0) == 1)
  }

  @Test func plainCallsAreLookedAtInTheEnd() {
    let number = witness.write(sender: 0, .plainCall, to: 2)
    witness.promise(number, sender: 0, .plainCall, to: 2)
    #expect(look(at: 2) == 0)
    witness.checkAll()
    #expect(witness.lost == 1)
  }
}

@Suite struct DemoReportTests {
  private var report: DemoReport {
    var counts = CallbackCounts(.syncCore)
    (counts.sent, counts.ipis, counts.merged, counts.executed) = (10, 4, 6, 4)
    var noise = Noise(sumOf: [])
    (noise.cpu, noise.runtime, noise.noise, noise.maximumSingle) = (1, 1000, 10, 2.5)
    var traced = IPICounts(
      recorded: [
        RecordedEvent(.ipiSendCPU, "cpu & CPUS{1}"),
        RecordedEvent(.ipiSendCPUMask, "cpumask & CPUS{1}"),
        RecordedEvent(.contextUserExit, #"comm != "\""#),
      ], isolated: [1])
    (traced.events, traced.ipis) = (4, ["sync_core": 4])
    let mode = ModeReport(
      mode: .immediate, broken: nil, callbacks: [counts], lost: 0,
      legality: LegalityReport(violations: 0, checked: Checked(), refusal: nil),
      oldestPending: .microseconds(1500),
      noise: [noise, noise], transitions: 8, traced: traced)
    return DemoReport(modes: [mode], badCase: BadCaseReport(idle: 2.25, storm: 180))
  }

  @Test func jsonHasExactlyThisShape() {
    let counts =
      #"{"sent":10,"ipis":4,"deferred":0,"queued":0,"merged":6,"executed":4,"pending":0,"gone":0}"#
    let noise =
      #"{"runtime_us":2000.000,"noise_us":20.000,"percent_available":99.00000,"#
      + #""max_single_us":2.500,"samples":0}"#
    #expect(
      report.json
        == #"{"modes":[{"mode":"immediate","broken":null,"callbacks":{"sync_core":"# + counts
        + #"},"ipis_total":4,"lost":0,"violations":0,"first_violation":null,"#
        + #""checked":{"calls":0,"pages":0,"handles":0,"keys":0,"timers":0},"patching":"done","#
        + #""oldest_pending_us":1500.000,"noise":"# + noise
        + #","transitions":8,"trace":{"filters":{"ipi_send_cpu":"cpu & CPUS{1}","#
        + #""ipi_send_cpumask":"cpumask & CPUS{1}","context_user_exit":"comm != \"\\\""},"#
        + #""events":4,"lost":0,"ipis":{"sync_core":4},"equals_statistics":true},"kernel":null,"quiet_memory_refused":[]}],"bad_case":{"ns_per_round_trip_idle":2.250,"#
        + #""ns_per_round_trip_storm":180.000}}"#)
  }

  @Test func textHasTheTables() {
    let text = report.text
    #expect(
      text.contains(
        "      4 callback=sync_core\n      4 in all\n"
          + "counted from the trace; the statistics say the same\n"))
    #expect(text.contains("sent = executed + coalesced + pending + gone"))
    #expect(text.contains("oldest pending: 1.5 ms"))
    #expect(text.contains("all"))
    #expect(text.contains("180.00 ns per round trip, senders storming (80.0 times)"))
  }

  @Test func losingOrMiscountingIsNotSound() {
    #expect(report.isSound)
    var lossy = report
    lossy.modes[0].lost = 1
    #expect(!lossy.isSound)
    #expect(lossy.text.contains("NOT SOUND"))
    var miscounted = report
    miscounted.modes[0].callbacks[0].executed = 5
    #expect(!miscounted.isSound)
    #expect(miscounted.text.contains("THE COUNTS DO NOT ADD UP"))
  }

  @Test func whatIsIllegalIsNotSound() {
    var illegal = report
    illegal.badCase = nil
    illegal.modes[0].broken = .reuse
    illegal.modes[0].legality.violations = 2
    illegal.modes[0].legality.first = "CPU 1 read poison"
    #expect(!illegal.isSound)
    #expect(illegal.text.contains("BROKEN ON PURPOSE (--break reuse)"))
    #expect(illegal.text.contains("violations: 2\nthe first one: CPU 1 read poison\n"))
    #expect(illegal.text.contains("NOT SOUND"))
    #expect(illegal.json.contains(#""violations":2,"first_violation":"CPU 1 read poison""#))
    #expect(
      illegal.json.contains(#""broken":"reuse""#) && illegal.json.hasSuffix(#""bad_case":null}"#))
    #expect(illegal.modes[0].violation?.contains("2 violations (BROKEN ON PURPOSE") == true)
  }

  /// Refused memory is no fault of what runs without it.
  @Test func aRefusalIsToldAndSound() {
    var refused = report
    refused.modes[0].legality.refusal = "the system refuses"
    #expect(refused.isSound)
    #expect(refused.json.contains(#""patching":"refused: the system refuses""#))
    #expect(refused.text.contains("no code was patched: the system refuses\n"))
  }

  @Test func aTraceThatCountsOtherwiseIsNotSound() {
    var missing = report
    missing.modes[0].traced.ipis["sync_core"] = 3
    #expect(!missing.isSound)
    #expect(missing.text.contains("SAY OTHERWISE: sync_core: 3 events, 4 by the statistics\n"))
    #expect(missing.json.contains(#""equals_statistics":false"#))
    #expect(
      missing.modes[0].disagreement
        == "immediate: the trace and the statistics count different IPIs "
        + "(sync_core: 3 events, 4 by the statistics)")
    var unknown = report
    unknown.modes[0].traced.ipis["stranger"] = 1
    #expect(!unknown.isSound)
    #expect(unknown.text.contains("      1 callback=stranger\n"))
  }

  /// Whoever lost events, or was asked to record others, claims nothing.
  @Test func whatCannotBeComparedIsNot() {
    var lossy = report
    (lossy.modes[0].traced.lost, lossy.modes[0].traced.ipis) = (2, ["sync_core": 2])
    #expect(lossy.isSound)
    #expect(lossy.text.contains("not compared with the statistics: 2 events were lost"))
    #expect(lossy.json.contains(#""equals_statistics":null"#))
    var filtered = report
    filtered.modes[0].traced = IPICounts(
      recorded: [RecordedEvent(.ipiSendCPU, "cpu == 1")], isolated: [1])
    #expect(filtered.isSound)
    #expect(filtered.text.contains("immediate: IPIs that the filter lets through\n"))
    #expect(filtered.text.contains("not compared with the statistics: another filter"))
  }

  @Test(arguments: [
    (3.14159, 2, "3.14"), (-0.5, 1, "-0.5"), (2, 0, "2"), (0.05, 3, "0.050"),
    (1e12, 1, "1000000000000.0"), (Double.nan, 3, "0"), (Double.infinity, 3, "0"),
  ])
  func decimalsHaveNoExponent(value: Double, digits: Int, text: String) {
    #expect(decimal(value, digits) == text)
  }

  @Test func theLoadHasTheProportionsOfTheOriginal() {
    for callback in Callback.allCases {
      for housekeepers in [1, 3] {
        let perPeriod =
          Callback.period / callback.interval(housekeepers: housekeepers)
          * Double(callback.burst * housekeepers)
        #expect(abs(perPeriod - Double(callback.sendsPerPeriod)) < 0.01)
      }
    }
  }
}
