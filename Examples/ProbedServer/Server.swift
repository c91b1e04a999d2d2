// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation
internal import Glibc
internal import Synchronization

/// Workers that answer requests for keys, each over a pair of sockets of its own.
final class Server: Sendable {
  /// What can be probed.
  private static let request = ProbePoint<(UInt64, Int)>("server.request", "key", "worker")
  private static let lookUp = ProbePoint<UInt64>("router.lookUp", "key")

  private let coordinator: Coordinator
  private let threads: [CPUThread]
  private let requests = Atomic<Int>(0)
  /// The clients' ends, by worker.
  let channels: [Channel]

  /// How many requests have been served so far.
  var served: Int { requests.load(ordering: .relaxed) }

  init(workers: Int) throws(IsolationError) {
    // A point is declared when it is first used, and can be attached to from then on.
    _ = (Self.request, Self.lookUp)
    var configuration = Coordinator.Configuration(
      housekeeping: [0], isolated: CPUMask(1..<workers + 1))
    // It runs anywhere; a real one has processors of its own.
    configuration.pinning = .none
    coordinator = try Coordinator(configuration)
    var threads: [CPUThread] = []
    var channels: [Channel] = []
    for worker in 1...workers {
      let (client, own) = Channel.makePair()
      channels.append(client)
      threads.append(
        try coordinator.launch(on: worker) { cpu in Self.serve(cpu, own) })
    }
    self.threads = threads
    self.channels = channels
  }

  /// A worker, until its channel is closed.
  private static func serve(_ cpu: borrowing LocalCPU, _ channel: Channel) {
    let worker = cpu.number
    while true {
      var key: UInt64? = nil
      cpu.inUser { key = channel.receive() }
      guard let key else { return }
      let answer = request.measure(key, worker) {
        lookUp.measure(key) { route(key) }
      }
      channel.send(answer)
    }
  }

  /// What a request is for: any work.
  private static func route(_ key: UInt64) -> UInt64 {
    var state = key &+ 0x9e37_79b9_7f4a_7c15
    for _ in 0..<100 { state = (state ^ state >> 27) &* 0x94d0_49bb_1331_11eb }
    return state
  }

  /// Counts a request whose answer has come.
  func count(_ number: Int) { requests.wrappingAdd(number, ordering: .relaxed) }

  func stop() {
    for channel in channels { channel.close() }
    for thread in threads { thread.join() }
    coordinator.close()
  }
}
