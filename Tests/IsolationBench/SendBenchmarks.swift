// SPDX-License-Identifier: Apache-2.0

internal import CBenchmarkPeers
internal import CPUIsolation

/// Deferred sends, of work that is not pending yet and of work that is, and their dearer relatives.
///
/// The design's budget is 1.10 for a send by a registered sender, with statistics on. The limits of
/// the last four rows are a third above what was measured: they notice when something gets dearer.
enum SendBenchmarks {
  static let all: [Benchmark] = [
    Benchmark(
      "deferred-send", budget: 1.10, against: "C, lock or + load",
      { stage, count in
        unsafe peerNewSends(stage, count) { unsafe peer_send_each($0, $1, $2) }
      }
    ) { stage, count in
      unsafe newSends(stage, count) { unsafe sendEach($0, $1, to: Stage.ownCPU) }
    },
    Benchmark(
      "deferred-send:datum", budget: 1.10, against: "C, store + lock or + load",
      { stage, count in
        let datum = unsafe stage.datum
        return unsafe peerNewSends(stage, count) { unsafe peer_send_each_datum($0, $1, datum, $2) }
      }
    ) { stage, count in
      let datum = unsafe stage.datum
      return unsafe newSends(stage, count) { unsafe sendEach($0, $1, datum, to: Stage.ownCPU) }
    },
    Benchmark(
      "deferred-send:testing", budget: 1.10, against: "C, lock bts + load",
      { stage, count in
        unsafe peerNewSends(stage, count) { unsafe peer_send_each_testing($0, $1, $2) }
      }
    ) { stage, count in
      unsafe newSends(stage, count) { unsafe sendEach($0, $1, to: Stage.ownCPU) }
    },
    Benchmark(
      "merged-send", budget: 1.10, against: "C, lock or + load",
      { stage, count in
        let (target, type) = unsafe (stage.peers[Stage.firstTarget], UInt64(stage.work.bit))
        return stage.time(count) { unsafe _ = peer_sends(target, type, UInt64(count)) }
      }
    ) { stage, count in
      stage.time(count) { sends(stage.sender, stage.work, to: Stage.firstTarget, count) }
    },
    Benchmark(
      "merged-send:datum", budget: 1.10, against: "C, store + lock or + load",
      { stage, count in
        let (target, type) = unsafe (stage.peers[Stage.firstTarget], UInt64(stage.work.bit))
        let datum = unsafe stage.datum
        return stage.time(count) {
          unsafe _ = peer_sends_datum(target, type, datum, UInt64(count))
        }
      }
    ) { stage, count in
      let datum = unsafe stage.datum
      return stage.time(count) {
        unsafe sends(stage.sender, stage.work, datum, to: Stage.firstTarget, count)
      }
    },
    Benchmark(
      "merged-send:testing", budget: 1.10, against: "C, lock bts + load",
      { stage, count in
        let (target, type) = unsafe (stage.peers[Stage.firstTarget], UInt64(stage.work.bit))
        return stage.time(count) { unsafe _ = peer_sends_testing(target, type, UInt64(count)) }
      }
    ) { stage, count in
      stage.time(count) { sends(stage.sender, stage.work, to: Stage.firstTarget, count) }
    },
    Benchmark(
      "masked-send", budget: 2.9, against: "C, lock or + load for each bit of a mask; per CPU",
      { stage, count in
        let (targets, type) = unsafe (stage.peers.baseAddress!, UInt64(stage.work.bit))
        let mask = Stage.targets.word(at: 0)
        let masks = count / Stage.targets.count + 1
        return stage.time(masks * Stage.targets.count) {
          unsafe _ = peer_sends_masked(targets, mask, type, UInt64(masks))
        }
      }
    ) { stage, count in
      let masks = count / Stage.targets.count + 1
      return stage.time(masks * Stage.targets.count) {
        maskedSends(stage.sender, stage.work, to: Stage.targets, masks)
      }
    },
    Benchmark(
      "ticketed-send", budget: 6.2, against: "C, lock xadd + lock or + load",
      { stage, count in
        let (target, type) = unsafe (stage.peers[Stage.firstTarget], UInt64(stage.work.bit))
        return stage.time(count) { unsafe _ = peer_sends_ticketed(target, type, UInt64(count)) }
      }
    ) { stage, count in
      let target = CPUMask(Stage.firstTarget)
      return stage.time(count) { ticketedSends(stage.coordinator, stage.work, to: target, count) }
    },
    Benchmark(
      "unregistered-send", budget: 1.45, against: "C, lock or + load + lock add",
      { stage, count in
        let (target, type) = unsafe (stage.peers[Stage.firstTarget], UInt64(stage.work.bit))
        return stage.time(count) { unsafe _ = peer_sends_counted(target, type, UInt64(count)) }
      }
    ) { stage, count in
      let (coordinator, work, clock) = (stage.coordinator, stage.work, stage.clock)
      return OtherThread.run {
        clock.time(count) { unregisteredSends(coordinator, work, to: Stage.firstTarget, count) }
      }
    },
    Benchmark(
      "grace-period", budget: 2.1, against: "C, fence + two loads for each CPU",
      { stage, count in
        let targets = unsafe stage.peers.baseAddress!
        let cpus = unsafe UInt64(stage.peers.count)
        return stage.time(count) { unsafe _ = peer_grace_periods(targets, cpus, UInt64(count)) }
      }
    ) { stage, count in
      stage.time(count) { gracePeriods(stage.coordinator, count) }
    },
  ]

  // MARK: Work that is not pending yet

  /// The nanoseconds of one send, out of batches of all work types. Between two batches the own CPU
  /// enters and leaves, outside the time that is taken, so that each send finds its bit clear and
  /// the CPU in user.
  static func newSends(
    _ stage: borrowing Stage, _ count: Int,
    _ batch: (borrowing Sender, UnsafeMutableBufferPointer<WorkType>) -> Int
  ) -> Double {
    var cycles: UInt64 = 0
    let size = unsafe stage.works.count
    let batches = count / size + 1
    for _ in 0..<batches {
      var deferred = 0
      cycles &+= stage.clock.cycles { unsafe deferred = batch(stage.sender, stage.works) }
      guard deferred == size else { fatalError("a send that should be deferred was not") }
      stage.cpu.enterKernel()
      stage.cpu.enterUser()
    }
    return Double(cycles) * stage.clock.nanosecondsPerCycle / Double(batches * size)
  }

  /// The same in C.
  static func peerNewSends(
    _ stage: borrowing Stage, _ count: Int,
    _ batch: (OpaquePointer, UnsafePointer<peer_work>, UInt64) -> UInt64
  ) -> Double {
    var cycles: UInt64 = 0
    let size = unsafe stage.peerWorks.count
    let works = unsafe UnsafePointer(stage.peerWorks.baseAddress!)
    let peer = unsafe stage.peer
    let batches = count / size + 1
    for _ in 0..<batches {
      cycles &+= stage.clock.cycles { unsafe _ = batch(peer, works, UInt64(size)) }
      unsafe peer_round_trips_exchange(peer, 1)
    }
    return Double(cycles) * stage.clock.nanosecondsPerCycle / Double(batches * size)
  }

  @inline(never)
  static func sendEach(
    _ sender: borrowing Sender, _ works: UnsafeMutableBufferPointer<WorkType>, to cpu: Int
  ) -> Int {
    var deferred = 0
    for index in works.indices {
      if case .deferred = unsafe sender.send(works[index], to: cpu) { deferred &+= 1 }
    }
    return deferred
  }

  @inline(never)
  private static func sendEach(
    _ sender: borrowing Sender, _ works: UnsafeMutableBufferPointer<WorkType>,
    _ datum: UnsafeMutablePointer<UInt64>, to cpu: Int
  ) -> Int {
    var deferred = 0
    for index in works.indices {
      unsafe datum.pointee = UInt64(truncatingIfNeeded: index)
      if case .deferred = unsafe sender.send(works[index], to: cpu) { deferred &+= 1 }
    }
    return deferred
  }

  // MARK: Work that is pending

  @discardableResult @inline(never)
  static func sends(
    _ sender: borrowing Sender, _ work: WorkType, to cpu: Int, _ count: Int
  ) -> Int {
    var merged = 0
    for _ in 0..<count {
      if case .merged = sender.send(work, to: cpu) { merged &+= 1 }
    }
    return merged
  }

  @discardableResult @inline(never)
  private static func sends(
    _ sender: borrowing Sender, _ work: WorkType, _ datum: UnsafeMutablePointer<UInt64>,
    to cpu: Int, _ count: Int
  ) -> Int {
    var merged = 0
    for index in 0..<count {
      unsafe datum.pointee = UInt64(truncatingIfNeeded: index)
      if case .merged = sender.send(work, to: cpu) { merged &+= 1 }
    }
    return merged
  }

  @inline(never)
  static func maskedSends(
    _ sender: borrowing Sender, _ work: WorkType, to mask: CPUMask, _ count: Int
  ) {
    for _ in 0..<count { sender.send(work, to: mask) }
  }

  @inline(never)
  private static func ticketedSends(
    _ coordinator: Coordinator, _ work: WorkType, to mask: CPUMask, _ count: Int
  ) {
    for _ in 0..<count { _ = coordinator.sendWithTicket(work, to: mask) }
  }

  @inline(never)
  static func unregisteredSends(
    _ coordinator: Coordinator, _ work: WorkType, to cpu: Int, _ count: Int
  ) {
    for _ in 0..<count { coordinator.send(work, to: cpu) }
  }

  @inline(never)
  private static func gracePeriods(_ coordinator: Coordinator, _ count: Int) {
    for _ in 0..<count { _ = coordinator.startGracePeriod() }
  }
}
