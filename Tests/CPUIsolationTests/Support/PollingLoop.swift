// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc

/// A thread of callbacks that sleeps in `poll(2)`, and that a byte in a pipe wakes: an event loop at its
/// smallest.
final class PollingLoop: Sendable {
  let coordinator: Coordinator
  let cpu: Int
  /// How often the wake function was called.
  let wakes = Counter()
  /// How often the loop came back from its sleep.
  let ticks = Counter()
  private let stop = Flag()
  private let pipe: Pipe
  private let step: Step<Void>

  /// Starts the loop, and returns when it has attached. `tick` runs in kernel, after each sleep.
  init(
    _ coordinator: Coordinator, on cpu: Int,
    tick: @escaping @Sendable (CPUHandle) -> Void = { _ in }
  ) throws {
    self.coordinator = coordinator
    self.cpu = cpu
    let pipe = Pipe()
    self.pipe = pipe
    let attached = Step<IsolationError?>()
    let (stop, wakes, ticks) = (stop, wakes, ticks)
    step = PlainThread.start {
      let handle: CPUHandle
      do throws(IsolationError) {
        handle = try coordinator.attachHandle(to: cpu) {
          wakes.increment()
          pipe.write()
        }
        attached.finish(nil)
      } catch { return attached.finish(error) }
      while !stop.isRaised && !coordinator.isClosed {
        if handle.beginIdle() {
          pipe.sleep()
          handle.endIdle()
        }
        ticks.increment()
        tick(handle)
      }
      handle.detach()
    }
    if let error = try attached.value() { throw error }
  }

  /// Whether the loop says idle, in which it sleeps or is about to.
  var isIdle: Bool { coordinator.context(of: cpu) == .idle }

  /// Has the thread come round once, as its own work would.
  func nudge() { pipe.write() }

  /// Lets the thread detach, and waits until it has.
  func end() throws {
    stop.raise()
    nudge()
    try step.value()
  }

  /// The two ends, for as long as the loop is there or its wake function.
  private final class Pipe: Sendable {
    private let reader: Int32, writer: Int32

    init() {
      var ends: [Int32] = [0, 0]
      let error = unsafe Glibc.pipe(&ends)
      precondition(error == 0, "no pipe")
      for end in ends { _ = fcntl(end, F_SETFL, O_NONBLOCK) }
      (reader, writer) = (ends[0], ends[1])
    }

    deinit {
      close(reader)
      close(writer)
    }

    func write() { _ = unsafe Glibc.write(writer, "w", 1) }

    /// Sleeps until there is a byte, and takes all.
    func sleep() {
      var event = pollfd(fd: reader, events: Int16(POLLIN), revents: 0)
      _ = unsafe Glibc.poll(&event, 1, -1)
      var bytes = [UInt8](repeating: 0, count: 64)
      while unsafe Glibc.read(reader, &bytes, bytes.count) > 0 {}
    }
  }
}
