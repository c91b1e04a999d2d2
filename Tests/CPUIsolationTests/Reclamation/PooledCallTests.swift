// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

/// Call records out of a pool: each element owns a record and a letter that the call carries.
@Suite struct PooledCallTests {
  /// What a call carries, and where the element stays while it is under way.
  // Sendable: written by who has the element, before it is posted; read by who runs the call.
  private final class Letter: @unchecked Sendable {
    var value: UInt64 = 0
    var errand: PooledObject<Errand>? = nil
    let received: Counter
    init(_ received: Counter) { self.received = received }
  }

  private struct Errand: ~Copyable, @unchecked Sendable {  // the letter is the holder's
    let letter: Letter
    let call: CrossCall

    init(_ received: Counter) {
      letter = Letter(received)
      call = unsafe CrossCall(context: Unmanaged.passUnretained(letter).toOpaque()) { context, _ in
        unsafe Unmanaged<Letter>.fromOpaque(context!)._withUnsafeGuaranteedRef { letter in
          for _ in 0..<letter.value { letter.received.increment() }
          // The record has been given back already: the element goes home, here on the target.
          // Taken out first: the letter belongs to somebody else as soon as it is there.
          let errand = letter.errand.take()
          _ = consume errand
        }
      }
    }
  }

  @Test func recordsComeBackByThemselves() throws {
    var configuration = Coordinator.Configuration(housekeeping: [], isolated: [0, 1])
    configuration.pinning = .none
    configuration.watchdog = nil
    let coordinator = try Coordinator(configuration)
    let received = Counter()
    let pool = try ObjectPool(capacity: 4, rings: 2) { _ in Errand(received) }
    let stop = Flag()
    let thread = try coordinator.launch(on: 1) { cpu in
      while !stop.isRaised { cpu.user { cpu.poll() } }
    }
    let local = pool.register()!
    var expected = 0
    var sent = 0
    while sent < 1000 {
      guard let errand = local.pop() else { continue }
      let letter = errand.element.letter
      letter.value = UInt64(sent % 3)
      let outcome = Self.post(consume errand, coordinator)
      if outcome == .queued {
        expected += sent % 3
        sent += 1
      }
    }
    #expect(eventually { received.value == expected && pool.statistics.total.free == 4 })
    stop.raise()
    thread.join()
    // Nobody is there any more: the element is still ours.
    let outcome = Self.post(local.pop()!, coordinator)
    #expect(outcome == .gone)
    #expect(pool.statistics.total.free == 4)
  }

  /// Posts an errand, which stays in its letter meanwhile; if it was not taken, it goes home here.
  private static func post(
    _ errand: consuming PooledObject<Errand>, _ coordinator: Coordinator
  ) -> CallOutcome {
    let letter = errand.element.letter
    let address = unsafe errand.pointer
    letter.errand = consume errand
    let outcome = unsafe coordinator.post(address.pointee.call, on: 1)
    if outcome != .queued { _ = letter.errand.take() }
    return outcome
  }
}
