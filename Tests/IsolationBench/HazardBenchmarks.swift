// SPDX-License-Identifier: Apache-2.0

internal import CBenchmarkPeers
internal import CPUIsolation

/// What a reader pays who protects one shared object: by the domain's ways, and by others'.
///
/// Figures are processor time per read section, so that readers may outnumber processors, and one
/// round of all readers is one sample. The first three rows are the design's
/// budgets; the limit of the fourth is a third above what was measured.
enum HazardBenchmarks {
  static let all: [Benchmark] =
    [
      row("hazard:time", budget: 1, against: "3 ns", { _ in 3 }) { transition.readInKernel($0) },
      row(
        "hazard:contended", budget: 0.1, count: 200_000,
        against: "retain and release of one object, two threads",
        { counting.read(by: 2, $0) }
      ) { transition.read(by: 2, $0) },
      row(
        "hazard:flat", budget: 1.1, count: 200_000, against: "one reader, of thirty-two",
        { transition.read(by: 1, $0) }
      ) { transition.read(by: 32, $0) },
      row(
        "hazard:flat-full", budget: 1.4, count: 200_000,
        against: "one reader, of thirty-two, by full fences",
        { full.read(by: 1, $0) }
      ) { full.read(by: 32, $0) },
    ]
    + [1, 8, 32].flatMap { readers in
      Way.allCases.map { way in
        // The table of the readers: figures, and no budget that could be broken.
        row(
          "hazard:readers-\(way.rawValue)-\(readers)", budget: 1000, count: 2_000,
          against: "no protection",
          { Reading(.nothing).read(by: readers, $0) }
        ) { Reading(way).read(by: readers, $0) }
      }
    }

  private static let transition = Reading(.transition)
  private static let full = Reading(.full)
  private static let counting = Reading(.references)

  private static func row(
    _ name: String, budget: Double, count: Int = 20_000, against peer: String,
    _ theirs: @escaping @Sendable (Int) -> Double, ours: @escaping @Sendable (Int) -> Double
  ) -> Benchmark {
    Benchmark(name, budget: budget, against: peer, { _, count in theirs(count) }) { _, count in
      ours(count)
    }.needing(.none, count: count)
  }

  enum Way: String, CaseIterable, Sendable {
    case transition, full, membarrier
    case lock = "rwlock"
    case count = "refcount"
    case references = "arc"
    case nothing = "none"
  }
}

private final class Table: Sendable {
  let version = 7
}

/// Readers of one object, protected one way.
// Sendable: the reference is, and the table is constant.
private final class Reading: @unchecked Sendable {
  private let way: HazardBenchmarks.Way
  private let coordinator: Coordinator
  private let reference: ProtectedReference<Table>
  private let table = Table()

  init(_ way: HazardBenchmarks.Way) {
    self.way = way
    do {
      var configuration = Coordinator.Configuration(
        housekeeping: [0], isolated: CPUMask(1..<33))
      configuration.pinning = .none
      configuration.watchdog = nil
      coordinator = try Coordinator(configuration)
      let domain =
        switch way {
        case .transition: try coordinator.makeHazardDomain(reclamation: .explicit)
        case .membarrier: try HazardDomain(fence: .membarrier, reclamation: .explicit)
        default: try HazardDomain(reclamation: .explicit)
        }
      reference = ProtectedReference(Table(), in: domain)
    } catch {
      fatalError("no domain: \(error)")
    }
  }

  /// The processor time of one section when so many threads read at once.
  func read(by threads: Int, _ count: Int) -> Double {
    let context = unsafe Unmanaged.passUnretained(self).toOpaque()
    let run: @convention(c) (UnsafeMutableRawPointer?, UInt64) -> Void
    switch way {
    case .lock: unsafe run = unsafe peer_read_locked
    case .count: unsafe run = unsafe peer_read_counted
    case .nothing: unsafe run = unsafe peer_read_plainly
    case .references:
      unsafe run = { context, count in
        unsafe Unmanaged<Reading>.fromOpaque(context!)._withUnsafeGuaranteedRef {
          $0.countReferences(count)
        }
      }
    case .transition:
      unsafe run = { context, count in
        unsafe Unmanaged<Reading>.fromOpaque(context!)._withUnsafeGuaranteedRef {
          $0.asCPU(Int(count))
        }
      }
    case .full, .membarrier:
      unsafe run = { context, count in
        unsafe Unmanaged<Reading>.fromOpaque(context!)._withUnsafeGuaranteedRef {
          _ = $0.sections(Int(count))
        }
      }
    }
    return unsafe peer_readers(Int32(threads), UInt64(count), run, context)
  }

  /// The same on the calling thread's processor, as an isolated CPU in kernel.
  func readInKernel(_ count: Int) -> Double { read(by: 1, count) }

  /// Reads as an isolated CPU in kernel: the first that is free.
  private func asCPU(_ count: Int) {
    for cpu in coordinator.isolated {
      guard let local = try? coordinator.attach(to: cpu) else { continue }
      _ = sections(count)
      local.detach()
      return
    }
  }

  @inline(never)
  private func sections(_ count: Int) -> Int {
    var sum = 0
    for _ in 0..<count { sum &+= reference.withObject { $0.version } }
    return sum
  }

  @inline(never)
  private func countReferences(_ count: UInt64) {
    for _ in 0..<count {
      retainTable()
      unsafe Unmanaged.passUnretained(table).release()
    }
  }

  // A function of its own: the optimiser would take the pair out.
  @inline(never)
  private func retainTable() { _ = unsafe Unmanaged.passUnretained(table).retain() }
}
