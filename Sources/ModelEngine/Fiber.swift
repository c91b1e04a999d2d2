// SPDX-License-Identifier: Apache-2.0

internal import CFiber

/// One body on its own stack, with its store buffer.
@safe
final class Fiber {
  enum State {
    case ready
    /// In a loop that goes on when something becomes visible.
    case waiting
    /// On a futex.
    case sleeping
    case done
  }

  let number: Int
  /// Where it stands. In memory of its own: a switch writes it while other bodies run.
  let position = UnsafeMutablePointer<UnsafeMutableRawPointer?>.allocate(capacity: 1)
  var state = State.done
  var body: (() -> Void)? = nil
  var buffer: [BufferedStore] = []
  var seenProgress = 0
  var futex: UInt = 0
  var hasDeadline = false
  var hasTimedOut = false
  /// Whether a wake ended its last sleep, and not a signal.
  var isWoken = false
  /// What the thread-local word of a thread is.
  var threadLocal: UnsafeMutableRawPointer? = nil
  var isHelping = false
  var interrupts: [() -> Void] = []
  var isInterrupted = false
  private var stack: UnsafeMutableRawPointer? = nil

  private static let stackBytes = 256 * 1024

  init(number: Int) {
    self.number = number
    unsafe position.initialize(to: nil)
  }

  deinit {
    unsafe position.deallocate()
    unsafe stack?.deallocate()
  }

  func prepare(_ body: @escaping () -> Void) {
    if unsafe stack == nil {
      unsafe stack = .allocate(byteCount: Self.stackBytes, alignment: 4096)
    }
    self.body = body
    state = .ready
    buffer.removeAll(keepingCapacity: true)
    seenProgress = 0
    hasDeadline = false
    hasTimedOut = false
    isWoken = false
    unsafe threadLocal = nil
    isHelping = false
    interrupts.removeAll()
    isInterrupted = false
    unsafe position.pointee = cfiber_prepare(
      stack.unsafelyUnwrapped + Self.stackBytes, { unsafe Fiber.run($0) },
      Unmanaged.passUnretained(self).toOpaque())
  }

  private static func run(_ context: UnsafeMutableRawPointer?) {
    let fiber = unsafe Unmanaged<Fiber>.fromOpaque(context.unsafelyUnwrapped)
      .takeUnretainedValue()
    fiber.body?()
    ModelEngine.current?.bodyEnded()
  }
}

/// A store that its thread sees and nobody else yet.
struct BufferedStore {
  var address: UInt
  var value: UInt64
  var width: Int
}
