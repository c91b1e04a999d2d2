// SPDX-License-Identifier: Apache-2.0

internal import CBenchmarkPeers
internal import CPUIsolation
internal import Dispatch
internal import Synchronization

/// The experiment that a queue of closures fails: a CPU that stays in user for as long as one likes
/// to send to it.
struct NeverEnters: Equatable {
  var sends: UInt64
  /// In KiB; 0 if it cannot be read.
  var residentBefore: UInt64
  var residentAfter: UInt64
  /// Nanoseconds per send, in the first tenth of them and in the last.
  var firstTenth: Double
  var lastTenth: Double
  /// After one entry at the end.
  var handlerRuns: UInt64

  /// The growth, in KiB, that is not taken for memory per send: the kernel counts a process's pages
  /// per processor and adds them up now and then, which makes the figure waver by up to 128 KiB a
  /// processor. One byte a send would be 97 656 KiB after a hundred million, and 976 KiB after a
  /// million.
  static let toleratedGrowth: UInt64 = 512

  /// Sends so often, from this thread, to a CPU whose thread sleeps in user; then that thread
  /// enters once.
  static func run(sends: UInt64) throws(IsolationError) -> NeverEnters {
    let coordinator = try Coordinator(.init(housekeeping: [0], isolated: [1]))
    let runs = HandlerRuns()
    let work = try coordinator.register("work") { _ in
      runs.count.wrappingAdd(1, ordering: .relaxed)
    }
    let isThere = DispatchSemaphore(value: 0)
    let mayEnter = DispatchSemaphore(value: 0)
    let thread = try coordinator.launch(on: 1) { cpu in
      cpu.inUser {
        isThere.signal()
        mayEnter.wait()
      }
    }
    isThere.wait()
    let sender = try coordinator.makeSender()
    let clock = BenchmarkClock()
    _ = ResidentMemory.kibibytes
    // Everything that the first send touches is touched: from here on memory must not move.
    let warmUp: UInt64 = 1
    send(sender, work, warmUp)

    let before = ResidentMemory.kibibytes ?? 0
    let tenth = sends / 10
    var firstTenth = 0.0
    var lastTenth = 0.0
    if tenth > 0 {
      firstTenth = clock.time(Int(tenth)) { send(sender, work, tenth) }
      send(sender, work, sends - 2 * tenth - warmUp)
      lastTenth = clock.time(Int(tenth)) { send(sender, work, tenth) }
    } else {
      firstTenth = clock.time(Int(sends)) { send(sender, work, sends - warmUp) }
      lastTenth = firstTenth
    }
    let after = ResidentMemory.kibibytes ?? 0
    mayEnter.signal()
    thread.join()
    return NeverEnters(
      sends: sends, residentBefore: before, residentAfter: after, firstTenth: firstTenth,
      lastTenth: lastTenth, handlerRuns: runs.count.load(ordering: .relaxed))
  }

  @inline(never)
  private static func send(_ sender: borrowing Sender, _ work: WorkType, _ count: UInt64) {
    for _ in 0..<count { sender.send(work, to: 1) }
  }

  private final class HandlerRuns: Sendable {
    let count = Atomic<UInt64>(0)
  }
}

extension NeverEnters {
  /// What went wrong, as sentences; empty if nothing did. Times are shown and not judged.
  ///
  /// - Parameter judgingMemory: not in a sanitized build, where freed memory is kept to be watched.
  func complaints(judgingMemory: Bool = !peer_is_sanitized()) -> [String] {
    var complaints: [String] = []
    if judgingMemory, residentBefore == 0 || residentAfter == 0 {
      complaints.append("resident memory cannot be read here")
    }
    if judgingMemory, residentAfter > residentBefore + Self.toleratedGrowth {
      complaints.append("resident memory grew by \(residentAfter - residentBefore) KiB")
    }
    if handlerRuns != 1 {
      complaints.append("the handler ran \(handlerRuns) times after one entry")
    }
    return complaints
  }

  var text: String {
    """
    never-enters: \(sends) sends to an isolated CPU that stays in user
    resident memory  \(residentBefore) KiB before, \(residentAfter) KiB after
    first tenth      \(BenchmarkTable.number(firstTenth)) ns per send
    last tenth       \(BenchmarkTable.number(lastTenth)) ns per send
    handler runs     \(handlerRuns), after one entry

    """
  }

  func write(to json: inout JSONWriter) {
    json.object { json in
      json.member("sends", sends)
      json.member("resident_before_kib", residentBefore)
      json.member("resident_after_kib", residentAfter)
      json.member("first_tenth_ns", firstTenth)
      json.member("last_tenth_ns", lastTenth)
      json.member("handler_runs", handlerRuns)
    }
  }
}
