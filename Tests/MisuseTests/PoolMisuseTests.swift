// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

@Suite("Objects of a pool")
struct PoolMisuseTests {
  @Test("an object that is pushed twice", arguments: [true, false], [true, false])
  func twice(isFirstRegistered: Bool, isSecondRegistered: Bool) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [isFirstRegistered, isSecondRegistered] in
      let pool = try RawObjectPool(capacity: 3, objectBytes: 8, rings: 1)
      let local = pool.register()!
      let object = unsafe local.pop()!
      for isRegistered in [isFirstRegistered, isSecondRegistered] {
        if isRegistered { unsafe local.push(object) } else { unsafe pool.push(object) }
      }
    }
    result.expect("push: object 2 of the pool is in it already", namesCaller: false)
  }

  @Test("an object that was given out since it was pushed, and is pushed again by who had it")
  func late() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let pool = try RawObjectPool(capacity: 2, objectBytes: 8, rings: 1)
      let local = pool.register()!
      let object = unsafe local.pop()!
      unsafe local.push(object)
      let same = unsafe local.pop()!
      precondition(unsafe same == object)
      // Nobody can tell the former holder from the present one; but it is in the pool twice now.
      unsafe local.push(object)
      unsafe pool.push(same)
    }
    result.expect("push: object 1 of the pool is in it already", namesCaller: false)
  }

  @Test(
    "an address that is no object of the pool",
    arguments: ["inside", "before", "behind", "another pool"], [true, false])
  func foreign(place: String, isRegistered: Bool) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [place, isRegistered] in
      let pool = try RawObjectPool(capacity: 2, objectBytes: 8, rings: 1)
      let other = try RawObjectPool(capacity: 2, objectBytes: 8, rings: 1)
      let local = pool.register()!
      let (second, first) = unsafe (local.pop()!, local.pop()!)
      let object =
        switch place {
        case "inside": unsafe first + 8
        case "before": unsafe first - pool.stride
        case "behind": unsafe second + pool.stride
        default: unsafe other.pop()!
        }
      // The address differs from run to run: say the sentence without it.
      if isRegistered { unsafe local.push(object) } else { unsafe pool.push(object) }
    }
    guard let result else { return }
    let text = String(decoding: result.standardErrorContent, as: UTF8.self)
    #expect(text.contains(/CPUIsolation: push: [0-9]+ is not an object of this pool\n/), "\(text)")
  }

  @Test("an object with something written before it")
  func overwritten() async {
    let pushed = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let pool = try RawObjectPool(capacity: 1, objectBytes: 8, rings: 1)
      let object = unsafe pool.pop()!
      unsafe (object - 16).storeBytes(of: 7, as: UInt64.self)
      unsafe pool.push(object)
    }
    pushed.expect(
      "push: the mark before object 0 of the pool was overwritten", namesCaller: false)
    let popped = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let pool = try RawObjectPool(capacity: 1, objectBytes: 8, rings: 1)
      let object = unsafe pool.pop()!
      unsafe pool.push(object)
      unsafe (object - 16).storeBytes(of: 7, as: UInt64.self)
      _ = unsafe pool.pop()
    }
    popped.expect(
      "pop: the mark before object 0 of the pool was overwritten", namesCaller: false)
  }

  @Test("an object that comes back to a pool that has been freed")
  func afterTheEnd() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let pool = try RawObjectPool(capacity: 1, objectBytes: 8, rings: 1)
      let object = unsafe pool.pop()!
      pool.close()
      unsafe pool.push(object)
      precondition(pool.isFreed)
      unsafe pool.push(object)
    }
    result.expect(
      "push: the pool is closed, and all of its objects had come back: its memory is gone",
      namesCaller: false)
  }

  @Test("a capacity that cannot be", arguments: [0, -1, 1 << 24 + 1, Int.max, Int.min])
  func capacity(capacity: Int) async {
    let raw = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [capacity] in
      _ = try RawObjectPool(capacity: capacity, objectBytes: 8)
    }
    raw.expect(
      "the capacity of a pool is \(capacity), and has to be between 1 and 16777216")
    let typed = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [capacity] in
      _ = try ObjectPool(capacity: capacity) { $0 }
    }
    typed.expect(
      "the capacity of a pool is \(capacity), and has to be between 1 and 16777216")
  }

  @Test("a size or a number of rings that cannot be")
  func sizes() async {
    let size = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = try RawObjectPool(capacity: 1, objectBytes: -1)
    }
    size.expect(
      "the object size of a pool is -1, and has to be between 0 and 1073741824")
    let rings = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = try RawObjectPool(capacity: 1, objectBytes: 8, rings: 0)
    }
    rings.expect(
      "the number of rings of a pool is 0, and has to be between 1 and 4096")
  }

  // Sendable: what smuggles a registration out of its thread.
  private final class Smuggler: @unchecked Sendable {
    var local: RawObjectPool.Local?
    init(_ local: consuming RawObjectPool.Local) { self.local = consume local }
  }

  @Test("posting a call out of a pool in a signal handler", .needsQueuedSignals)
  func postInSignalHandler() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make(.signal)
        let calls = try CrossCallPool(coordinator, of: Int.self, capacity: 1) { _, _ in }
        var options = WorkType.Options()
        options.isInterruptSafe = true
        let work = try coordinator.register("poster", options: options) { _ in
          calls.post(1, on: 0)
        }
        let cpu = try coordinator.attach(to: 1)
        cpu.inUser { onOtherThread { coordinator.send(work, to: 1, urgency: .immediate) } }
        cpu.detach()
      }
    }
    result.expect(
      "CPU 1 must not post a call out of a pool in a signal handler", namesCaller: false)
  }

  @Test("a registration that ends on another thread")
  func otherThread() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let pool = try RawObjectPool(capacity: 1, objectBytes: 8, rings: 1)
      let smuggler = Smuggler(pool.register()!)
      onOtherThread { smuggler.local = nil }
    }
    result.expect(
      "a registration with a pool ended on another thread than it began on", namesCaller: false)
  }

  @Test("a registration that is used on another thread")
  func usedOnAnotherThread() async {
    let sentence = "a registration with a pool is used on another thread than it began on"
    let pop = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let pool = try RawObjectPool(capacity: 1, objectBytes: 8, rings: 1)
      let smuggler = Smuggler(pool.register()!)
      onOtherThread { _ = unsafe smuggler.local!.pop() }
    }
    pop.expect(sentence, namesCaller: false)
    let push = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let pool = try RawObjectPool(capacity: 1, objectBytes: 8, rings: 1)
      let smuggler = Smuggler(pool.register()!)
      let object = unsafe UInt(bitPattern: smuggler.local!.pop()!)
      onOtherThread {
        unsafe smuggler.local!.push(UnsafeMutableRawPointer(bitPattern: object)!)
      }
    }
    push.expect(sentence, namesCaller: false)
  }
}
