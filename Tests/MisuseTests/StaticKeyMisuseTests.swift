// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

@Suite("Misuse of static keys")
struct StaticKeyMisuseTests {
  @Test("disabling what nobody enabled")
  func underflow() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let keys = try StaticKeys(Coordinator.make())
      let key = try keys.makeKey("sampling", isEnabled: true)
      try keys.disable(key)
      try keys.disable(key)
    }
    result.expect("the static key sampling was disabled more often than it was enabled")
  }

  @Test("taking more users from a key than it has")
  func underflowOfMany() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let keys = try StaticKeys(Coordinator.make())
      let key = try keys.makeKey("sampling", isEnabled: true)
      try keys.update {
        $0.disable(key)
        $0.disable(key)
      }
    }
    result.expect("the static key sampling was disabled more often than it was enabled")
  }

  @Test("leaving twice, later")
  func underflowLater() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let keys = try StaticKeys(Coordinator.make())
      let key = try keys.makeKey("sampling", isEnabled: true)
      try keys.disable(key, after: .seconds(10))
      try keys.disable(key, after: .seconds(10))
    }
    result.expect("the static key sampling was disabled more often than it was enabled")
  }

  @Test("disabling while the first user still waits for CPUs")
  func disableWhileEnabling() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let keys = try StaticKeys(coordinator)
        let key = try keys.makeKey("sampling")
        // In kernel, and without a safe point: the first enable waits for it.
        let cpu = try coordinator.attach(to: 1)
        onOtherThread {
          onOtherThreadForGood { _ = try? keys.enable(key) }
          while !keys.isEnabled(key) {}
          _ = try? keys.disable(key)
        }
        cpu.detach()
      }
    }
    result.expect(
      "the static key sampling was disabled while its first user was still enabling it")
  }

  @Test("reading a key inside a handler, by the thread's own CPU")
  func readInHandler() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let keys = try StaticKeys(coordinator)
        let key = try keys.makeKey("sampling")
        let work = try coordinator.register("reader") { _ in
          _ = keys.isEnabled(key, file: "Server/Loop.swift", line: 7)
        }
        let cpu = try coordinator.attach(to: 1)
        cpu.send(work, to: 1)
      }
    }
    result.expect(
      "CPU 1 read a static key inside a handler, before it has caught up: at Server/Loop.swift:7",
      caller: "Server/Loop.swift:7")
  }

  @Test("reading a key inside a handler, by the CPU's number")
  func readInHandlerByNumber() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let keys = try StaticKeys(coordinator)
        let key = try keys.makeKey("sampling")
        let work = try coordinator.register("reader") { cpu in
          _ = keys.isEnabled(key, on: cpu, file: "Server/Loop.swift", line: 8)
        }
        let cpu = try coordinator.attach(to: 1)
        cpu.enterUser()
        coordinator.send(work, to: 1)
        cpu.enterKernel()
      }
    }
    result.expect(
      "CPU 1 read a static key inside a handler, before it has caught up: at Server/Loop.swift:8",
      caller: "Server/Loop.swift:8")
  }

  @Test("reading a key on behalf of a CPU")
  func readOnBehalf() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let keys = try StaticKeys(coordinator)
        let key = try keys.makeKey("sampling")
        var options = WorkType.Options()
        options.mayRunOnBehalf = true
        let work = try coordinator.register("reader", options: options) { cpu in
          _ = keys.isEnabled(key, on: cpu, file: "Server/Loop.swift", line: 9)
        }
        let cpu = try coordinator.attach(to: 1)
        cpu.enterUser()
        onOtherThread { _ = coordinator.send(work, to: 1, urgency: .onBehalf) }
      }
    }
    result.expect(
      "CPU 1 read a static key inside a handler, before it has caught up: at Server/Loop.swift:9",
      caller: "Server/Loop.swift:9")
  }

  @Test("reading a key, and calling, by a handle inside a handler", arguments: [false, true])
  func handleInHandler(calls: Bool) async {
    if calls {
      let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        try onThisThread {
          let coordinator = try Coordinator.make()
          let keys = try StaticKeys(coordinator)
          let call = try unsafe keys.makeCall("call")
          let cpu = try coordinator.attachHandle(to: 1)
          let work = try coordinator.register("reader") { _ in
            _ = call(1, on: cpu, file: "Server/Loop.swift", line: 10)
          }
          coordinator.send(work, to: 1)
          cpu.safePoint()
        }
      }
      result.expect(
        "CPU 1 read a static call inside a handler, before it has caught up: at Server/Loop.swift:10",
        caller: "Server/Loop.swift:10")
    } else {
      let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        try onThisThread {
          let coordinator = try Coordinator.make()
          let keys = try StaticKeys(coordinator)
          let key = try keys.makeKey("sampling")
          let cpu = try coordinator.attachHandle(to: 1)
          let work = try coordinator.register("reader") { _ in
            _ = key.isEnabled(on: cpu, file: "Server/Loop.swift", line: 11)
          }
          coordinator.send(work, to: 1)
          cpu.safePoint()
        }
      }
      result.expect(
        "CPU 1 read a static key inside a handler, before it has caught up: at Server/Loop.swift:11",
        caller: "Server/Loop.swift:11")
    }
  }

  @Test(
    "reading a key, and calling, by the handle of another thread's CPU", arguments: [false, true])
  func handleElsewhere(calls: Bool) async {
    let result =
      calls
      ? await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        try onThisThread {
          let coordinator = try Coordinator.make()
          let call = try unsafe StaticKeys(coordinator).makeCall("call")
          let cpu = try coordinator.attachHandle(to: 1)
          onOtherThread { _ = call(1, on: cpu) }
        }
      }
      : await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        try onThisThread {
          let coordinator = try Coordinator.make()
          let key = try StaticKeys(coordinator).makeKey("sampling")
          let cpu = try coordinator.attachHandle(to: 1)
          onOtherThread { _ = key.isEnabled(on: cpu) }
        }
      }
    result.expect("CPU 1 was used by a thread that is not attached to it")
  }

  @Test("calling on behalf of a CPU, by its handle")
  func handleOnBehalf() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let call = try unsafe StaticKeys(coordinator).makeCall("call")
        let cpu = try coordinator.attachHandle(to: 1)
        var options = WorkType.Options()
        options.mayRunOnBehalf = true
        let work = try coordinator.register("caller", options: options) { _ in _ = call(1, on: cpu)
        }
        cpu.enterUser()
        onOtherThread { _ = coordinator.send(work, to: 1, urgency: .onBehalf) }
      }
    }
    result.expect("CPU 1 was used by a thread that is not attached to it")
  }

  @Test("reading a deferred key in an interrupt", .needsQueuedSignals)
  func readInInterrupt() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make(.signal)
        let keys = try StaticKeys(coordinator)
        let key = try keys.makeKey("sampling")
        let cpu = try coordinator.attach(to: 1)
        cpu.enterUser()
        onOtherThread {
          _ = coordinator.call(on: [1], isInterruptSafe: true) { _ in
            _ = keys.isEnabled(key, file: "Server/Loop.swift", line: 12)
          }
        }
      }
    }
    result.expect(
      "CPU 1 read a static key in an interrupt, before it has caught up: at Server/Loop.swift:12",
      caller: "Server/Loop.swift:12")
  }

  @Test("changing a key in user")
  func changeInUser() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let keys = try StaticKeys(coordinator)
        let key = try keys.makeKey("sampling")
        let cpu = try coordinator.attach(to: 1)
        try cpu.inUser { _ = try keys.enable(key) }
      }
    }
    result.expect("CPU 1 cannot change a static key: it is in user")
  }

  @Test("changing a key inside a handler")
  func changeInHandler() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let keys = try StaticKeys(coordinator)
        let key = try keys.makeKey("sampling")
        let work = try coordinator.register("changer") { _ in _ = try? keys.enable(key) }
        let cpu = try coordinator.attach(to: 1)
        cpu.send(work, to: 1)
      }
    }
    result.expect("CPU 1 must not change a static key inside a handler")
  }

  @Test("a key of other keys, and a CPU of another coordinator")
  func foreign() async {
    var result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let keys = [try StaticKeys(Coordinator.make()), try StaticKeys(Coordinator.make())]
      let key = try keys[0].makeKey("sampling")
      try keys[1].enable(key)
    }
    result.expect("a static key was used that belongs to other keys")
    result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let keys = try StaticKeys(Coordinator.make())
        let key = try keys.makeKey("sampling")
        let cpu = try Coordinator.make().attach(to: 1)
        if !key.isEnabled(on: cpu) { try keys.enable(key) }
      }
    }
    result.expect("a static key was used on a CPU of another coordinator")
  }

  @Test("a call of a coordinator that is gone, on a CPU of the one that has its place")
  func outlived() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        func makeCall() throws -> StaticCall {
          try unsafe StaticKeys(Coordinator.make()).makeCall("call") { _, number in number }
        }
        let call = try makeCall()
        let coordinator = try Coordinator.make()
        _ = try StaticKeys(coordinator).makeKey("sampling", isEnabled: true)
        let cpu = try coordinator.attach(to: 1)
        _ = call(1, on: cpu)
      }
    }
    result.expect("a static call was used on a CPU of another coordinator")
  }
}
