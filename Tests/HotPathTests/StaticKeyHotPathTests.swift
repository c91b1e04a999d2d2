// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

extension HotPathTests {
  /// Reading keys and making calls: in user, in kernel, and where they change in between.
  @Suite struct StaticKeysAndCalls {
    private func make() throws -> (Coordinator, StaticKeys) {
      var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [1])
      configuration.pinning = .none
      let coordinator = try Coordinator(configuration)
      return (coordinator, try StaticKeys(coordinator))
    }

    @Test(arguments: [false, true])
    func readsAreFree(_ isOn: Bool) throws {
      let (coordinator, keys) = try make()
      let key = try keys.makeKey("key", isEnabled: isOn)
      let call = try unsafe keys.makeCall("call", isOn ? { _, number in number + 1 } : nil)
      let cpu = try coordinator.attach(to: 1)
      var hits = 0
      func read() {
        if key.isEnabled(on: cpu) { hits += 1 }
        if key.isEnabled(on: cpu.handle) { hits += 1 }
        hits += call(0, on: cpu)
      }
      Counting.expectFree { read() }
      cpu.inUser { Counting.expectFree { read() } }
      #expect(isOn ? hits > 6000 : hits == 0)
    }

    /// The drain that turns keys is free of allocations too.
    @Test func drainsAreFree() throws {
      let (coordinator, keys) = try make()
      for number in 0..<64 { _ = try keys.makeKey("\(number)") }
      let sender = try coordinator.makeSender()
      let cpu = try coordinator.attach(to: 1)
      cpu.enterUser()
      Counting.expectFree {
        sender.send(keys.work, to: 1)
        cpu.enterKernel()
        cpu.enterUser()
      }
      cpu.enterKernel()
    }
  }
}
