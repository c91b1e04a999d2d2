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
  // As in the engine: no access to these lasts while another fiber runs.
  @exclusivity(unchecked) var state = State.done
  @exclusivity(unchecked) var body: (() -> Void)? = nil
  @exclusivity(unchecked) var buffer: [BufferedStore] = []
  @exclusivity(unchecked) var seenProgress = 0
  @exclusivity(unchecked) var futex: UInt = 0
  @exclusivity(unchecked) var hasDeadline = false
  @exclusivity(unchecked) var hasTimedOut = false
  /// Whether a wake ended its last sleep, and not a signal.
  @exclusivity(unchecked) var isWoken = false
  /// What the thread-local word of a thread is.
  @exclusivity(unchecked) var threadLocal: UnsafeMutableRawPointer? = nil
  @exclusivity(unchecked) var isHelping = false
  @exclusivity(unchecked) var interrupts: [() -> Void] = []
  @exclusivity(unchecked) var isInterrupted = false
  @exclusivity(unchecked) private var stack: UnsafeMutableRawPointer? = nil

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
