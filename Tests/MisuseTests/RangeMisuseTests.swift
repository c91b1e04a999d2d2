// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

@Suite("CPUs that do not exist")
struct RangeMisuseTests {
  static let numbers = [-1, 4, 99, Int.max, Int.min]

  @Test("a send", arguments: numbers)
  func send(cpu: Int) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [cpu] in
      let coordinator = try Coordinator.make()
      let work = try coordinator.register("work") { _ in }
      coordinator.send(work, to: cpu)
    }
    result.expect("there is no CPU \(cpu): this coordinator has CPUs 0-1,3", namesCaller: false)
  }

  @Test("an immediate send, and one by a sender", arguments: [4, -1])
  func otherSends(cpu: Int) async {
    let immediate = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [cpu] in
      let coordinator = try Coordinator.make()
      let work = try coordinator.register("work") { _ in }
      coordinator.send(work, to: cpu, urgency: .immediate)
    }
    immediate.expect("there is no CPU \(cpu): this coordinator has CPUs 0-1,3", namesCaller: false)
    let sender = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [cpu] in
      let coordinator = try Coordinator.make()
      let work = try coordinator.register("work") { _ in }
      let sender = try coordinator.makeSender()
      sender.send(work, to: cpu)
    }
    sender.expect("there is no CPU \(cpu): this coordinator has CPUs 0-1,3", namesCaller: false)
  }

  @Test("a send to a mask, when its turn comes")
  func mask() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let coordinator = try Coordinator.make()
      let work = try coordinator.register("work") { _ in }
      coordinator.send(work, to: [1, 200])
    }
    result.expect("there is no CPU 200: this coordinator has CPUs 0-1,3", namesCaller: false)
  }

  @Test(
    "a call, an attachment, a launch, a question; a gap between the masks is no CPU either",
    arguments: ["call", "post", "attach", "attachHandle", "launch", "context"], [2, 4])
  func coordinator(member: String, cpu: Int) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [member, cpu] in
      try onThisThread {
        let coordinator = try Coordinator.make()
        switch member {
        case "call": coordinator.call(on: [cpu]) { _ in }
        case "post": _ = unsafe coordinator.post(on: [cpu], context: nil) { _, _ in }
        case "attach": try coordinator.attach(to: cpu).detach()
        case "attachHandle": try coordinator.attachHandle(to: cpu).detach()
        case "launch": try coordinator.launch(on: cpu) { _ in }
        default: _ = coordinator.context(of: cpu)
        }
      }
    }
    result.expect("there is no CPU \(cpu): this coordinator has CPUs 0-1,3", namesCaller: false)
  }

  @Test("a send to a gap between the masks, by number and by mask", arguments: [false, true])
  func sendToGap(isMask: Bool) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [isMask] in
      let coordinator = try Coordinator.make()
      let work = try coordinator.register("work") { _ in }
      if isMask { coordinator.send(work, to: [2]) } else { coordinator.send(work, to: 2) }
    }
    #expect(
      result.map { String(decoding: $0.standardErrorContent, as: UTF8.self) }?
        .contains("CPUIsolation: there is no CPU 2: this coordinator has CPUs 0-1,3") == true)
  }

  @Test("a mask's member", arguments: [-1, 8_192, Int.max])
  func maskMember(cpu: Int) async {
    let insert = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [cpu] in
      var mask = CPUMask()
      mask.insert(cpu)
    }
    insert.expect("CPUMask.insert: CPU \(cpu) is outside 0..<8192.", namesCaller: false)
    let initialise = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent])
    {
      [cpu] in
      _ = CPUMask([0, cpu])
    }
    initialise.expect("CPUMask.insert: CPU \(cpu) is outside 0..<8192.", namesCaller: false)
  }

  @Test("a mask's range and width")
  func maskRange() async {
    let range = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = CPUMask(8_000..<8_193)
    }
    range.expect("CPUMask: the range 8000..<8193 is not within 0..<8192.", namesCaller: false)
    let width = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = CPUMask.all(-1)
    }
    width.expect("CPUMask.all: the width -1 is negative.", namesCaller: false)
  }
}
