// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

extension StressTests.FailureCases {
  private func expect(_ code: IsolationError.Code, _ action: () throws -> Void) {
    do {
      try action()
      Issue.record("\(code) was expected")
    } catch let error as IsolationError {
      #expect(error.code == code)
      #expect(!error.description.isEmpty)
    } catch {
      Issue.record("\(error)")
    }
  }

  @Test func emptyMasks() throws {
    let coordinator = try Coordinator.quiet(isolated: [0])
    let work = try coordinator.register("work") { _ in }
    #expect(coordinator.send(work, to: CPUMask()).description == "no target")
    #expect(coordinator.call(on: []) { _ in }.description == "no target")
    let posted = unsafe coordinator.post(on: [], context: nil) { _, _ in }
    #expect(posted.description == "no target")
    #expect(coordinator.sendWithTicket(work, to: []).wait(until: .executed) == .settled)
    expect(.invalidConfiguration) { _ = try Coordinator(.init(housekeeping: [], isolated: [])) }
    expect(.invalidConfiguration) {
      _ = try Coordinator(.init(housekeeping: [1, 2], isolated: [2]))
    }
  }

  /// Wider than one word, than two, and than the machine.
  @Test(arguments: [64, 65, 128, 200, 1100])
  func wideMasks(_ width: Int) throws {
    let coordinator = try Coordinator.quiet(isolated: CPUMask(0..<width)) { $0.watchdog = nil }
    let runs = SharedCounter()
    let work = try coordinator.register("work") { cpu in runs.add(cpu + 1) }
    let local = try coordinator.attach(to: width - 1)
    local.inUser {
      let report = coordinator.send(work, to: coordinator.cpus, where: { $0 != 5 })
      #expect(report[.deferred] == [width - 1])
      #expect(report[.skipped] == [5])
      #expect(report[.gone].count == width - 2)
      #expect(report.covered == [width - 1])
    }
    #expect(runs.value == width)
    let report = coordinator.call(on: coordinator.cpus, timeout: .seconds(30)) { _ in }
    #expect(report[.ranInline] == [width - 1])
    #expect(report[.gone].count == width - 1)
    local.detach()
  }

  /// A number between the masks is nobody's: what is sent there is gone.
  @Test func gapsBetweenTheMasks() throws {
    let coordinator = try Coordinator.quiet(housekeeping: [0], isolated: [5])
    let work = try coordinator.register("work") { _ in }
    #expect(coordinator.cpus == [0, 5])
    #expect(coordinator.send(work, to: 5) == .gone)
    #expect(coordinator.send(work, to: coordinator.cpus)[.gone] == [0, 5])
  }

  @Test func foreignAndStaleWork() throws {
    let coordinator = try Coordinator.quiet(isolated: [0])
    let other = try Coordinator.quiet(isolated: [0])
    let work = try coordinator.register("same name") { _ in }
    let twin = try coordinator.register("same name") { _ in }
    let foreign = try other.register("foreign") { _ in }
    #expect(work != twin)
    #expect(coordinator.send(foreign, to: 0) == .rejected(.unregistered))
    #expect(coordinator.send(foreign, to: [0]).refusal == .rejected(.unregistered))
    expect(.workTypeUnregistered) { try coordinator.unregister(foreign) }
    try coordinator.unregister(work)
    expect(.workTypeUnregistered) { try coordinator.unregister(work) }
    #expect(coordinator.send(work, to: 0) == .rejected(.unregistered))
    #expect(coordinator.send(twin, to: 0) == .gone)
  }

  @Test func oneTypeTooMany() throws {
    let coordinator = try Coordinator.quiet(isolated: [0])
    let all = try (0..<WorkType.capacity).map { try coordinator.register("\($0)") { _ in } }
    #expect(Set(all.map(\.bit)).count == WorkType.capacity)
    expect(.tooManyWorkTypes) { _ = try coordinator.register("one more") { _ in } }
    try coordinator.unregister(all[7])
    #expect(try coordinator.register("heir") { _ in }.bit == 7)
    expect(.tooManyWorkTypes) { _ = try coordinator.register("one more") { _ in } }
    #expect(coordinator.send(all[7], to: 0) == .rejected(.unregistered))
  }

  @Test func agesThatNothingCouldKeep() throws {
    var options = WorkType.Options()
    options.maximumAge = .milliseconds(1)
    let unwatched = try Coordinator.quiet(isolated: [0]) { $0.watchdog = nil }
    expect(.watchdogRequired) { _ = try unwatched.register("aged", options: options) { _ in } }
    let signalled = try Coordinator.quiet(isolated: [0]) { $0.isolatedInterrupter = .signal }
    expect(.unreachableMaximumAge) { _ = try signalled.register("aged", options: options) { _ in } }
    let parked = try Coordinator.quiet(isolated: [0]) { $0.isolatedInterrupter = .park }
    expect(.unreachableMaximumAge) { _ = try parked.register("aged", options: options) { _ in } }
    options.maximumAge = .zero
    let polled = try Coordinator.quiet(isolated: [0])
    expect(.unreachableMaximumAge) { _ = try polled.register("aged", options: options) { _ in } }
  }
}
