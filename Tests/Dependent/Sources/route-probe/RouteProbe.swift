// SPDX-License-Identifier: Apache-2.0
//
// Prints what an entry and an exit cost in a package that depends on the library.

import CPUIsolation
import RouteCache

/// One crossing, with nothing pending: its disassembly is looked at, so it stays a function.
@inline(never)
func crossOnce(_ cpu: borrowing LocalCPU) {
  cpu.enterKernel()
  cpu.enterUser()
}

@main
struct RouteProbe {
  static func main() throws {
    let coordinator = try Coordinator(.init(housekeeping: [0], isolated: [1]))
    let cache = try RouteCache(coordinator)
    let cpu = try coordinator.attach(to: 1)
    cpu.enterUser()
    cache.add(destination: 10, via: 3)
    cpu.enterKernel()
    print("packets for 10 go via \(cache.hop(for: 10, on: 1) ?? 0)")
    cpu.enterUser()
    let rounds = 200_000
    var best = Duration.seconds(1)
    for _ in 0..<20 {
      let time = ContinuousClock().measure { for _ in 0..<rounds { crossOnce(cpu) } }
      best = min(best, time / rounds)
    }
    print("entry + exit: \(best / .nanoseconds(1)) ns")
    cpu.enterKernel()
  }
}
