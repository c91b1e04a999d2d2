// SPDX-License-Identifier: Apache-2.0

import CKernelView
import CPUIsolation
import Foundation
import Synchronization

/// What takes time from the loop: another thread on its processor, signals, page faults, and the library's own
/// work, deferred and immediate.
final class Disturbance: Sendable {
  /// The CPUs of the threads that disturb; the first is on the loop's processor.
  static let sibling = 1000
  static let sender = 1001
  private let isStopped = Atomic<Bool>(false)
  private let coordinator: Coordinator
  private let loop: MeteredLoop

  init(_ coordinator: Coordinator, _ loop: MeteredLoop) {
    self.coordinator = coordinator
    self.loop = loop
  }

  /// Memory that was never touched.
  static func freshPages(_ count: Int) -> (start: UInt, count: Int)? {
    let memory = mmap(
      nil, count * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let memory, memory != MAP_FAILED else { return nil }
    // A huge page would be one fault for all.
    madvise(memory, count * 4096, 15)
    return (UInt(bitPattern: memory), count)
  }

  /// Starts the threads, which end at `stop()`.
  func start(_ work: WorkType, target: Int) throws -> [CPUThread] {
    signal(SIGUSR1) { _ in }
    return [
      try coordinator.launch(on: Self.sibling) { _ in self.takeTheProcessor() },
      try coordinator.launch(on: Self.sender) { _ in self.send(work, to: target) },
    ]
  }

  func stop() { isStopped.store(true, ordering: .relaxed) }

  /// Runs for 1 ms, and sleeps for 5 to 13.
  private func takeTheProcessor() {
    var generator = SystemRandomNumberGenerator()
    while !isStopped.load(ordering: .relaxed) {
      let end = ContinuousClock.now + .milliseconds(1)
      while ContinuousClock.now < end {}
      usleep(UInt32.random(in: 5000...13000, using: &generator))
    }
  }

  /// A signal that is not the library's, work that waits for the loop, work that does not, a page that is given back,
  /// and a function call.
  private func send(_ work: WorkType, to target: Int) {
    var generator = SystemRandomNumberGenerator()
    while !isStopped.load(ordering: .relaxed) {
      usleep(UInt32.random(in: 500...3500, using: &generator))
      let handle = pthread_t(loop.handle.load(ordering: .relaxed))
      if handle != 0 { pthread_kill(handle, SIGUSR1) }
      usleep(UInt32.random(in: 500...3500, using: &generator))
      coordinator.send(work, to: target)
      usleep(UInt32.random(in: 500...3500, using: &generator))
      coordinator.send(work, to: target, urgency: .immediate)
      usleep(UInt32.random(in: 500...3500, using: &generator))
      if let (page, count) = Self.freshPages(1),
        let memory = UnsafeMutableRawPointer(bitPattern: page)
      {
        memory.storeBytes(of: 1, as: UInt8.self)
        munmap(memory, count * 4096)
      }
      usleep(UInt32.random(in: 500...3500, using: &generator))
      call_function_elsewhere()
    }
  }
}
