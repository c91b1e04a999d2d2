// SPDX-License-Identifier: Apache-2.0
//
// Run with RealtimeSanitizer linked in: user sections are real-time contexts then. `realtime` walks
// every hot path in one and has to end quietly; `realtime violate` allocates in one and has to be
// caught.

import CPUIsolation

final class Box { var value = 0 }

func walk(_ violate: Bool) throws -> Int {
  let coordinator = try Coordinator(.init(housekeeping: [0], isolated: [1]))
  let runs = UnsafeMutablePointer<Int>.allocate(capacity: 1)
  runs.initialize(to: 0)
  let work = try coordinator.register("count", context: runs) { runs, _ in
    runs!.assumingMemoryBound(to: Int.self).pointee += 1
  }
  let call = CrossCall(context: runs) { runs, _ in
    runs!.assumingMemoryBound(to: Int.self).pointee += 1
  }
  let sender = try coordinator.makeSender()
  let cpu = try coordinator.attach(to: 1)
  var meter = NoiseMeter()
  var boxes: [Box] = []
  boxes.reserveCapacity(2)
  cpu.inUser {
    for round in 0..<1_000 {
      meter.sample()
      sender.send(work, to: 1)
      cpu.send(work, to: 1)
      cpu.inKernel { runs.pointee += 0 }
      if round % 10 == 0 { coordinator.post(call, on: 1) }
      cpu.poll()
      cpu.enterKernel()
      cpu.enterUser()
    }
    if violate { boxes.append(Box()) }
  }
  return runs.pointee + boxes.count
}

@main
struct Realtime {
  static func main() throws {
    let runs = try walk(CommandLine.arguments.contains("violate"))
    print("handlers ran \(runs) times")
    if runs < 1_000 { fatalError("too few runs") }
  }
}
