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
    result.expect("there is no CPU \(cpu): this coordinator has CPUs 0-1,3")
  }

  @Test("an immediate send, and one by a sender", arguments: [4, -1])
  func otherSends(cpu: Int) async {
    let immediate = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [cpu] in
      let coordinator = try Coordinator.make()
      let work = try coordinator.register("work") { _ in }
      coordinator.send(work, to: cpu, urgency: .immediate)
    }
    immediate.expect("there is no CPU \(cpu): this coordinator has CPUs 0-1,3")
    let sender = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [cpu] in
      let coordinator = try Coordinator.make()
      let work = try coordinator.register("work") { _ in }
      let sender = try coordinator.makeSender()
      sender.send(work, to: cpu)
    }
    sender.expect("there is no CPU \(cpu): this coordinator has CPUs 0-1,3")
  }

  @Test("a send to a mask, when its turn comes")
  func mask() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let coordinator = try Coordinator.make()
      let work = try coordinator.register("work") { _ in }
      coordinator.send(work, to: [1, 200])
    }
    result.expect("there is no CPU 200: this coordinator has CPUs 0-1,3")
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
    result.expect("there is no CPU \(cpu): this coordinator has CPUs 0-1,3")
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
    range.expect("CPUMask: the range 8000..<8193 is not within 0..<8192.")
    let width = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = CPUMask.all(-1)
    }
    width.expect("CPUMask.all: the width -1 is negative.")
    let words = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = CPUMask(words: Array(repeating: 0, count: 128) + [1])
    }
    words.expect("CPUMask: CPU 8192 is outside 0..<8192.")
    let list = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = try CPUMask(cpuList: "0", width: -1)
    }
    list.expect("CPUMask(cpuList:width:): the width -1 is outside 0...8192.")
    let hex = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = CPUMask(3).hexWords(width: 8_193)
    }
    hex.expect("CPUMask.hexWords: the width 8193 is outside 0...8192.")
  }

  @Test("the statistics of a CPU that there is not", arguments: [2, -1, 4])
  func statistics(cpu: Int) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [cpu] in
      _ = try Coordinator.make().statistics()[cpu: cpu]
    }
    result.expect("there are no statistics of CPU \(cpu): the CPUs are 0-1,3")
  }

  @Test("fields, formats and filters of events that there cannot be")
  func events() async {
    let number = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = TraceEventFormat.Field.number("wide", as: UInt128.self)
    }
    number.expect("TraceEventFormat.Field.number: wide has 128 bits; 8, 16, 32 or 64 will do.")
    let text = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = TraceEventFormat.Field.text("name", bytes: 0)
    }
    text.expect("TraceEventFormat.Field.text: name has 0 bytes.")
    let field = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = TraceEventFormat.Field(name: "a", type: "int", offset: -4, size: 4, isSigned: true)
    }
    field.expect("TraceEventFormat.Field: the field a has the offset -4 and the size 4.")
    let format = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let field = TraceEventFormat.Field.number("a", as: Int32.self)
      _ = TraceEventFormat(
        system: "s", name: "n", id: 1, declaring: [field, field], printFormat: "\"\"")
    }
    format.expect("TraceEventFormat: n has two fields of the name a.")
    let filter = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = try TraceFilter("cpu == 1", for: .ipiSendCPU, cpuCount: 0)
    }
    filter.expect("TraceFilter: cpuCount 0 is outside 1...8192.")
  }
}
