// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CPUIsolationTextPatching
import Glibc
import Synchronization

/// What sites run: each function's result tells which it was.
enum Functions {
  static let original: PatchFunction = { first, second in first + second }
  static let replacement: PatchFunction = { first, second in first * 1_000 + second }
  static let other: PatchFunction = { first, second in first * 1_000_000 + second }

  /// Counts its runs, and checks that the stack is aligned as C functions expect it.
  static let hook: PatchFunction = { first, second in
    Counts.hooks.wrappingAdd(1, ordering: .relaxed)
    Counts.arguments.store(first << 32 | second, ordering: .relaxed)
    return -1
  }
  static let otherHook: PatchFunction = { _, _ in
    Counts.otherHooks.wrappingAdd(1, ordering: .relaxed)
    return -2
  }

  /// A function of the C library, which is further away than a branch reaches.
  static func far() -> PatchFunction? {
    guard let address = unsafe dlsym(nil, "labs") else { return nil }
    return unsafe unsafeBitCast(address, to: PatchFunction.self)
  }
}

enum Counts {
  static let hooks = Atomic<Int>(0)
  static let otherHooks = Atomic<Int>(0)
  static let arguments = Atomic<Int>(0)
}

/// Whether the condition holds, now or within a time that any machine keeps.
func eventually(within limit: Duration = .seconds(120), _ condition: () -> Bool) -> Bool {
  let end = ContinuousClock.now + limit
  while !condition() {
    if ContinuousClock.now >= end { return condition() }
    usleep(50)
  }
  return true
}

/// A thread that is no CPU.
final class TestThread: Sendable {
  private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }
  private let handle: pthread_t
  private let isDone: Flag

  init(_ run: @escaping @Sendable () -> Void) {
    let isDone = Flag()
    var handle = pthread_t()
    let body = unsafe Unmanaged.passRetained(
      Body {
        run()
        isDone.raise()
      })
    let error = unsafe pthread_create(
      &handle, nil,
      { body in
        unsafe Unmanaged<Body>.fromOpaque(body.unsafelyUnwrapped).takeRetainedValue().run()
        return nil
      }, body.toOpaque())
    precondition(error == 0, "no thread: \(error)")
    self.handle = handle
    self.isDone = isDone
  }

  var hasEnded: Bool { isDone.isRaised }
  func join() { pthread_join(handle, nil) }
}

final class Flag: Sendable {
  private let isSet = Atomic<Bool>(false)
  var isRaised: Bool { isSet.load(ordering: .acquiring) }
  func raise() { isSet.store(true, ordering: .releasing) }
}

extension Coordinator {
  /// CPU 0 for housekeeping, 1 to 3 isolated, unpinned, unwatched.
  static func quiet(isolated: CPUMask = [1, 2, 3]) throws -> Coordinator {
    var configuration = Configuration(housekeeping: [0], isolated: isolated)
    configuration.pinning = .none
    configuration.watchdog = nil
    return try Coordinator(configuration)
  }
}
