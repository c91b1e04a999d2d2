// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// A buffer pool: page ids are translated to frames, and somebody evicts pages all the time.
///
///     swift run -c release buffer-pool [--json] [--seconds N] [--readers N] [--lookups N]
///
/// A reader serves requests of some lookups each, eight if nothing is said; `--lookups 1` shows the
/// transitions most. Three pools do the same work: on `AddressSpace`, under a reader-writer lock,
/// and with a version for each page. Frames are poisoned when they are free, so that a reader which
/// used one too long would see it. Exits 1 if one did.
@main
struct BufferPool {
  // Few enough for the processor's own caches: what is compared is the translation.
  private static let pages = 272
  private static let frames = 256
  private static let rounds = 3

  static func main() {
    guard let options = Options(CommandLine.arguments.dropFirst()) else {
      print("usage: buffer-pool [--json] [--seconds N] [--readers N] [--lookups N]")
      exit(64)
    }
    var rates: [[Double]] = [[], [], []]
    var stale: UInt64 = 0
    var evictions = 0
    var flushes: UInt64 = 0
    for _ in 0..<rounds {
      for kind in 0..<3 {
        let memory = Frames(count: frames)
        let pool: any Pool
        var isolated: IsolatedPool? = nil
        switch kind {
        case 0:
          do throws(any Error) {
            isolated = try IsolatedPool(
              memory, pages: pages, readers: options.readers,
              lookupsPerRequest: options.lookups)
          } catch {
            print("buffer-pool: \(error)")
            exit(69)
          }
          pool = isolated!
        case 1: pool = LockedPool(memory, pages: pages)
        default: pool = VersionedPool(memory, pages: pages)
        }
        let run = Run(pool, memory, pages: pages)
        run.go(readers: options.readers, seconds: options.seconds / Double(3 * rounds))
        rates[kind].append(run.lookupsPerSecond)
        if kind == 0 {
          stale += run.stale
          evictions += run.evictions
          flushes += isolated!.flushes
        } else if run.stale > 0 {
          print("buffer-pool: a pool to compare with gave \(run.stale) stale frames")
          exit(70)
        }
      }
    }
    let medians = rates.map { $0.sorted()[rounds / 2] }
    let ratios = (lock: medians[0] / medians[1], version: medians[0] / medians[2])
    if options.isJSON {
      print(
        "{\"stale\":\(stale),\"lookups_per_s\":\(Int(medians[0]))"
          + ",\"ratio_rwlock\":\(decimal(ratios.lock)),\"ratio_version\":\(decimal(ratios.version))"
          + ",\"evictions\":\(evictions),\"flushes\":\(flushes)}")
    } else {
      print(
        """
        \(options.readers) readers, \(options.lookups) lookups a request, \(frames) frames of \(pages) pages
        address space       \(millions(medians[0])) million lookups a second
        reader-writer lock  \(millions(medians[1])), ratio \(decimal(ratios.lock))
        version per page    \(millions(medians[2])), ratio \(decimal(ratios.version))
        evictions           \(evictions), dropped by readers in \(flushes) flushes
        stale frames        \(stale)
        """)
    }
    exit(stale > 0 ? 1 : 0)
  }

  /// A number with two decimals.
  private static func decimal(_ value: Double) -> String {
    let hundredths = Int((value * 100).rounded())
    let fraction = hundredths % 100
    return "\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction)"
  }

  private static func millions(_ value: Double) -> String { decimal(value / 1e6) }
}

/// What the command line asks for.
struct Options {
  var isJSON = false
  var seconds = 3.0
  var readers = 2
  var lookups = 8

  /// Nil if an argument is unknown.
  init?(_ arguments: ArraySlice<String>) {
    var rest = arguments
    while let argument = rest.popFirst() {
      switch argument {
      case "--json": isJSON = true
      case "--seconds":
        guard let value = rest.popFirst().flatMap(Double.init), value > 0 else { return nil }
        seconds = value
      case "--readers":
        guard let value = rest.popFirst().flatMap(Int.init), value > 0, value < 64 else {
          return nil
        }
        readers = value
      case "--lookups":
        guard let value = rest.popFirst().flatMap(Int.init), value > 0, value < 1 << 20 else {
          return nil
        }
        lookups = value
      default: return nil
      }
    }
  }
}
