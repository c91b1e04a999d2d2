// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc

/// Records what the kernel sends to the processors of isolated CPUs, for as long as one half runs.
struct KernelRecording: ~Copyable {
  private var account: KernelAccount
  private let ledger: KernelLedger?
  private var started: Duration?
  private var lastDrain = ContinuousClock.now

  /// How long the ring is left alone: reading it takes memory, and giving that back interrupts.
  private static let drainInterval = Duration.seconds(20)
  /// The ring of each processor, in KiB: the load's own events take a fifth of it in each second.
  private static let ring = (perSecond: 512.0, least: 1024.0, most: 8192.0)

  /// Begins, before the loops start: turning tracepoints on interrupts every processor.
  init(_ options: Options, signal: Int32) {
    let count = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    let processors = CPUMask(options.isolated.filter { $0 < count })
    account = KernelAccount(processors: processors)
    if processors.isEmpty {
      account.refusal = "no isolated CPU is bound to a processor"
      ledger = nil
      return
    }
    let seconds = options.duration / .seconds(1)
    let kibibytes = Int(min(max(Self.ring.least, seconds * Self.ring.perSecond), Self.ring.most))
    do {
      ledger = try KernelLedger(processors: processors, signal: signal, kibibytes: kibibytes)
    } catch {
      account.refusal = "\(error)"
      ledger = nil
    }
  }

  /// Notes that every thread has started.
  mutating func threadsHaveStarted() { started = Self.now }

  /// Reads what has come, if that is due.
  mutating func drainIfDue() {
    if lastDrain.duration(to: .now) >= Self.drainInterval { drain() }
  }

  private mutating func drain() {
    guard let ledger, account.refusal == nil else { return }
    do {
      account.add(try ledger.read(), started: started ?? Self.now)
    } catch {
      account.refusal = "\(error)"
    }
    lastDrain = .now
  }

  /// Reads the rest, and ends.
  consuming func finish() -> KernelAccount {
    drain()
    ledger?.close()
    return account
  }

  /// The clock of the ledger's entries.
  private static var now: Duration {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
  }
}
