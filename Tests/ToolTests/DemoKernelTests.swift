// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Foundation
import Glibc
import Testing

@testable import IsolationDemo

/// What the demonstration makes of the kernel's own count.
@Suite struct DemoKernelAccountTests {
  private static let trace = """
        churn/0-21    (  20) [000] d..1.  100.000010: ipi_send_cpu: cpu=1 callsite=a+0x1 callback=0x0
        churn/0-21    (  20) [000] d..1.  100.000011: signal_generate: sig=37 errno=0 code=-6 comm=isolated/1 pid=22 grp=0 res=0
        churn/0-21    (  20) [000] d..1.  101.000000: csd_queue_cpu: cpu=1 callsite=b func=flush_tlb_func csd=c
        churn/0-21    (  20) [000] d..1.  101.000001: ipi_send_cpu: cpu=1 callsite=b callback=generic_smp_call+0x0
        churn/0-21    (  20) [000] d..1.  109.000000: csd_queue_cpu: cpu=1 callsite=b func=flush_tlb_func csd=c
        churn/0-21    (  20) [000] d..1.  109.000001: ipi_send_cpu: cpu=1 callsite=b callback=generic_smp_call+0x0
        <idle>-0      (-------) [000] d..1.  109.000002: ipi_send_cpu: cpu=1 callsite=d callback=0x0
        <...>-77      (-------) [000] d..1.  109.000003: ipi_send_cpu: cpu=1 callsite=d callback=0x0
        sshd-90       (  90) [000] d..1.  109.000004: ipi_send_cpu: cpu=1 callsite=d callback=0x0

    """

  private func account(_ trace: String = trace) -> KernelAccount {
    var parser = KernelLedger.TraceParser(processors: [1], process: 20)
    parser.parse(Array(trace.utf8))
    var account = KernelAccount(processors: [1])
    account.add(parser.takeReport(), started: .seconds(102))
    return account
  }

  @Test func interruptsAreCountedByCallbackAndSender() {
    let account = account()
    #expect(account.unknown == 0 && account.lost == 0)
    #expect(account.interrupts == 6)
    #expect((account.signals, account.signalInterrupts) == (1, 1))
    let flushes = KernelAccount.Kind(
      callback: "flush_tlb_func", callSite: "b", sender: "churn/0", origin: .own)
    #expect(account.rows.first?.kind == flushes)
    #expect(account.kinds[flushes] == KernelAccount.Count(setUp: 1, run: 1))
    #expect(account.ownRest == ["flush_tlb_func": KernelAccount.Count(setUp: 1, run: 1)])
    let origins = Dictionary(
      uniqueKeysWithValues: account.rows.filter { $0.kind.callback == "rescheduling" }
        .map { ($0.kind.sender, $0.kind.origin) })
    #expect(origins == ["churn/0": .own, "<idle>": .other, "<...>": .unknown, "sshd": .other])
  }

  @Test func whatIsReadInPiecesAddsUp() {
    var twice = account()
    var parser = KernelLedger.TraceParser(processors: [1], process: 20)
    parser.parse(Array(Self.trace.utf8))
    twice.add(parser.takeReport(), started: .zero)
    #expect((twice.signals, twice.interrupts) == (2, 12))
    #expect(twice.ownRest == ["flush_tlb_func": KernelAccount.Count(setUp: 1, run: 3)])
  }

  /// What a timer sends while it has interrupted a thread of the process is not that thread's.
  @Test func whatAnInterruptSendsIsNotOurs() {
    let line =
      "  churn/0-21    (  20) [000] d.s4.  110.000000: ipi_send_cpu: cpu=1 callsite=wake+0x1 "
      + "callback=0x0\n"
    let account = account(Self.trace + line)
    #expect(account.ownRest == ["flush_tlb_func": KernelAccount.Count(setUp: 1, run: 1)])
    #expect(
      report(account).text.contains(
        "      1 callback=rescheduling sender=churn/0 at=wake, of this process, inside an interrupt\n"
      ))
  }

  @Test func onlyAWholeAccountIsCompared() {
    #expect(account().agreement(with: 1) == .equal)
    #expect(
      account().agreement(with: 3) == .different(["1 signals by the kernel, 3 by the statistics"]))
    let lossy = account("CPU:0 [LOST 7 EVENTS]\n" + Self.trace)
    #expect(lossy.agreement(with: 3) == .notMade("the kernel had no room for 7 events"))
    let strange = account("something else\n" + Self.trace)
    #expect(strange.agreement(with: 1) == .notMade("1 lines of the kernel's were not understood"))
    var anonymous = account()
    anonymous.isAnonymous = true
    #expect(
      anonymous.agreement(with: 3) == .notMade("the kernel's number of this process is not known"))
    let none = KernelAccount(processors: [1], refusal: "it may not")
    #expect(none.agreement(with: 1) == .notMade("it may not"))
  }

  private func report(_ account: KernelAccount?) -> DemoReport {
    var counts = CallbackCounts(.plainCall)
    (counts.sent, counts.ipis, counts.executed) = (1, 1, 1)
    var traced = IPICounts(recorded: RecordedEvent.interrupts(of: [1]), isolated: [1])
    traced.ipis = ["plain_call": 1]
    let mode = ModeReport(
      mode: .deferred, broken: nil, callbacks: [counts], lost: 0,
      legality: LegalityReport(violations: 0, checked: Checked(), refusal: nil),
      oldestPending: .zero, noise: [], transitions: 2, traced: traced, kernel: account)
    return DemoReport(modes: [mode], badCase: nil)
  }

  @Test func theTablesSayWhoSentWhat() {
    let text = report(account()).text
    for line in [
      "deferred: interrupts of processors 1, by the kernel's count\n",
      "      2 callback=flush_tlb_func sender=churn/0 at=b, of this process; 1 of them in set-up\n",
      "      1 callback=rescheduling sender=churn/0 at=a, our signal; 1 of them in set-up\n",
      "      1 callback=rescheduling sender=sshd at=d\n",
      "      1 callback=rescheduling sender=<...> at=d, of an unknown process\n",
      "      6 in all, 1 with our signals\n",
      "besides signals, after set-up, from this process: 1 flush_tlb_func\n",
      "1 signals sent; the statistics say the same\n",
    ] {
      #expect(text.contains(line), "\(text)")
    }
    let json = report(account()).json
    #expect(
      json.contains(
        #""interrupts":[{"callback":"flush_tlb_func","call_site":"b","sender":"churn/0","#
          + #""process":"own","inside_an_interrupt":false,"carries_our_signal":false,"#
          + #""set_up":1,"run":1},"#))
    #expect(
      json.contains(
        #""interrupts_total":6,"own_besides_signals_after_set_up":{"flush_tlb_func":1},"#
          + #""signals":1,"signals_with_interrupt":1,"lost":0,"equals_statistics":true}"#))
    #expect(report(nil).json.contains(#""kernel":null"#))
  }

  @Test func aDifferentCountIsNotSoundAndARefusalIs() {
    #expect(report(account()).isSound && report(nil).isSound)
    var other = account()
    other.signals = 4
    let different = report(other)
    #expect(!different.isSound)
    #expect(
      different.modes[0].disagreement
        == "deferred: the kernel and the statistics count different IPIs "
        + "(4 signals by the kernel, 1 by the statistics)")
    #expect(different.text.contains("THE STATISTICS SAY OTHERWISE: 4 signals by the kernel"))
    var loud = report(nil)
    loud.modes[0].quietRefusals = ["cannot lock the memory"]
    #expect(loud.isSound && loud.text.contains("memory is not quiet: cannot lock the memory\n"))
    #expect(loud.json.contains(#""quiet_memory_refused":["cannot lock the memory"]"#))
    let refused = report(KernelAccount(processors: [1], refusal: "it may not"))
    #expect(refused.isSound)
    #expect(refused.text.contains("deferred: no count by the kernel: it may not\n"))
    #expect(refused.json.contains(#""kernel":{"refused":"it may not","#))
  }

  @Test func theKernelIsNotAskedAboutProbes() {
    let error = #expect(throws: Options.UsageError.self) {
      try Options.parse(["--kernel", "--probes", "100"], processors: 2)
    }
    #expect(error?.description.contains("--kernel") == true)
  }
}

/// The built command beside the kernel's trace.
@Suite(.serialized) struct DemoKernelTests {
  private typealias Object = [String: Any]

  private func kernel(_ output: String) throws -> [(account: Object, mode: Object)] {
    let whole = try #require(
      try JSONSerialization.jsonObject(with: Data(output.utf8)) as? Object)
    let modes = try #require(whole["modes"] as? [Object])
    return try modes.map { (account: try #require($0["kernel"] as? Object), mode: $0) }
  }

  @Test(
    .enabled("as root, with tracefs and two processors") {
      sysconf(Int32(_SC_NPROCESSORS_ONLN)) > 1 && (try? KernelLedger(processors: [0])) != nil
    })
  func theKernelsCountOfSignalsIsOurs() throws {
    let run = try DemoProcess(["--json", "--kernel", "--duration", "0.5"])
    #expect(run.status == 0)
    for (account, mode) in try kernel(run.output) {
      #expect(account["refused"] is NSNull)
      let interrupts = try #require(account["interrupts"] as? [Object])
      let counts = interrupts.map { ($0["set_up"] as? Int ?? -1) + ($0["run"] as? Int ?? -1) }
      #expect(counts.allSatisfy { $0 > 0 })
      #expect(account["interrupts_total"] as? Int == counts.reduce(0, +))
      // Where events were lost, or a container numbers processes anew, nothing is compared.
      guard let isEqual = account["equals_statistics"] as? Bool else { continue }
      #expect(isEqual && account["lost"] as? Int == 0)
      #expect(account["signals"] as? Int == mode["ipis_total"] as? Int)
    }
  }

  /// A user who may not trace gets a sentence, and everything else.
  @Test(.enabled("as root alone tracefs may be written") { !isOpenToEverybody })
  func withoutRightsASentenceSaysSo() async throws {
    let result = await #expect(
      processExitsWith: .exitCode(0), observing: [\.standardOutputContent]
    ) {
      if geteuid() == 0, setgid(65534) != 0 || setuid(65534) != 0 { _exit(2) }
      let status = Command.run(["--json", "--kernel", "--mode", "deferred", "--duration", "0.3"])
      fflush(nil)
      _exit(status)
    }
    let output = String(decoding: result?.standardOutputContent ?? [], as: UTF8.self)
    let accounts = try kernel(output)
    #expect(accounts.count == 1)
    for (account, _) in accounts {
      let sentence = try #require(account["refused"] as? String)
      #expect(!sentence.isEmpty)
      #expect(account["interrupts_total"] as? Int == 0)
      #expect(account["equals_statistics"] is NSNull)
    }
  }

  private static var isOpenToEverybody: Bool {
    var status = stat()
    guard unsafe stat("/sys/kernel/tracing/instances", &status) == 0 else { return false }
    return status.st_mode & 0o002 != 0
  }
}
