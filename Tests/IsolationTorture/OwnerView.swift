// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// What the thread of a CPU has read of what was promised to it.
struct OwnerView {
  private let world: World
  private let cpu: Int
  private let beginning: [UInt64]
  private var promises: [UInt64]
  private(set) var keys = KeyRig.Expectation()
  private(set) var timer: UInt64 = 0
  /// An entry of the lookup cache, another one each time.
  private(set) var key = 0
  private(set) var entry: UInt64 = 0

  /// A thread begins to be the CPU.
  init(_ world: World, _ cpu: Int) {
    self.world = world
    self.cpu = cpu
    promises = [UInt64](repeating: 0, count: world.sends.ledger.width + 1)
    var beginning = promises
    world.sends.ledger.readIssued(to: cpu, into: &beginning)
    self.beginning = beginning
  }

  /// Reads every promise so far. What comes next is an entry, or a safe point.
  mutating func read() {
    world.sends.ledger.readPromises(to: cpu, into: &promises)
    keys = world.keys.expectation()
    timer = world.timers.promise(to: cpu)
    key = (key + 7) % LookupRig.keys
    entry = world.lookups.promise(of: key)
  }

  /// Notes a promise that was not kept, in kernel after that.
  func check(_ action: String, _ turn: inout Turn) {
    let broken = world.sends.ledger.broken(promises, of: cpu, beginning: beginning)
    turn.check(
      broken == nil, "CPU \(cpu) of \(world.name), after \(action), was promised \(broken ?? "")")
  }
}
