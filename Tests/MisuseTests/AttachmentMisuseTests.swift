// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Synchronization
import Testing

@Suite("Misuse of attachments and handles")
struct AttachmentMisuseTests {
  @Test("detaching in user")
  func detachInUser() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let cpu = try Coordinator.make().attach(to: 1)
        cpu.enterUser()
        cpu.detach()
      }
    }
    result.expect("CPU 1 cannot detach: it is in user")
  }

  @Test("a launched body that ends in user")
  func launchedEndsInUser() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        try Coordinator.make().launch(on: 3) { $0.enterUser() }.join()
      }
    }
    result.expect("CPU 3 cannot detach: it is in user", namesCaller: false)
  }

  @Test("detaching inside a nested section")
  func detachInSection() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let cpu = try Coordinator.make().attach(to: 1)
        cpu.inKernel { cpu.handle.detach() }
      }
    }
    result.expect("CPU 1 cannot detach inside a nested kernel section")
  }

  @Test("detaching inside a handler")
  func detachInHandler() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let cpu = try coordinator.attachHandle(to: 1)
        let work = try coordinator.register("leaver") { _ in cpu.detach() }
        coordinator.send(work, to: 1)
        cpu.safePoint()
      }
    }
    result.expect("CPU 1 cannot detach inside a handler")
  }

  @Test("detaching twice: by the handle, then by the value")
  func detachTwice() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let cpu = try Coordinator.make().attach(to: 1)
        cpu.handle.detach()
        cpu.detach()
      }
    }
    result.expect(
      "the LocalCPU of CPU 1 ended on a thread that is not attached to it: it was carried over an await, or sent"
    )
  }

  @Test("a value that ends on another thread than its own")
  func endsElsewhere() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let box = Box()
        onOtherThread { box.cpu = try? coordinator.attach(to: 1) }
        // The other thread's end has let go of what its CPU kept.
        withExtendedLifetime(coordinator) { box.cpu = nil }
      }
    }
    result.expect(
      "the LocalCPU of CPU 1 ended on a thread that is not attached to it: it was carried over an await, or sent",
      namesCaller: false)
  }

  /// What the compiler does not look into.
  // Sendable: it is not, which is the mistake.
  private final class Box: @unchecked Sendable {
    var cpu: LocalCPU? = nil
  }

  @Test("a handle whose coordinator is gone")
  func handleOfNone() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        func detached() throws -> CPUHandle {
          let cpu = try Coordinator.make().attachHandle(to: 1)
          cpu.detach()
          return cpu
        }
        try detached().enterUser()
      }
    }
    result.expect("a CPUHandle was used whose coordinator is gone")
  }

  @Test("joining one's own thread")
  func joinsItself() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let coordinator = try Coordinator.make()
      let holder = Holder()
      holder.thread = try coordinator.launch(on: 1) { _ in
        while !holder.isSet.load(ordering: .acquiring) {}
        holder.thread?.join()
      }
      holder.isSet.store(true, ordering: .releasing)
      holder.thread?.join()
    }
    result.expect("the thread of CPU 1 cannot join itself")
  }

  // Sendable: the flag says when the thread is there.
  private final class Holder: @unchecked Sendable {
    var thread: CPUThread? = nil
    let isSet = Atomic<Bool>(false)
  }

  @Test("a handle that was detached")
  func handleAfterDetach() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let cpu = try coordinator.attachHandle(to: 1)
        cpu.detach()
        cpu.enterUser()
      }
    }
    result.expect("CPU 1 was used by a thread that is not attached to it")
  }

  @Test("a poll by a thread that is no CPU any more, while somebody asks for attention")
  func pollOffline() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let work = try coordinator.register("work") { _ in }
        let cpu = try coordinator.attachHandle(to: 1)
        cpu.detach()
        onOtherThread {
          // The slot is somebody else's now, and that one is kicked.
          guard let other = try? coordinator.attachHandle(to: 1) else { return }
          other.enterUser()
          onOtherThread { _ = coordinator.send(work, to: 1, urgency: .immediate) }
          onOtherThread { cpu.poll() }
        }
      }
    }
    result.expect("CPU 1 was used by a thread that is not attached to it")
  }

  @Test(
    "a handle in a foreign thread's hands",
    arguments: ["enterUser", "enterKernel", "safePoint", "quiescent", "idle", "detach"])
  func foreignThread(member: String) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [member] in
      try onThisThread {
        let coordinator = try Coordinator.make()
        let cpu = try coordinator.attachHandle(to: 3)
        onOtherThread {
          switch member {
          case "enterUser": cpu.enterUser()
          case "enterKernel": cpu.enterKernel()
          case "safePoint": cpu.safePoint()
          case "quiescent": cpu.declareQuiescent()
          case "idle": cpu.idle(for: .zero)
          default: cpu.detach()
          }
        }
        cpu.detach()
      }
    }
    result.expect("CPU 3 was used by a thread that is not attached to it")
  }

  @Test("a handle of another CPU than the thread's own")
  func wrongCPU() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let cpu = try coordinator.attachHandle(to: 3)
        onOtherThread {
          guard (try? coordinator.attachHandle(to: 1)) != nil else { return }
          cpu.enterUser()
        }
        cpu.detach()
      }
    }
    result.expect("CPU 3 was used by a thread that is not attached to it")
  }

  @Test("closing from a CPU of one's own")
  func closeFromCPU() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let cpu = try coordinator.attach(to: 1)
        coordinator.close(timeout: .zero)
        cpu.detach()
      }
    }
    result.expect("CPU 1 cannot close its own coordinator: it would wait for itself")
  }

  @Test("a CrossCall that goes out of scope while it is in flight")
  func crossCallInFlight() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let cpu = try coordinator.attach(to: 1)
        func post() {
          let call = unsafe CrossCall(context: nil) { _, _ in }
          coordinator.post(call, on: 1)
        }
        post()
        cpu.safePoint()
        cpu.detach()
      }
    }
    result.expect("a CrossCall went out of scope while it was in flight", namesCaller: false)
  }

  @Test("sleeping elsewhere without a wake function")
  func idleWithoutWakeFunction() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread { _ = try Coordinator.make().attachHandle(to: 1).beginIdle() }
    }
    result.expect(
      "CPU 1 cannot sleep elsewhere: its thread attached without a wake function")
  }

  @Test("waking up without having slept")
  func endIdleInKernel() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread { try Coordinator.make().attachHandle(to: 1) {}.endIdle() }
    }
    result.expect("CPU 1 entered kernel from idle, but it was in kernel")
  }

  @Test("going to sleep elsewhere in user")
  func beginIdleInUser() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let cpu = try Coordinator.make().attachHandle(to: 1) {}
        cpu.enterUser()
        _ = cpu.beginIdle()
      }
    }
    result.expect("CPU 1 cannot become idle: it is in user")
  }

  @Test("a handle that another thread says idle by")
  func beginIdleElsewhere() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let cpu = try Coordinator.make().attachHandle(to: 1) {}
        onOtherThread { _ = cpu.beginIdle() }
      }
    }
    result.expect("CPU 1 was used by a thread that is not attached to it")
  }
}
