// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

@Suite("Translations used where they must not be")
struct TranslationMisuseTests {
  enum Early: String, CaseIterable, Codable { case entry, safePoint, detach }

  @Test("a page looked up in early entry, with the caller's place", arguments: Early.allCases)
  func earlyEntry(place: Early) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [place] in
      try onThisThread {
        let coordinator = try Coordinator.make()
        let space = try AddressSpace(coordinator, AddressSpace.Options(pages: 64))
        _ = try space.map(7, to: 70)
        let work = try coordinator.register("early") { cpu in _ = space.lookUp(7, asCPU: cpu) }
        let cpu = try coordinator.attach(to: 1)
        if place == .entry { cpu.enterUser() }
        coordinator.send(work, to: 1)
        switch place {
        case .entry: cpu.enterKernel()
        case .safePoint: cpu.safePoint()
        case .detach: break
        }
        cpu.detach()
      }
    }
    let text = result.map { String(decoding: $0.standardErrorContent, as: UTF8.self) } ?? ""
    #expect(text.contains("CPUIsolation: CPU 1 looked up page 7 at "), "\(text)")
    #expect(text.contains("TranslationMisuseTests.swift:"), "\(text)")
    #expect(text.contains(" during early entry, before its flushes have run"), "\(text)")
  }

  @Test("what is never deferred may be looked up there, and other pages elsewhere")
  func control() async {
    await #expect(processExitsWith: .success) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let space = try AddressSpace(coordinator, AddressSpace.Options(pages: 64))
        _ = try space.map(7, to: 70, neverDeferred: true)
        _ = try space.map(8, to: 80)
        let work = try coordinator.register("early") { cpu in
          precondition(space.lookUp(7, asCPU: cpu) == 70)
          precondition(space.lookUp(9, asCPU: cpu) == nil)
        }
        let cpu = try coordinator.attach(to: 1)
        coordinator.send(work, to: 1)
        cpu.safePoint()
        precondition(space.lookUp(8, asCPU: 1) == 80)
        cpu.detach()
      }
    }
  }

  @Test("a handler that runs on behalf of a CPU looks up nothing for it")
  func onBehalf() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let space = try AddressSpace(coordinator, AddressSpace.Options(pages: 64))
        _ = try space.map(7, to: 70, neverDeferred: true)
        var options = WorkType.Options()
        options.mayRunOnBehalf = true
        let work = try coordinator.register("helper", options: options) { cpu in
          _ = space.lookUp(7, asCPU: cpu)
        }
        let cpu = try coordinator.attach(to: 1)
        cpu.enterUser()
        onOtherThread { _ = coordinator.send(work, to: 1, urgency: .onBehalf) }
        cpu.enterKernel()
        cpu.detach()
      }
    }
    let text = result.map { String(decoding: $0.standardErrorContent, as: UTF8.self) } ?? ""
    #expect(text.contains("page 7 was looked up at "), "\(text)")
    #expect(text.contains(" by a thread that is not CPU 1"), "\(text)")
  }

  enum Mistake: String, CaseIterable, Codable {
    case inUser, byNumberInUser, otherCPU, openTwice, afterDetach, cutLargePage, unaligned, noPage
    case frameTooLarge, lastPage, lastPageChanged, notAThread
    case unreserved, foreignRange, unmappedTwice, unmappedTwiceInFlight
    case closedWhileOpen, openedBehindClosing

    var sentence: String {
      switch self {
      case .inUser: "CPU 1 looked up a page in user, where what it finds may be freed"
      case .byNumberInUser: "CPU 1 looked up page 7 at "
      case .otherCPU: "page 7 was looked up at "
      case .openTwice: "CPU 1 has its translations open already"
      case .afterDetach: "the translations of CPU 1 were used after its thread had detached"
      case .cutLargePage: "pages 0..<8 cut the large page that begins at 0"
      case .unaligned: "page 8 cannot begin a large page: that begins at a multiple of 512"
      case .noPage: "there are no pages "
      case .lastPage, .lastPageChanged: "there are no pages 18446744073709551615..<"
      case .frameTooLarge: "frame 18446744073709551615 does not fit into 61 bits"
      case .unreserved: "pages 0..<4 were unmapped, but were not reserved"
      case .unmappedTwice, .unmappedTwiceInFlight:
        "pages 3..<5 were unmapped, but were not reserved"
      case .closedWhileOpen: "an address space was closed while CPU 1 had its translations open"
      case .openedBehindClosing:
        "CPU 1 opened the translations of an address space that was closed"
      case .foreignRange: "pages 60..<68 were unmapped, but were not reserved"
      case .notAThread: "page 7 was looked up at "
      }
    }

    func make(_ coordinator: Coordinator, _ space: AddressSpace) throws {
      switch self {
      case .inUser:
        let cpu = try coordinator.attach(to: 1)
        let translations = space.open(on: cpu)
        cpu.enterUser()
        _ = translations.lookUp(7, on: cpu)
      case .byNumberInUser:
        let cpu = try coordinator.attach(to: 1)
        cpu.enterUser()
        _ = space.lookUp(7, asCPU: 1)
      case .otherCPU:
        let cpu = try coordinator.attach(to: 1)
        _ = space.lookUp(7, asCPU: 2)
        cpu.detach()
      case .openTwice:
        let cpu = try coordinator.attach(to: 1)
        let first = space.open(on: cpu)
        let second = space.open(on: cpu)
        _ = (first.lookUp(7, on: cpu), second.lookUp(7, on: cpu))
      case .afterDetach:
        let cpu = try coordinator.attach(to: 1)
        let translations = space.open(on: cpu)
        cpu.enterUser()
        cpu.enterKernel()
        cpu.detach()
        let again = try coordinator.attach(to: 1)
        _ = translations.lookUp(7, on: again)
      case .cutLargePage:
        _ = try space.map(0, to: 1000, size: .large)
        _ = space.unmap(0..<8)
      case .unaligned: _ = try space.map(8, to: 1, size: .large)
      case .noPage: _ = try space.map(1 << 40, to: 1)
      case .lastPage: _ = try space.map(.max, to: 1)
      case .lastPageChanged: space.change(.max, to: 1)
      case .frameTooLarge: _ = try space.map(7, to: .max)
      case .unreserved:
        let unmapper = AddressSpace.LazyUnmapper(space, pages: 0..<64) { _, _ in }
        _ = unmapper.unmap(0..<4)
      case .foreignRange:
        let unmapper = AddressSpace.LazyUnmapper(space, pages: 0..<64) { _, _ in }
        _ = unmapper.reserve(64)
        _ = unmapper.unmap(60..<68)
      case .unmappedTwice, .unmappedTwiceInFlight:
        let unmapper = AddressSpace.LazyUnmapper(
          space, pages: 0..<64, maximumPending: self == .unmappedTwice ? 64 : 4
        ) { _, _ in }
        _ = unmapper.reserve(16)
        _ = unmapper.unmap(4..<8)
        _ = unmapper.unmap(3..<5)
      case .closedWhileOpen:
        let cpu = try coordinator.attach(to: 1)
        let translations = space.open(on: cpu)
        cpu.enterUser()
        onOtherThread { space.close(timeout: .seconds(10)) }
        cpu.enterKernel()
        _ = translations.lookUp(7, on: cpu)
      case .openedBehindClosing:
        space.close(timeout: .seconds(10))
        let cpu = try coordinator.attach(to: 1)
        let translations = space.open(on: cpu)
        _ = translations.lookUp(7, on: cpu)
      case .notAThread: _ = space.lookUp(7, asCPU: 1)
      }
    }
  }

  @Test("ends the process with a sentence", arguments: Mistake.allCases)
  func mistake(_ mistake: Mistake) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [mistake] in
      let coordinator = try Coordinator.make()
      let space = try AddressSpace(coordinator, AddressSpace.Options(pages: 1024))
      try mistake.make(coordinator, space)
    }
    let text = result.map { String(decoding: $0.standardErrorContent, as: UTF8.self) } ?? ""
    #expect(text.contains("CPUIsolation: \(mistake.sentence)"), "\(text)")
  }

  enum Callbacks: String, CaseIterable, Codable {
    case runOnIsolated, barrierInCallback, retireWaitingInCallback, barrierInKernel

    var sentence: String {
      switch self {
      case .runOnIsolated: "CPU 1 is isolated, and cannot run grace period callbacks"
      case .barrierInCallback, .retireWaitingInCallback:
        "a grace period callback waited for grace period callbacks: it would wait for itself"
      case .barrierInKernel:
        "CPU 1 waited for grace period callbacks in kernel: it would wait for itself"
      }
    }
  }

  @Test(
    "grace period callbacks where they would wait for themselves", arguments: Callbacks.allCases)
  func callbacks(_ mistake: Callbacks) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [mistake] in
      try onThisThread {
        let coordinator = try Coordinator.make()
        let callbacks = try GracePeriodCallbacks(coordinator, capacity: 4, runsThread: false)
        switch mistake {
        case .runOnIsolated:
          let cpu = try coordinator.attach(to: 1)
          callbacks.runReady()
          cpu.detach()
        case .barrierInCallback:
          _ = callbacks.retire { _ = callbacks.barrier(timeout: .milliseconds(10)) }
          callbacks.runReady()
        case .retireWaitingInCallback:
          // There is no room until the callback has returned.
          let full = try GracePeriodCallbacks(coordinator, capacity: 1, runsThread: false)
          _ = full.retire { _ = full.retireWaiting(timeout: .milliseconds(10)) {} }
          full.runReady()
        case .barrierInKernel:
          let cpu = try coordinator.attach(to: 1)
          _ = callbacks.retire {}
          _ = callbacks.barrier(timeout: .milliseconds(10))
          cpu.detach()
        }
      }
    }
    let text = result.map { String(decoding: $0.standardErrorContent, as: UTF8.self) } ?? ""
    #expect(text.contains("CPUIsolation: \(mistake.sentence)"), "\(text)")
  }
}
