// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Testing

extension StressTests.FailureCases {
  /// A handler sends its own type to its own CPU, each time it runs: it never ends, and never keeps the CPU.
  @Test func handlerSendsItselfForEver() throws {
    let coordinator = try Coordinator.quiet(isolated: [0])
    let runs = SharedCounter()
    let works = WorkList(capacity: 1)
    works.append(
      try coordinator.register("again") { cpu in
        runs.add()
        coordinator.send(works[0], to: cpu)
      })
    let local = try coordinator.attach(to: 0)
    #expect(local.send(works[0], to: 0) == .ranInline)
    var most = 0
    for _ in 0..<100 {
      let before = runs.value
      local.inUser {}
      most = max(most, runs.value - before)
    }
    // One visit at the exit and one at the entry, a few rounds each.
    #expect(most >= 2 && most <= 6, "\(most) runs in one round trip")
    #expect(coordinator.statistics()[works[0]].pending == 1)
    local.detach()
    let counts = coordinator.statistics()[works[0]]
    #expect(counts.sent == counts.executed + counts.merged + counts.pending + counts.gone)
  }

  /// A CPU in user posts a call to itself, which nobody is kicked for. Who calls it then finds a queue that is not
  /// empty, and has to be heard all the same.
  @Test(arguments: [Interrupter.poll, .signal])
  func callBehindTheTargetsOwnPost(_ interrupter: Interrupter) throws {
    let coordinator = try Coordinator.quiet(isolated: [0]) { $0.isolatedInterrupter = interrupter }
    let isThere = SharedFlag()
    let stop = SharedFlag()
    let thread = try coordinator.launch(on: 0) { local in
      let call = unsafe CrossCall(context: nil, isInterruptSafe: true) { _, _ in }
      local.inUser {
        coordinator.post(call, on: 0)
        isThere.set()
        while !stop.isSet {
          local.poll()
          // ThreadSanitizer delivers signals inside calls that it intercepts.
          usleep(10)
        }
      }
    }
    #expect(eventually { isThere.isSet })
    let report = coordinator.call(on: [0], timeout: .seconds(20), isInterruptSafe: true) { _ in }
    #expect(report[.executed] == [0])
    stop.set()
    thread.join()
  }
}
