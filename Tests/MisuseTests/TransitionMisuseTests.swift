// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

@Suite("Misuse of transitions")
struct TransitionMisuseTests {
  @Test("correct use ends well: what the others prove, they do not prove by accident")
  func control() async {
    await #expect(processExitsWith: .success) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let work = try coordinator.register("work") { _ in }
        let cpu = try coordinator.attach(to: 1)
        cpu.enterUser()
        coordinator.send(work, to: 1)
        cpu.enterKernel()
        cpu.inUser { cpu.inKernel {} }
        cpu.idle(for: .zero)
        cpu.declareQuiescent()
        cpu.detach()
        try coordinator.unregister(work)
        coordinator.close()
      }
    }
  }

  @Test("leaving kernel twice")
  func enterUserTwice() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let cpu = try Coordinator.make().attach(to: 1)
        cpu.enterUser()
        cpu.enterUser()
      }
    }
    result.expect("CPU 1 cannot leave kernel: it is in user")
  }

  @Test("entering kernel twice")
  func enterKernelTwice() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let cpu = try Coordinator.make().attach(to: 1)
        cpu.enterUser()
        cpu.enterKernel()
        cpu.enterKernel()
      }
    }
    result.expect("CPU 1 entered kernel from user, but it was in kernel")
  }

  @Test("entering kernel without ever having left it")
  func enterKernelFirst() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let cpu = try Coordinator.make().attach(to: 1)
        cpu.enterKernel()
      }
    }
    result.expect("CPU 1 entered kernel from user, but it was in kernel")
  }

  @Test("user inside user")
  func userInUser() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let cpu = try Coordinator.make().attach(to: 1)
        cpu.inUser { cpu.inUser {} }
      }
    }
    result.expect("CPU 1 cannot leave kernel: it is in user")
  }

  @Test("guest inside user")
  func guestInUser() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let cpu = try Coordinator.make().attach(to: 1)
        cpu.inUser { cpu.inGuest {} }
      }
    }
    result.expect("CPU 1 cannot leave kernel: it is in user")
  }

  @Test("leaving kernel inside a handler")
  func enterUserInHandler() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let cpu = try coordinator.attach(to: 1)
        let handle = cpu.handle
        let work = try coordinator.register("leaver") { _ in handle.enterUser() }
        coordinator.send(work, to: 1)
        cpu.safePoint()
      }
    }
    result.expect("CPU 1 cannot leave kernel inside a handler")
  }

  @Test("leaving kernel inside a handler that an entry runs")
  func enterUserInEntry() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let cpu = try coordinator.attach(to: 1)
        let handle = cpu.handle
        let work = try coordinator.register("leaver") { _ in handle.enterUser() }
        cpu.inUser { _ = coordinator.send(work, to: 1) }
      }
    }
    result.expect("CPU 1 cannot leave kernel inside a handler")
  }

  @Test("entering kernel inside a handler")
  func enterKernelInHandler() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let cpu = try coordinator.attach(to: 1)
        let handle = cpu.handle
        let work = try coordinator.register("enterer") { _ in handle.enterKernel() }
        coordinator.send(work, to: 1)
      }
    }
    result.expect("CPU 1 entered kernel from user, but it was in kernel")
  }

  @Test("leaving kernel inside a cross call")
  func enterUserInCall() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let cpu = try coordinator.attach(to: 1)
        _ = unsafe coordinator.post(on: [1], context: nil) { _, _ in
          unsafe Leaver.handle!.enterUser()
        }
        unsafe Leaver.handle = cpu.handle
        cpu.safePoint()
      }
    }
    result.expect("CPU 1 cannot leave kernel inside a handler")
  }

  /// What a C function cannot be handed otherwise.
  private enum Leaver {
    nonisolated(unsafe) static var handle: CPUHandle? = nil
  }

  @Test("leaving kernel inside a nested section")
  func enterUserInSection() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let cpu = try Coordinator.make().attach(to: 1)
        cpu.inKernel { cpu.enterUser() }
      }
    }
    result.expect("CPU 1 cannot leave kernel inside a nested kernel section")
  }

  /// How a kernel section comes about that is in no other one.
  enum Outside: String, CaseIterable, Codable, Sendable {
    case user, guest, callbacks

    func run(on cpu: borrowing LocalCPU, _ body: () -> Void) {
      switch self {
      case .user: cpu.inUser { cpu.inKernel(body) }
      case .guest: cpu.inGuest { cpu.inKernel(body) }
      case .callbacks:
        cpu.handle.enterUser()
        cpu.inKernel(body)
        cpu.handle.enterKernel()
      }
    }
  }

  enum Leaving: String, CaseIterable, Codable, Sendable {
    case user, guest, idle, quiescent, detach

    func run(on cpu: borrowing LocalCPU) {
      switch self {
      case .user: cpu.inUser {}
      case .guest: cpu.inGuest {}
      case .idle: cpu.idle(for: .zero)
      case .quiescent: cpu.declareQuiescent()
      case .detach: cpu.handle.detach()
      }
    }

    var action: String {
      switch self {
      case .user, .guest: "leave kernel"
      case .idle: "become idle"
      case .quiescent: "declare a quiescent state"
      case .detach: "detach"
      }
    }
  }

  @Test(
    "a section counts whatever it was entered from", arguments: Outside.allCases, Leaving.allCases)
  func leaveSection(_ outside: Outside, _ leaving: Leaving) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [outside, leaving] in
      try onThisThread {
        let cpu = try Coordinator.make().attach(to: 1)
        outside.run(on: cpu) { leaving.run(on: cpu) }
      }
    }
    result.expect("CPU 1 cannot \(leaving.action) inside a nested kernel section")
  }

  @Test("a safe point in user")
  func safePointInUser() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let work = try coordinator.register("work") { _ in }
        let cpu = try coordinator.attach(to: 1)
        cpu.enterUser()
        coordinator.send(work, to: 1)
        cpu.safePoint()
      }
    }
    result.expect("CPU 1 declared a safe point outside kernel")
  }

  @Test("a quiescent state in user")
  func quiescentInUser() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let cpu = try Coordinator.make().attach(to: 1)
        cpu.inUser { cpu.declareQuiescent() }
      }
    }
    result.expect("CPU 1 cannot declare a quiescent state: it is in user")
  }

  @Test("a quiescent state inside a nested section, which may hold something")
  func quiescentInSection() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let cpu = try Coordinator.make().attach(to: 1)
        cpu.inKernel { cpu.declareQuiescent() }
      }
    }
    result.expect("CPU 1 cannot declare a quiescent state inside a nested kernel section")
  }

  @Test("sleeping in user")
  func idleInUser() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let cpu = try Coordinator.make().attach(to: 1)
        cpu.inUser { cpu.idle(for: .zero) }
      }
    }
    result.expect("CPU 1 cannot become idle: it is in user")
  }

  @Test("sleeping inside a handler")
  func idleInHandler() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let cpu = try coordinator.attach(to: 1)
        let handle = cpu.handle
        let work = try coordinator.register("sleeper") { _ in handle.idle(for: .zero) }
        coordinator.send(work, to: 1)
      }
    }
    result.expect("CPU 1 cannot become idle inside a handler")
  }
}
