// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Glibc
import Synchronization

/// What two threads of a test tell each other.
final class Exchange: Sendable {
  let isStopping = Atomic(false)
  let isThere = Atomic(false)
  let requests = Atomic<Int>(0)
  let runs = Atomic<Int>(0)
}

/// A coordinator whose CPU 1 is a companion thread, in user or in kernel, while the test's own thread is CPU 0.
struct Companion {
  let coordinator: Coordinator
  let exchange = Exchange()
  private let thread: CPUThread

  /// - Parameter act: what the companion does all the time.
  init(
    in context: CPUContext = .user,
    act: @escaping @Sendable (Coordinator, Exchange) -> Void = { _, _ in }
  ) throws {
    var configuration = Coordinator.Configuration(housekeeping: [], isolated: [0, 1])
    configuration.pinning = .none
    configuration.watchdog?.report = { _ in }
    let coordinator = try Coordinator(configuration)
    let exchange = exchange
    thread = try coordinator.launch(on: 1) { local in
      let handle = local.handle
      let loop = {
        exchange.isThere.store(true, ordering: .releasing)
        while !exchange.isStopping.load(ordering: .acquiring) {
          act(coordinator, exchange)
          handle.poll()
          sched_yield()
        }
      }
      if context == .user { local.inUser(loop) } else { loop() }
    }
    self.coordinator = coordinator
    while !exchange.isThere.load(ordering: .acquiring) { sched_yield() }
  }

  func stop() {
    exchange.isStopping.store(true, ordering: .releasing)
    thread.join()
  }

  /// Registers a type whose handler counts its runs, as a C function.
  func register(_ name: String) throws -> WorkType {
    try unsafe coordinator.register(
      name, context: Unmanaged.passUnretained(exchange).toOpaque()
    ) { exchange, _ in
      unsafe Unmanaged<Exchange>.fromOpaque(exchange.unsafelyUnwrapped)
        ._withUnsafeGuaranteedRef { _ = $0.runs.wrappingAdd(1, ordering: .relaxed) }
    }
  }
}
