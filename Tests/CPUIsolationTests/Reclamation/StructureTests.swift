// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

@Suite("Structures on hazard pointers")
struct StructureTests {
  enum StackAction: Sendable {
    case push(Int)
    case pop(Int?)
  }

  private static let stack = Linearizability<StackAction, [Int]> { state, action in
    switch action {
    case .push(let value): return state + [value]
    case .pop(let value): return value == state.last ? state.dropLast() : nil
    }
  }

  @Test("the check finds what no stack does")
  func check() {
    typealias Operation = Linearizability<StackAction, [Int]>.Operation
    let sound: [Operation] = [
      .init(action: .push(1), begin: 0, end: 5), .init(action: .push(2), begin: 1, end: 3),
      .init(action: .pop(1), begin: 6, end: 7), .init(action: .pop(2), begin: 8, end: 9),
    ]
    #expect(Self.stack.holds(sound, from: []))
    // The pushes one after the other: the second is on top.
    var broken = sound
    broken[0].end = 0
    #expect(!Self.stack.holds(broken, from: []))
    #expect(!Self.stack.holds([.init(action: .pop(3), begin: 0, end: 1)], from: []))
  }

  @Test("histories of a Treiber stack are those of a stack", arguments: [3, 4])
  func treiber(threads: Int) throws {
    let domain = try HazardDomain(reclamation: .retiring)
    for round in 0..<200 {
      let stack = try TreiberStack(domain)
      let clock = Clock()
      let gate = Flag()
      let steps = (0..<threads).map { thread in
        PlainThread.start { () -> [Linearizability<StackAction, [Int]>.Operation] in
          gate.wait()
          return (0..<4).map { index in
            let begin = clock.tick()
            let action: StackAction
            if (index + thread + round).isMultiple(of: 2) {
              stack.push(thread * 10 + index)
              action = .push(thread * 10 + index)
            } else {
              action = .pop(stack.pop())
            }
            return .init(action: action, begin: begin, end: clock.tick())
          }
        }
      }
      gate.raise()
      let history = try steps.flatMap { try $0.value() }
      #expect(history.count == 4 * threads)
      #expect(Self.stack.holds(history, from: []), "\(history)")
    }
    // A thread may hold its stack a little longer than its step, and empty it at the end.
    #expect(
      eventually {
        domain.barrier(timeout: .seconds(20)) == .settled && domain.counts.pending == 0
      })
  }
}
