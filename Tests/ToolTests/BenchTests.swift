// SPDX-License-Identifier: Apache-2.0

import Glibc
import RegexBuilder
import Testing

@testable import isolation_bench

@Suite struct BenchmarkOptionsTests {
  private let rows = ["entry-exit", "entry-exit:scoped", "poll"]

  private func parse(_ line: String) throws(UsageError) -> BenchmarkOptions {
    try BenchmarkOptions(arguments: line.split(separator: " ").map(String.init), rowNames: rows)
  }

  private func complaint(_ line: String) -> String? {
    do {
      _ = try parse(line)
      return nil
    } catch {
      return error.message
    }
  }

  @Test func nothingAsksForEveryRow() throws {
    let options = try parse("")
    #expect(!options.printsJSON && !options.checks && !options.printsHelp)
    #expect(options.neverEntersSends == nil)
    #expect(rows.allSatisfy(options.selects))
  }

  @Test func flags() throws {
    let options = try parse("--json --check --help")
    #expect(options.printsJSON && options.checks && options.printsHelp)
  }

  @Test func wholeNameSelectsOneRowOrItsFamily() throws {
    #expect(try rows.filter(parse("--only entry-exit:scoped").selects) == ["entry-exit:scoped"])
    #expect(
      try rows.filter(parse("--only entry-exit").selects) == ["entry-exit", "entry-exit:scoped"])
    #expect(try rows.filter(parse("--only poll,entry-exit").selects) == rows)
  }

  @Test func poolTable() throws {
    #expect(try parse("--only pool-table").printsPoolTable)
    #expect(try !parse("--only poll").printsPoolTable)
  }

  @Test func probeTable() throws {
    #expect(try parse("--only probe-table").printsProbeTable)
    #expect(try !parse("--only pool-table").printsProbeTable)
  }

  @Test func growthTable() throws {
    #expect(try parse("--only growth-table").printsGrowthTable)
    #expect(try !parse("--only pool-table").printsGrowthTable)
  }

  @Test func aGroupSelectsItsFamilies() throws {
    let rows = Benchmark.catalog.map(\.name)
    let options = try BenchmarkOptions(arguments: ["--only", "probes"], rowNames: rows)
    let families = Set(rows.filter(options.selects).map { $0.prefix { $0 != ":" } })
    #expect(families == ["probe", "lookup", "region"])
    // Where there is none of them it is no name.
    #expect(complaint("--only probes")?.contains("no row") == true)
  }

  @Test func neverEnters() throws {
    #expect(try parse("--only never-enters --sends 1000").neverEntersSends == 1000)
    #expect(try parse("--sends 7 --only never-enters").neverEntersSends == 7)
    #expect(
      try parse("--only never-enters").neverEntersSends == BenchmarkOptions.defaultSends)
  }

  @Test func once() throws {
    let options = try parse("--only poll --once 1000 --peer")
    #expect(options.onceCount == 1000 && options.runsPeer)
  }

  @Test(arguments: [
    ("--fast", "unknown option"), ("stray", "unknown option"), ("--only", "wants a value"),
    ("--only nonsense", "no row"), ("--only poll,", "no row"), ("--sends", "wants a value"),
    ("--only never-enters --sends 0", "positive number"),
    ("--only never-enters --sends -1", "positive number"),
    ("--only never-enters --sends ten", "positive number"),
    ("--only never-enters --sends 99999999999999999999", "positive number"),
    ("--sends 5", "goes with"), ("--only poll --sends 5", "goes with"),
    ("--only never-enters,poll", "cannot be combined"),
    ("--only pool-table,poll", "cannot be combined"), ("--only pool-table --sends 5", "goes with"),
    ("--only probe-table,pool-table", "cannot be combined"),
    ("--only probe-table --sends 5", "goes with"), ("--only poll --peer", "goes with --once"),
    ("--only poll --once", "wants a value"), ("--only poll --once 0", "positive number"),
    ("--only growth-table,poll", "cannot be combined"),
  ])
  func mistakes(_ line: String, _ expected: String) {
    #expect(complaint(line)?.contains(expected) == true)
  }

  @Test func helpNamesEveryRow() {
    let help = BenchmarkOptions.help(rowNames: Benchmark.catalog.map(\.name))
    for benchmark in Benchmark.catalog { #expect(help.contains("  \(benchmark.name)\n")) }
  }
}

@Suite struct BenchmarkRowTests {
  private func row(_ ours: Double, _ theirs: Double, budget: Double) -> BenchmarkRow {
    BenchmarkRow(
      name: "a", ours: [ours], peer: "b", theirs: [theirs], budget: budget)
  }

  @Test func spread() {
    #expect(Spread([3, 1, 2]) == Spread(least: 1, median: 2, most: 3))
    #expect(Spread([4, 1, 2, 3]) == Spread(least: 1, median: 2.5, most: 4))
    #expect(Spread([5]) == Spread(least: 5, median: 5, most: 5))
  }

  @Test func ratioIsOursOverTheirs() {
    #expect(row(2, 4, budget: 1).ratio == 0.5)
    #expect(row(-2, 4, budget: 1).ratio == 0)
    // Half of the rounds in a slow minute of the machine, and one more of them on one side.
    let row = BenchmarkRow(
      name: "a", ours: [1, 1, 2, 2, 2], peer: "b", theirs: [1, 1, 1, 2, 2], budget: 1.1)
    #expect(row.ours.median == 2 && row.theirs.median == 1 && row.ratio == 1)
  }

  @Test func budgetIsInclusive() {
    #expect(row(2, 2, budget: 1).isOK)
    #expect(!row(2.5, 2, budget: 1).isOK)
  }

  @Test func countsAllowNoneAndNeedTheSeed() {
    #expect(row(0, 1000, budget: 0).isOK)
    #expect(!row(1, 1000, budget: 0).isOK)
    #expect(!row(0, 0, budget: 0).isOK, "a counter that does not count proves nothing")
  }

  @Test func whatCouldNotBeMeasuredIsNotOK() {
    #expect(!row(.nan, 2, budget: 1).isOK)
    #expect(!row(2, .nan, budget: 1).isOK)
  }

  @Test func json() {
    var json = JSONWriter()
    BenchmarkRow(
      name: "a", ours: [1, 2, 3], peer: "\"C\"", theirs: [4, 4, 5], budget: 1.05
    ).write(to: &json)
    #expect(
      json.text
        == #"{"name":"a","ours_ns":[1.0,2.0,3.0],"peer":"\"C\"","peer_ns":[4.0,4.0,5.0],"#
        + #""ratio":0.5,"budget":1.05,"ok":true}"#)
  }

  @Test func table() {
    let rows = [row(2, 4, budget: 1), row(8, 10000, budget: 1.0 / 2000)]
    let text = BenchmarkTable(rows, nanosecondsPerCycle: 0.25).text
    let lines = text.split(separator: "\n")
    #expect(lines.count == 3)
    #expect(lines[1].contains("0.50") && lines[1].contains(" ok ") && lines[1].contains(" 8.00 "))
    #expect(lines[2].contains("1/1250") && lines[2].contains("1/2000") && lines[2].contains("OVER"))
    #expect(BenchmarkTable.number(-0.126) == "-0.13")
    #expect(BenchmarkTable.number(12345.6) == "12345.60")
  }

  @Test func processors() {
    let text = "processor\t: 0\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: A: B\n\nmodel\t: 1\n"
    #expect(Machine.processor(in: text) == "A: B, family 25, model 17")
    #expect(Machine.processor(in: "model name\t: A\n") == "A")
    #expect(Machine.processor(in: "").contains("does not name"))
  }

  @Test func namesAreUnique() {
    let names = Benchmark.catalog.map(\.name)
    #expect(Set(names).count == names.count)
    #expect(!names.contains(BenchmarkOptions.neverEnters))
  }
}

@Suite struct JSONWriterTests {
  @Test func nesting() {
    var json = JSONWriter()
    json.object { json in
      json.member("a") { json in
        json.array { json in
          json.value(1 as UInt64)
          json.object { _ in }
          json.value(true)
        }
      }
      json.member("b", "x")
    }
    #expect(json.text == #"{"a":[1,{},true],"b":"x"}"#)
  }

  @Test func strings() {
    var json = JSONWriter()
    json.value("a\"b\\c\n\t\r\u{1}é")
    #expect(json.text == #""a\"b\\c\n\t\r\u0001é""#)
  }

  @Test func numbers() {
    var json = JSONWriter()
    json.array { json in
      json.value(0.1234567)
      json.value(.infinity)
      json.value(.nan)
      json.value(0.0005)
    }
    #expect(json.text == "[0.123457,null,null,0.0005]")
  }
}

@Suite struct NeverEntersTests {
  private func result(after: UInt64, runs: UInt64) -> NeverEnters {
    NeverEnters(
      sends: 10, residentBefore: 1000, residentAfter: after, firstTenth: 8, lastTenth: 8,
      handlerRuns: runs)
  }

  private static let judgements: [(after: UInt64, runs: UInt64, complaints: Int)] = [
    (1000, 1, 0), (1000 + NeverEnters.toleratedGrowth, 1, 0),
    (1001 + NeverEnters.toleratedGrowth, 1, 1), (1000, 0, 1), (9000, 2, 2), (0, 1, 1),
  ]

  @Test(arguments: judgements)
  func complaints(_ after: UInt64, _ runs: UInt64, _ expected: Int) {
    #expect(result(after: after, runs: runs).complaints(judgingMemory: true).count == expected)
  }

  @Test func memoryIsNotJudgedInASanitizedBuild() {
    #expect(result(after: 9000, runs: 1).complaints(judgingMemory: false).isEmpty)
    #expect(result(after: 9000, runs: 2).complaints(judgingMemory: false).count == 1)
  }

  @Test(arguments: [1, 9, 10, 11, 12_345] as [UInt64])
  func runs(_ sends: UInt64) throws {
    let result = try NeverEnters.run(sends: sends)
    #expect(result.sends == sends)
    #expect(result.handlerRuns == 1)
    #expect(result.residentBefore > 0)
  }
}

/// The built program, from outside.
@Suite struct BenchCommandTests {
  @Test func neverEnters() throws {
    let run = try Bench.run("--only never-enters --sends 1000000")
    #expect(run.status == 0, "\(run)")
    #expect(run.output.contains("1000000 sends"))
    #expect(run.output.contains("handler runs     1, after one entry"))
    let json = try Bench.run("--only never-enters --sends 1000 --json")
    #expect(json.status == 0, "\(json)")
    let number = #/-?[0-9]+(\.[0-9]+)?(e-?[0-9]+)?/#
    let shape = Regex {
      #"{"sends":1000,"resident_before_kib":"#
      number
      #","resident_after_kib":"#
      number
      #","first_tenth_ns":"#
      number
      #","last_tenth_ns":"#
      number
      ",\"handler_runs\":1}\n"
    }
    #expect(json.output.wholeMatch(of: shape) != nil, "\(json)")
  }

  @Test func rowsAsJSON() throws {
    let run = try Bench.run("--json --only entry-exit")
    #expect(run.status == 0, "\(run)")
    let rows = try #require(Self.rows(run.output), "\(run)")
    #expect(rows.first == "entry-exit")
    #expect(rows.count == Benchmark.catalog.filter { $0.name.hasPrefix("entry-exit") }.count)
  }

  /// The counters count in the built program, whatever the paths cost in a debug build.
  @Test func seedsAreCounted() throws {
    let run = try Bench.run("--json --only allocations,retains")
    #expect(run.status == 0, "\(run)")
    let rows = try #require(Self.rows(run.output), "\(run)")
    if rows.isEmpty {
      #expect(run.errors.contains("is left out"), "\(run)")
      return
    }
    for seeded in run.output.matches(of: #/"peer_ns":\[([0-9]+)/#) {
      #expect(try #require(Int(seeded.output.1)) >= 1000)
    }
  }

  @Test func help() throws {
    let run = try Bench.run("--help")
    #expect(run.status == 0)
    #expect(run.output.hasPrefix("isolation-bench [--json]"))
    #expect(run.errors.isEmpty)
  }

  @Test(arguments: ["--nonsense", "--only nonsense", "--sends 4", "--only"])
  func usageErrors(_ line: String) throws {
    let run = try Bench.run(line)
    #expect(run.status == 64)
    #expect(run.output.isEmpty)
    #expect(run.errors.hasPrefix("isolation-bench: "))
  }

  /// The names of the rows, or nil if the text is not one object of well-formed rows.
  private static func rows(_ text: String) -> [String]? {
    let number = #"-?[0-9]+(?:\.[0-9]+)?(?:e-?[0-9]+)?"#
    let spread = #"\[\#(number),\#(number),\#(number)\]"#
    let row =
      #"\{"name":"([^"]+)","ours_ns":\#(spread),"peer":"[^"]+","peer_ns":\#(spread),"#
      + #""ratio":\#(number),"budget":\#(number),"ok":(?:true|false)\}"#
    guard let whole = try? Regex(#"\{"rows":\[(?:\#(row)(?:,(?=\{))?)*\]\}\n"#),
      let one = try? Regex(row), text.wholeMatch(of: whole) != nil
    else { return nil }
    return text.matches(of: one).map { String($0.output[1].substring ?? "") }
  }
}

/// The program that was built beside the tests.
private struct Bench: CustomStringConvertible {
  let status: Int32
  let output: String
  let errors: String

  var description: String { "status \(status)\n\(output)\n\(errors)" }

  struct CannotRun: Error {
    let path: String
  }

  static func run(_ arguments: String) throws -> Bench {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    let length = unsafe readlink("/proc/self/exe", &buffer, buffer.count)
    let path = buffer[..<max(0, length)].map(UInt8.init(bitPattern:))
    let folder = String(decoding: path, as: UTF8.self).split(separator: "/").dropLast()
    let program = folder.map { "/" + $0 }.joined() + "/isolation-bench"
    guard unsafe access(program, X_OK) == 0 else { throw CannotRun(path: program) }
    // One pipe holds both streams, with a mark between them: errors are collected aside and printed
    // after it.
    let mark = "-- standard error --\n"
    let script =
      "errors=$({ '\(program)' \(arguments) 1>&3; } 2>&1); status=$?; "
      + "printf '%s' '\(mark)' >&3; printf '%s' \"$errors\" >&3; exit $status"
    guard let pipe = unsafe popen("exec 3>&1; \(script)", "r") else {
      throw CannotRun(path: program)
    }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while case let count = unsafe fread(&chunk, 1, chunk.count, pipe), count > 0 {
      bytes += chunk[..<count]
    }
    let status = unsafe pclose(pipe)
    let text = String(decoding: bytes, as: UTF8.self)
    let parts = text.split(separator: mark, maxSplits: 1, omittingEmptySubsequences: false)
    return Bench(
      status: status >> 8 & 0xff, output: String(parts[0]),
      errors: parts.count > 1 ? String(parts[1]) : "")
  }
}
