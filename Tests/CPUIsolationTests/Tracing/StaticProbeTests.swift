// SPDX-License-Identifier: Apache-2.0

// The kernel, which this test stands for, changes what no Swift may.
@unsafe @preconcurrency import CPlatform
import Testing

@testable import CPUIsolation

/// What a coordinator does while a tool watches static probes. The kernel counts the tools in words of
/// the process, so that a test which counts there itself needs a process of its own.
@Suite("Static probes") struct StaticProbeTests {
  @Test("there is one for each built-in event, and none for others")
  func numbers() {
    #expect(BuiltInEvent.allCases.count == Int(CPI_STATIC_PROBES))
    for event in BuiltInEvent.allCases { #expect(!StaticProbe.isWatched(TraceEvent(event))) }
    #expect(!StaticProbe.isWatched(TraceEvent(index: Int(CPI_STATIC_PROBES), number: 1)))
  }

  @Test("a coordinator notices at the watchdog's next look, and records nothing for it")
  func watching() async {
    await #expect(processExitsWith: .success) {
      try PlainThread.start { Result { try Self.watch() } }.value().get()
    }
  }

  private static func watch() throws {
    var configuration = Coordinator.Configuration.scripted()
    configuration.watchdog = .init()
    configuration.watchdog?.isManual = true
    let coordinator = try Coordinator(configuration)
    let events = BuiltInEvent.allCases.map { TraceEvent($0) }
    let work = try coordinator.register("flush") { _ in }
    let cpu = try coordinator.attach(to: 1)
    func everything(_ cpu: borrowing LocalCPU) throws {
      cpu.inUser { _ = coordinator.send(work, to: coordinator.isolated) }
      _ = coordinator.send(work, to: 1)
      try PlainThread.start { _ = coordinator.startGracePeriod() }.value()
    }
    precondition(events.allSatisfy { !coordinator.core.isTraced($0) })
    try everything(cpu)
    for event in events { count(1, event) }
    precondition(events.allSatisfy { !coordinator.core.isTraced($0) })
    coordinator.advanceClock(by: .milliseconds(1))
    precondition(events.allSatisfy { coordinator.core.isTraced($0) && StaticProbe.isWatched($0) })
    try everything(cpu)
    precondition(coordinator.tracer.events.isEmpty)
    precondition(coordinator.tracer.snapshot().rings.allSatisfy { $0.events.isEmpty })

    // What the tracer records beside is recorded, and goes on after the tool has gone.
    try coordinator.tracer.start(.contextUserExit)
    try everything(cpu)
    for event in events { count(0, event) }
    coordinator.advanceClock(by: .milliseconds(1))
    try everything(cpu)
    let recorded = coordinator.tracer.snapshot().rings.map(\.events.count)
    precondition(recorded == [0, 2, 0], "\(recorded)")
    precondition(coordinator.tracer.events.map(\.name) == ["context_user_exit"])
    precondition(events.filter { coordinator.core.isTraced($0) } == [.contextUserExit])

    // A coordinator that is made while a tool watches needs no watchdog to notice.
    count(1, .deferredWorkSet)
    let other = try Coordinator(.scripted())
    precondition(events.filter { other.core.isTraced($0) } == [.deferredWorkSet])
    cpu.detach()
  }

  // Safety: a half word for each event. The test alone looks at them meanwhile.
  private static func count(_ watchers: UInt16, _ event: TraceEvent) {
    unsafe withUnsafeMutableBytes(of: &cpi_probe_watchers) {
      unsafe $0.storeBytes(of: watchers, toByteOffset: 2 * event.index, as: UInt16.self)
    }
  }
}
