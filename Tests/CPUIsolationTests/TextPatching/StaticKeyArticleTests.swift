// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

/// What Documentation/StaticKeys.md shows: every piece of Swift on the page stands here, line by
/// line.
@Suite("The article on static keys")
struct StaticKeyArticleTests {
  @Test("a key that a hot loop reads")
  func key() throws {
    let coordinator = try Coordinator(.scripted())
    let cpu = try coordinator.attach(to: 1)
    var steps = 0
    var samples = 0
    var running: Bool { steps < 3 }
    func step() { steps += 1 }
    func sample() { samples += 1 }

    let keys = try StaticKeys(coordinator)
    let sampling = try keys.makeKey("sampling")

    cpu.inUser {
      while running {
        step()
        if sampling.isEnabled(on: cpu) { sample() }
      }
    }

    try keys.enable(sampling)  // CPUs in user turn at their next entry
    try keys.disable(sampling)

    #expect(steps == 3 && samples == 0)
    try keys.enable(sampling)
    steps = 0
    cpu.inUser {
      while running {
        step()
        if sampling.isEnabled(on: cpu) { sample() }
      }
    }
    #expect(samples == 3)
    cpu.detach()
  }
}
