// SPDX-License-Identifier: Apache-2.0
//
// The README's first example, compiled: a test compares the two.

import CPUIsolation
import Synchronization

final class Flag: Sendable {
  private let word = Atomic(false)
  func raise() { word.store(true, ordering: .releasing) }
  var isRaised: Bool { word.load(ordering: .acquiring) }
}

func quickStart(_ stop: Flag, _ isBusy: Flag) throws {
  // README begins
  let coordinator = try Coordinator(.init(housekeeping: [0], isolated: [1]))
  let refresh = try coordinator.register("refresh") { cpu in
    print("CPU \(cpu) drops its cached routes")
  }
  let thread = try coordinator.launch(on: 1) { cpu in
    cpu.inUser {  // nobody disturbs what runs in here
      isBusy.raise()
      while !stop.isRaised { cpu.poll() }
    }  // back in kernel: each refresh sent meanwhile has run, once
  }
  while !isBusy.isRaised {}
  print(coordinator.send(refresh, to: [1]))  // deferred 1: the note waits for CPU 1
  print(coordinator.send(refresh, to: [1]))  // merged 1: the same note serves both
  stop.raise()
  thread.join()  // CPU 1 drops its cached routes
  // README ends
}

@main
struct QuickStart {
  static func main() throws { try quickStart(Flag(), Flag()) }
}
