// SPDX-License-Identifier: Apache-2.0

internal import CTorture
internal import Glibc

/// The process around the run: it notices a run that dies or hangs, and stops and continues it.
struct Supervisor {
  private let options: TortureOptions
  /// How long a run may be silent, in seconds: it prints a line a second, and a machine may stall.
  private var patience: Double { options.bug == .hang ? 6 : 60 }

  init(_ options: TortureOptions) { self.options = options }

  func run() -> Int32 {
    var ends: [Int32] = [0, 0]
    guard unsafe pipe(&ends) == 0 else {
      Output.complaint("no pipe: errno \(errno)")
      return 1
    }
    let child = ctr_fork(true)
    if child < 0 {
      Output.complaint("no process for the run: errno \(errno)")
      return 1
    }
    if child == 0 {
      close(ends[0])
      exit(Torture(options, heartbeat: ends[1]).run())
    }
    close(ends[1])
    ctr_take_stop_signals(child)
    return watch(child, heartbeat: ends[0])
  }

  private func watch(_ child: pid_t, heartbeat: Int32) -> Int32 {
    var random = SeededGenerator(seed: options.seed, stream: 1000)
    var lastBeat = Self.now
    var nextStop = Self.now + 1
    while true {
      var descriptor = pollfd(fd: heartbeat, events: Int16(POLLIN), revents: 0)
      let ready = unsafe poll(&descriptor, 1, 100)
      if ready > 0 {
        var byte: UInt8 = 0
        // Its end is closed when the run has ended.
        if unsafe read(heartbeat, &byte, 1) == 0 { return verdict(of: child) }
        lastBeat = Self.now
      }
      if Self.now - lastBeat > patience {
        kill(child, SIGKILL)
        _ = verdict(of: child)
        return fail("the run has shown no sign of life for \(Int(patience)) s")
      }
      if options.faults.contains(.stop), Self.now > nextStop {
        kill(child, SIGSTOP)
        usleep(UInt32(random.below(500_000)))
        kill(child, SIGCONT)
        nextStop = Self.now + Double(1 + random.below(3))
      }
    }
  }

  /// Waits for the run, and tells how it ended.
  private func verdict(of child: pid_t) -> Int32 {
    var status: Int32 = 0
    while unsafe waitpid(child, &status, 0) < 0 {
      if errno != EINTR { return fail("the run cannot be waited for: errno \(errno)") }
    }
    let signal = status & 0x7f
    if signal == SIGKILL { return 1 }
    if signal != 0 { return fail("the run died of signal \(signal)") }
    return status >> 8 & 0xff
  }

  private func fail(_ sentence: String) -> Int32 {
    Output.line("violation (seed \(options.seed)): \(sentence)")
    Output.line("FAILED; again: \(options.replay)")
    return 1
  }

  private static var now: Double {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}
