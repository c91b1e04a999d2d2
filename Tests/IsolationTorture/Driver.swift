// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation
internal import Glibc

/// A thread that is no CPU, and does to all worlds what such a thread may do.
struct Driver {
  private enum Action: CaseIterable {
    case send, sendWithSender, sendToMask, sendWithTicket
    case replaceTable, call, post, postMessage
    case usePool, readHazard, replaceHazard, changeKeys, bringForward
    case changePages, changeProbes, hitProbes, changeLookups, changeRegions, lookIntoRegions
    case changeTraces, record, changeRegistrations, exhaust
    case look, hang

    var weight: Int {
      switch self {
      case .send: 24
      case .sendWithSender: 48
      case .sendToMask: 16
      case .sendWithTicket: 2
      case .replaceTable: 4
      case .call: 2
      case .post, .postMessage: 6
      case .usePool: 12
      case .readHazard: 12
      case .replaceHazard: 12
      case .changeKeys: 2
      case .bringForward: 6
      case .changePages: 6
      case .changeProbes: 1
      case .hitProbes, .lookIntoRegions, .record: 8
      case .changeLookups: 4
      case .changeRegions: 6
      case .changeTraces: 2
      case .changeRegistrations: 1
      case .exhaust: 1
      case .look: 1
      case .hang: 1
      }
    }
  }

  private static let actions = Action.allCases.flatMap { Array(repeating: $0, count: $0.weight) }

  /// Runs until the run is over.
  static func run(_ torture: Torture, _ worlds: [World], _ number: Int) {
    var turn = Turn(torture, stream: number)
    while !torture.isOver {
      for world in worlds where !torture.isOver {
        do throws(IsolationError) {
          let sender = try world.coordinator.makeSender()
          for _ in 0..<500 where !torture.isOver { act(world, sender, number, &turn) }
        } catch {
          turn.check(false, "no sender: \(error)")
        }
      }
    }
  }

  private static func act(
    _ world: World, _ sender: borrowing Sender, _ writer: Int, _ turn: inout Turn
  ) {
    let coordinator = world.coordinator
    if turn.bug == .memoryLeak, turn.random.oneIn(64) { leak() }
    switch actions[turn.random.below(actions.count)] {
    case .send:
      world.sends.send(with: coordinator, by: writer, &turn) { coordinator.send($0, to: $1) }
    case .sendWithSender:
      world.sends.send(with: sender, by: writer, &turn) { sender.send($0, to: $1) }
    case .sendToMask:
      if turn.random.oneIn(2) {
        world.sends.sendToMask(with: coordinator, by: writer, &turn)
      } else {
        world.sends.sendToMask(with: sender, by: writer, &turn)
      }
    case .sendWithTicket: world.sends.sendWithTicket(with: sender, by: writer, &turn)
    case .replaceTable: world.tables.replace(&turn)
    case .call: world.calls.call(by: writer, &turn)
    case .post: world.calls.post(with: sender, by: writer, &turn)
    case .postMessage: world.calls.postMessage(by: writer, &turn)
    case .usePool: world.pools.use(&turn)
    case .readHazard: world.hazards.read(&turn)
    case .replaceHazard: world.hazards.replace(mayReclaim: true, &turn)
    case .changeKeys: world.keys.change(&turn)
    case .bringForward: world.timers.bringForward(&turn)
    case .changePages: world.pages.change(&turn)
    case .changeProbes: world.probes.change(&turn)
    case .hitProbes: world.probes.hit(&turn)
    case .changeLookups:
      world.lookups.change(&turn)
      world.lookups.look(&turn)
    case .changeRegions: world.regions.change(&turn)
    case .lookIntoRegions: world.regions.look(mayWait: true, &turn)
    case .changeTraces: world.traces.change(&turn)
    case .record: world.traces.record(&turn)
    case .changeRegistrations: world.registrations.change(&turn)
    case .exhaust: exhaust(world, &turn)
    case .look: look(world, &turn)
    case .hang: if turn.bug == .hang { while true { sleep(1) } }
    }
  }

  private static func exhaust(_ world: World, _ turn: inout Turn) {
    guard world.torture.faults.isOn(.exhaust), turn.random.oneIn(16) else { return }
    switch turn.random.below(3) {
    case 0: world.registrations.exhaust(&turn)
    case 1: world.probes.exhaust(&turn)
    default: world.regions.exhaust(&turn)
    }
  }

  /// What can be asked of a coordinator at any time.
  private static func look(_ world: World, _ turn: inout Turn) {
    let coordinator = world.coordinator
    let statistics = coordinator.statistics()
    _ = statistics[cpu: turn.random.below(World.cpus)]
    _ = coordinator.pendingWork
    turn.check(
      coordinator.attached.isSubset(of: coordinator.cpus), "there are threads of no CPU")
    turn.check(
      coordinator.currentCPU == nil,
      "a thread that is no CPU is CPU \(coordinator.currentCPU ?? -1)")
    turn.check(!coordinator.isClosed, "a coordinator has closed by itself")
    turn.count(.statistics)
  }

  private static func leak() {
    let bytes = 512 << 10
    // Safety: new memory, of which the last byte is this block's.
    unsafe UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 16)
      .initializeMemory(as: UInt8.self, repeating: 1, count: bytes)
    usleep(10_000)
  }
}
