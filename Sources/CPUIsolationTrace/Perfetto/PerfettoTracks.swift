// SPDX-License-Identifier: Apache-2.0

/// The tracks of a Perfetto trace, by numbers in the order in which they are first needed.
///
/// ```
/// CPUs                       a process
///   CPU 3 (isolated/3)       user sections, handlers, calls, interrupts
///     pending work           a counter
///     deferred work          from a send to the CPU's entry
///       flush_tlb_all …      each work has a track: their times overlap
///     threads                what the scheduler ran
///     noise                  what osnoise measured
///     other events
/// ```
enum PerfettoTrack: Hashable {
  case process
  case cpu(Int)
  case pending(Int)
  case deferrals(Int)
  case work(cpu: Int, name: Int32)
  case threads(Int)
  case noise(Int)
  case counter(cpu: Int, name: String)
  case others(Int)

  var parent: PerfettoTrack? {
    switch self {
    case .process: nil
    case .cpu: .process
    case .work(let cpu, _): .deferrals(cpu)
    case .pending(let cpu), .deferrals(let cpu), .threads(let cpu), .noise(let cpu),
      .counter(let cpu, _), .others(let cpu):
      .cpu(cpu)
    }
  }

  /// Where it stands among those of its parent.
  var rank: Int {
    switch self {
    case .process: 0
    case .cpu(let cpu): cpu
    case .pending: 0
    case .deferrals: 1
    case .work(_, let name): Int(name)
    case .threads: 2
    case .noise: 3
    case .counter: 4
    case .others: 5
    }
  }

  var isCounter: Bool {
    switch self {
    case .pending, .counter: true
    default: false
    }
  }
}
