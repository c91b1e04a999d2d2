// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import CPUIsolation

@Suite("CallRecord")
struct CallRecordTests {
  /// A record outside any queue.
  final class Fixture {
    var record = CallRecord()
    let runs = Counter()

    var state: UInt32 { record.state.load(ordering: .relaxed) }
    func set(_ state: UInt32) { record.state.store(state, ordering: .relaxed) }

    func claim(isWaitedFor: Bool) -> Bool {
      let context = unsafe runs.context
      return unsafe withUnsafeMutablePointer(to: &record) {
        unsafe CallRecord.claim(
          Place($0), CPUHandler(Counter.function, context), isWaitedFor: isWaitedFor,
          site: CallSite("", 0))
      }
    }
    func run() -> Bool { record.run(on: 0) }
    func abandon() { record.abandon() }
  }

  let fixture = Fixture()

  @Test("a claimed record is queued, and cannot be claimed again", arguments: [false, true])
  func claim(isWaitedFor: Bool) {
    #expect(fixture.state == CallRecord.State.idle)
    #expect(fixture.claim(isWaitedFor: isWaitedFor))
    #expect(fixture.state == CallRecord.State.queued)
    #expect(fixture.record.isWaitedFor == isWaitedFor)
    #expect(!fixture.claim(isWaitedFor: isWaitedFor))
  }

  @Test("a call that nobody waits for is given back")
  func asynchronous() {
    _ = fixture.claim(isWaitedFor: false)
    #expect(fixture.run())
    #expect(fixture.runs.value == 1)
    #expect(fixture.state == CallRecord.State.idle)
  }

  @Test("a call that somebody waits for is done, until the waiter has seen it")
  func synchronous() {
    _ = fixture.claim(isWaitedFor: true)
    #expect(fixture.run())
    #expect(fixture.runs.value == 1)
    #expect(fixture.state == CallRecord.State.done)
    #expect(!fixture.claim(isWaitedFor: true))
  }

  @Test("a call that was given up does not run, and its record is free")
  func cancelled() {
    _ = fixture.claim(isWaitedFor: true)
    fixture.set(CallRecord.State.cancelled)
    #expect(!fixture.claim(isWaitedFor: true))
    #expect(!fixture.run())
    #expect(fixture.runs.value == 0)
    #expect(fixture.state == CallRecord.State.idle)
  }

  @Test("a call whose target has gone says so to its waiter; without one it is free")
  func abandoned() {
    _ = fixture.claim(isWaitedFor: true)
    fixture.abandon()
    #expect(fixture.state == CallRecord.State.gone)
    fixture.set(CallRecord.State.idle)
    _ = fixture.claim(isWaitedFor: false)
    fixture.abandon()
    #expect(fixture.state == CallRecord.State.idle)
    _ = fixture.claim(isWaitedFor: true)
    fixture.set(CallRecord.State.cancelled)
    fixture.abandon()
    #expect(fixture.state == CallRecord.State.idle)
    #expect(fixture.runs.value == 0)
  }
}
