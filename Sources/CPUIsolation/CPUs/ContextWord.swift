// SPDX-License-Identifier: Apache-2.0

/// The state word of a CPU, as a value: a transition counter above a context.
///
///     63                                          4       3     2       0
///     ┌────────────────────────────────────────────┬─────────┬─────────┐
///     │ transition counter                         │ section │ context │
///     └────────────────────────────────────────────┴─────────┴─────────┘
///
/// `section` is set in the owner's copy of the word alone, and there alone it says something: the
/// CPU has come into kernel for a section that ends where it began, and that somebody outside it
/// cannot end. It costs nothing, since the copy is written at each entry anyway.
///
/// The counter moves by one at each transition and is odd in kernel and even elsewhere, so a look
/// tells the context, and two looks tell whether the CPU has been away in between. Nobody orders
/// two counters with `<`: a narrow one wraps, and all that a wrap may do is hide that the CPU has
/// moved.
///
/// | from | to | change of the word |
/// |---|---|---|
/// | user, idle, guest | kernel | + unit − context |
/// | kernel | user, idle, guest | + unit + context |
/// | offline | kernel (attach) | + unit − offline |
/// | kernel | offline (detach) | + unit + offline |
/// | kernel | kernel (quiescent state) | + 2 unit |
///
/// Every other transition is a mistake. Both fields move in one addition, since a carry out of the
/// counter falls off the top of the word.
///
/// The layout is that of Linux's context tracking turned round (there: two bits of state below a
/// 30-bit counter, whose debug option shrinks it to 2 bits).
@frozen @usableFromInline
struct ContextWord: Hashable, Sendable, CustomStringConvertible {
  @usableFromInline var rawValue: UInt64

  @inlinable
  init(rawValue: UInt64) { self.rawValue = rawValue }

  #if ModelChecking
    @usableFromInline static var counterUnit: UInt64 { 1 << 62 }
  #else
    @inlinable @inline(__always)
    static var counterUnit: UInt64 { 16 }
  #endif

  /// The step of a counter `width` bits wide. It sits at the top of the word, so it wraps by
  /// itself.
  static func counterUnit(width: Int) -> UInt64 { 1 << UInt64(64 - width) }

  @inlinable @inline(__always)
  static var contextMask: UInt64 { 7 }

  /// The mark of a section, in the owner's copy.
  @inlinable @inline(__always)
  static var section: UInt64 { 8 }

  /// What is zero in the owner's copy where the CPU is in kernel, and free to leave it.
  @inlinable @inline(__always)
  static var plainKernelMask: UInt64 { contextMask | section }

  /// A CPU that nobody has attached to yet.
  static let offline = ContextWord(rawValue: UInt64(CPUContext.offline.rawValue))

  /// The context; nil for a pattern that no transition makes.
  var context: CPUContext? { CPUContext(rawValue: UInt8(rawValue & Self.contextMask)) }

  /// The same of a W that may be that of a number which is no CPU: the memory of such a slot was
  /// never laid out. A CPU's W is 0 once in 2⁶⁰ transitions, where it counts as offline for one.
  var contextIfThere: CPUContext? {
    #if ModelChecking
      context
    #else
      rawValue == 0 ? .offline : context
    #endif
  }

  /// Whether it is the W of a CPU in kernel: `contextIfThere` without the other contexts, for looks at
  /// many CPUs.
  var isInKernel: Bool {
    let isKernel = rawValue & Self.contextMask == UInt64(CPUContext.kernel.rawValue)
    #if ModelChecking
      return isKernel
    #else
      return isKernel && rawValue != 0
    #endif
  }

  /// The transition counter, for a counter of this width.
  func counter(width: Int = Limits.counterBits) -> UInt64 { rawValue >> UInt64(64 - width) }

  /// The word after a transition, or nil where the table has none.
  func moved(to next: CPUContext, unit: UInt64 = ContextWord.counterUnit) -> ContextWord? {
    guard let context, (context == .kernel) != (next == .kernel) else { return nil }
    return ContextWord(
      rawValue: rawValue &+ unit &+ UInt64(next.rawValue) &- UInt64(context.rawValue))
  }

  /// The word after a quiescent state declared in kernel.
  func quiesced(unit: UInt64 = ContextWord.counterUnit) -> ContextWord? {
    context == .kernel ? ContextWord(rawValue: rawValue &+ unit &+ unit) : nil
  }

  /// What entry adds: one step of the counter, and the context back to kernel.
  @inlinable @inline(__always)
  static func entry(from context: CPUContext) -> UInt64 { counterUnit &- UInt64(context.rawValue) }

  /// What exit adds: one step of the counter, and the context.
  @inlinable @inline(__always)
  static func exit(to context: CPUContext) -> UInt64 { counterUnit &+ UInt64(context.rawValue) }

  /// Whether a CPU seen with `snapshot` and now with `self` has passed a grace period: it is
  /// outside kernel, or it has moved since. A counter that came round to the same value answers
  /// false: it delays, it never lies.
  func hasPassed(since snapshot: ContextWord) -> Bool {
    rawValue & Self.contextMask != UInt64(CPUContext.kernel.rawValue)
      || rawValue != snapshot.rawValue
  }

  @usableFromInline var description: String {
    "\(context.map(\.description) ?? "?") #\(counter())"
  }
}
