// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

@Suite("Payloads")
struct PayloadTests {
  let coordinator: Coordinator
  let cpu: ScriptedThread
  let told = Journal<WorkType.Payload>()

  init() throws {
    coordinator = try Coordinator(.scripted(isolated: 2))
    cpu = try ScriptedThread(coordinator, on: 1)
  }

  func register(_ merge: WorkType.Merge) throws -> WorkType {
    var options = WorkType.Options()
    options.delivery = .merging(merge)
    let told = told
    return try coordinator.register("work", options: options) { _, payload in told.append(payload) }
  }

  @Test("a union has all bits, in one run")
  func union() throws {
    let work = try register(.union)
    try cpu.enterUser()
    let first = coordinator.send(work, to: [1] as CPUMask, payload: .init(rawValue: 0b001))
    let second = coordinator.send(work, to: [1] as CPUMask, payload: .init(rawValue: 0b100))
    #expect(first[.deferred] == [1] && second[.merged] == [1])
    try cpu.enterKernel()
    #expect(told.entries == [.init(rawValue: 0b101)])
    coordinator.expectBalance(of: work, sent: 2)
    try cpu.end()
  }

  @Test("a maximum is the highest, whatever the order")
  func maximum() throws {
    let work = try register(.maximum)
    let sender = try coordinator.makeSender()
    try cpu.enterUser()
    for value: UInt64 in [3, 9, 4] {
      sender.send(work, to: [1] as CPUMask, payload: .init(rawValue: value))
    }
    try cpu.enterKernel()
    #expect(told.entries == [.init(rawValue: 9)])
    try cpu.end()
  }

  @Test(
    "a hull holds all ranges",
    arguments: [
      ([4..<5], 4..<5), ([4..<5, 9..<12], 4..<12), ([9..<12, 0..<1], 0..<12),
      ([0..<4_294_967_295, 3..<4], 0..<4_294_967_295),
    ] as [([Range<UInt32>], Range<UInt32>)])
  func hull(_ ranges: [Range<UInt32>], _ hull: Range<UInt32>) throws {
    let work = try register(.hull)
    try cpu.enterUser()
    for range in ranges { coordinator.send(work, to: [1] as CPUMask, payload: .range(range)) }
    try cpu.enterKernel()
    #expect(told.entries.map(\.range) == [hull])
    try cpu.end()
  }

  @Test(
    "a send without payload is for everything, and saturates",
    arguments: [WorkType.Merge.maximum, .union, .hull])
  func everything(_ merge: WorkType.Merge) throws {
    let work = try register(merge)
    let small: WorkType.Payload = merge == .hull ? .range(1..<2) : .init(rawValue: 1)
    try cpu.enterUser()
    coordinator.send(work, to: [1] as CPUMask, payload: small)
    #expect(coordinator.send(work, to: 1) == .merged)
    coordinator.send(work, to: [1] as CPUMask, payload: small)
    try cpu.enterKernel()
    #expect(told.entries == [.everything])
    #expect(told.entries[0].isEverything)
    if merge == .hull { #expect(told.entries[0].range == 0..<UInt32.max) }
    try cpu.end()
  }

  @Test("a bit whose payload was taken with an earlier bit calls nobody")
  func bitWithoutPayload() throws {
    let work = try register(.union)
    _ = coordinator.core.slots[1].state.work.setBit(UInt64(work.bit))
    try cpu.safePoint()
    #expect(told.entries.isEmpty)
    #expect(coordinator.statistics()[work, on: 1].executed == 1)
    try cpu.end()
  }

  @Test("a payload whose bit is still to come waits for it")
  func payloadWithoutBit() throws {
    let work = try register(.union)
    coordinator.core.slots[1].payloads[work.bit].store(2, ordering: .relaxed)
    try cpu.safePoint()
    #expect(told.entries.isEmpty)
    coordinator.send(work, to: [1] as CPUMask, payload: .init(rawValue: 1))
    try cpu.safePoint()
    #expect(told.entries == [.init(rawValue: 3)])
    try cpu.end()
  }

  @Test("each CPU has a payload of its own, and a thread that attaches starts with none")
  func perCPU() throws {
    let work = try register(.union)
    try cpu.enterUser()
    coordinator.send(work, to: [1] as CPUMask, payload: .init(rawValue: 1))
    #expect(
      coordinator.send(work, to: [2] as CPUMask, payload: .init(rawValue: 2))[.gone] == [2])
    let late = try ScriptedThread(coordinator, on: 2)
    coordinator.send(work, to: [2] as CPUMask, payload: .init(rawValue: 4))
    try late.safePoint()
    #expect(told.entries == [.init(rawValue: 4)])
    try late.end()
    try cpu.enterKernel()
    try cpu.end()
  }

  @Test("a ticket is not settled by a run that was told before its own payload was merged")
  func ticketBeforeMerge() throws {
    let work = try register(.union)
    let other = coordinator.send(work, to: [1] as CPUMask, payload: .init(rawValue: 1))
    #expect(other[.queued] == [1])
    // The other sender's run comes when this send has begun and has merged nothing.
    let ticket = coordinator.sendWithTicket(work, to: [1], payload: .init(rawValue: 2)) { _ in
      (try? cpu.safePoint()) != nil
    }
    #expect(told.entries == [.init(rawValue: 1)])
    #expect(ticket.report[.queued] == [1])
    #expect(ticket.state(of: 1) == .pending)
    try cpu.safePoint()
    #expect(told.entries == [.init(rawValue: 1), .init(rawValue: 2)])
    #expect(ticket.state(of: 1) == .executed)
    coordinator.expectBalance(of: work, sent: 2)
    try cpu.end()
  }

  @Test("a ticketed send reports per CPU, as every send does")
  func ticketReport() throws {
    let work = try register(.union)
    let other = try ScriptedThread(coordinator, on: 2)
    try cpu.enterUser()
    let ticket = coordinator.sendWithTicket(
      work, to: [0, 1, 2] as CPUMask, payload: .init(rawValue: 6)
    ) { $0 != 2 }
    #expect(ticket.report[.deferred] == [1])
    #expect(ticket.report[.skipped] == [2])
    #expect(ticket.report[.gone] == [0])
    #expect(ticket.unsettled(.executed) == [1])
    #expect(ticket.unsettled(.covered).isEmpty)
    try other.safePoint()
    #expect(told.entries.isEmpty)
    try cpu.enterKernel()
    #expect(told.entries == [.init(rawValue: 6)])
    #expect(ticket.wait(until: .executed, timeout: .seconds(20)) == .settled)
    #expect(coordinator.statistics()[work].skipped == 1)
    coordinator.expectBalance(of: work, sent: 2)
    try cpu.end()
    try other.end()
  }

  @Test("a handler of a plain type that asks for a payload is told everything")
  func plain() throws {
    let told = told
    let work = try coordinator.register("plain") { _, payload in told.append(payload) }
    coordinator.send(work, to: 1)
    try cpu.safePoint()
    #expect(told.entries == [.everything])
    try cpu.end()
  }

  @Test("the C function form is told the 64 bits")
  func function() throws {
    var options = WorkType.Options()
    options.delivery = .merging(.union)
    let sum = Sum()
    let work = unsafe try coordinator.register(
      "work", options: options, context: Unmanaged.passUnretained(sum).toOpaque(),
      payloadFunction: Sum.function)
    coordinator.send(work, to: [1] as CPUMask, payload: .init(rawValue: 40))
    coordinator.send(work, to: [1] as CPUMask, payload: .init(rawValue: 2))
    try cpu.safePoint()
    #expect(sum.total.load(ordering: .relaxed) == 42)
    try cpu.end()
  }

  private final class Sum: Sendable {
    let total = Atomic<UInt64>(0)

    static let function: WorkType.PayloadFunction = { context, _, payload in
      unsafe Unmanaged<Sum>.fromOpaque(context!)._withUnsafeGuaranteedRef {
        _ = $0.total.wrappingAdd(payload, ordering: .relaxed)
      }
    }
  }

  @Test("nothing that was merged is lost or told twice, whatever meets")
  func conservation() throws {
    let work = try register(.union)
    let coordinator = coordinator
    let told = told
    let stop = Flag()
    let loop = cpu.start { cpu in
      while !stop.isRaised {
        cpu.enterUser()
        cpu.enterKernel()
      }
    }
    // Each sender has 32 bits, and sends each once a round; the runs of the round tell every one.
    for _ in 0..<200 {
      let before = told.entries.count
      let senders = (0..<2).map { sender in
        PlainThread.start {
          for bit in 0..<32 {
            coordinator.send(
              work, to: [1] as CPUMask, payload: .init(rawValue: 1 << UInt64(32 * sender + bit)))
          }
        }
      }
      for sender in senders { try sender.value() }
      #expect(
        eventually {
          told.entries[before...].reduce(0) { $0 | $1.rawValue } == .max
        })
    }
    stop.raise()
    try loop.value()
    #expect(told.entries.reduce(0) { $0 + $1.rawValue.nonzeroBitCount } == 200 * 64)
    coordinator.expectBalance(of: work, sent: 200 * 64)
    try cpu.end()
  }
}
