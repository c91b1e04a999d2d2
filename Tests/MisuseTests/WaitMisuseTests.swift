// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

/// The ways to wait, each with a deadline so that one that is not refused ends all the same.
enum Wait: String, CaseIterable, Codable {
  case ticket, call, synchronize, unregister, startGracePeriod, join, close

  /// What the sentence says that the CPU must not do.
  var action: String {
    switch self {
    case .ticket: "wait for a ticket"
    case .call: "make a waiting call"
    case .synchronize: "synchronize"
    case .unregister: "unregister a work type"
    case .startGracePeriod: "begin a grace period"
    case .join: "join the thread of CPU 3"
    case .close: "close a coordinator"
    }
  }

  func perform(_ coordinator: Coordinator, _ work: WorkType) {
    switch self {
    case .ticket:
      let ticket = coordinator.sendWithTicket(work, to: [1])
      _ = ticket.wait(until: .executed, timeout: .milliseconds(10))
    case .call: coordinator.call(on: [3], timeout: .milliseconds(10)) { _ in }
    case .synchronize: _ = coordinator.synchronize(timeout: .milliseconds(10))
    case .unregister: _ = try? coordinator.unregister(work, timeout: .milliseconds(10))
    case .startGracePeriod: _ = coordinator.startGracePeriod()
    case .join: _ = try? coordinator.launch(on: 3) { _ in }.join(timeout: .milliseconds(10))
    case .close: _ = try? Coordinator.make().close(timeout: .milliseconds(10))
    }
  }
}

@Suite("Waiting where one must not")
struct WaitMisuseTests {
  @Test("inside a handler", arguments: Wait.allCases)
  func inHandler(wait: Wait) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [wait] in
      try onThisThread {
        let coordinator = try Coordinator.make()
        let other = try coordinator.register("other") { _ in }
        let work = try coordinator.register("waiter") { _ in wait.perform(coordinator, other) }
        let cpu = try coordinator.attach(to: 1)
        coordinator.send(work, to: 1)
        cpu.safePoint()
        cpu.detach()
      }
    }
    result.expect("CPU 1 must not \(wait.action) inside a handler")
  }

  @Test("inside a cross call", arguments: Wait.allCases)
  func inCall(wait: Wait) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [wait] in
      try onThisThread {
        let coordinator = try Coordinator.make()
        let other = try coordinator.register("other") { _ in }
        let thread = try coordinator.launch(on: 1) { cpu in
          while !coordinator.isClosed {
            cpu.inUser { for _ in 0..<100 { cpu.poll() } }
          }
        }
        coordinator.call(on: [1], timeout: .seconds(10)) { _ in wait.perform(coordinator, other) }
        coordinator.close()
        thread.join()
      }
    }
    result.expect("CPU 1 must not \(wait.action) inside a handler")
  }

  @Test(
    "inside a handler that runs on behalf of a CPU, which waits for it", arguments: Wait.allCases)
  func onBehalf(wait: Wait) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [wait] in
      try onThisThread {
        let coordinator = try Coordinator.make()
        let other = try coordinator.register("other") { _ in }
        var options = WorkType.Options()
        options.mayRunOnBehalf = true
        let work = try coordinator.register("waiter", options: options) { _ in
          wait.perform(coordinator, other)
        }
        let cpu = try coordinator.attach(to: 1)
        cpu.enterUser()
        onOtherThread { _ = coordinator.send(work, to: 1, urgency: .onBehalf) }
        cpu.enterKernel()
        cpu.detach()
      }
    }
    let text = result.map { String(decoding: $0.standardErrorContent, as: UTF8.self) }
    #expect(text?.contains("must not \(wait.action) inside a handler") == true)
  }

  @Test("asleep, inside a handler that a CPU runs on behalf of another one")
  func idleOnBehalf() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let helper = try coordinator.attachHandle(to: 0)
        var options = WorkType.Options()
        options.mayRunOnBehalf = true
        let work = try coordinator.register("sleeper", options: options) { _ in
          helper.idle(for: .milliseconds(1))
        }
        try coordinator.launch(on: 1) { cpu in
          cpu.inUser { while !coordinator.isClosed {} }
        }
        while coordinator.context(of: 1) != .user {}
        _ = coordinator.send(work, to: 1, urgency: .onBehalf)
      }
    }
    result.expect("CPU 0 cannot become idle inside a handler")
  }

  @Test(
    "for a grace period inside a kernel section: an isolated CPU in kernel is in one",
    arguments: [Wait.synchronize, .unregister, .startGracePeriod])
  func inIsolatedKernel(wait: Wait) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [wait] in
      try onThisThread {
        let coordinator = try Coordinator.make()
        let work = try coordinator.register("work") { _ in }
        let cpu = try coordinator.attach(to: 1)
        wait.perform(coordinator, work)
        cpu.detach()
      }
    }
    let text = result.map { String(decoding: $0.standardErrorContent, as: UTF8.self) } ?? ""
    #expect(text.contains("CPUIsolation: CPU 1 cannot "), "\(text)")
    #expect(text.contains(" inside a kernel section: it would wait for itself"))
  }

  @Test(
    "for a grace period inside a housekeeper's section",
    arguments: [Wait.synchronize, .startGracePeriod], [false, true])
  func inHousekeepersSection(wait: Wait, fromUser: Bool) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [wait, fromUser] in
      try onThisThread {
        let coordinator = try Coordinator.make()
        let work = try coordinator.register("work") { _ in }
        let cpu = try coordinator.attach(to: 0)
        if fromUser {
          cpu.inUser { cpu.inKernel { wait.perform(coordinator, work) } }
        } else {
          cpu.inKernel { wait.perform(coordinator, work) }
        }
        cpu.detach()
      }
    }
    result.expect(
      "CPU 0 cannot \(wait.action) inside a kernel section: it would wait for itself")
  }

  @Test("a housekeeper outside its sections may wait for what it likes", arguments: Wait.allCases)
  func control(wait: Wait) async {
    await #expect(processExitsWith: .success) { [wait] in
      try onThisThread {
        let coordinator = try Coordinator.make()
        let work = try coordinator.register("work") { _ in }
        let cpu = try coordinator.attach(to: 0)
        wait.perform(coordinator, work)
        cpu.detach()
      }
    }
  }
}
