// SPDX-License-Identifier: Apache-2.0

/// A registered type of work that may wait until its target enters kernel: one bit in each CPU's
/// work word.
///
///     let flush = try coordinator.register("flush_tlb_all") { cpu in caches[cpu].removeAll() }
///     let report = coordinator.send(flush, to: [2, 3])
///     report[.deferred]  // 2-3: nothing runs now, both run it before they can see anything stale
///
/// However often a type is sent, at most one run per CPU is pending: sends are coalesced, and carry
/// no arguments. The handler reconstructs what it needs from shared state. That is what keeps
/// memory constant for a CPU that does not enter for a week; a queue of closures would be a leak.
///
/// Do not use it for work that must run soon (that is `Coordinator.call`), or once per send.
///
/// After Linux's "defer some IPIs until a user->kernel transition" (V. Schneider, 2023).
///
/// - Progress: wait-free to copy and compare
/// - Context: any thread
/// - Allocates: never
@frozen
public struct WorkType: Hashable, Sendable, CustomStringConvertible {
  @usableFromInline let type: UInt64
  @usableFromInline let registration: UInt64
  /// Whether a send is more than a bit: 0 is the shortest path.
  @usableFromInline let care: UInt64

  init(
    type: UInt64, registration: UInt64, mergesWithoutWriting: Bool, form: WorkForm = .bit
  ) {
    self.type = type
    self.registration = registration
    care = (mergesWithoutWriting ? 1 : 0) | UInt64(form.rawValue) << 8
  }

  var mergesWithoutWriting: Bool { care & 1 != 0 }
  var form: WorkForm { WorkForm(rawValue: UInt8(truncatingIfNeeded: care >> 8)) ?? .bit }

  /// The number of the bit, 0 ..< 61.
  public var bit: Int { Int(type) }

  public var description: String { "work type \(type)" }

  /// How many types a coordinator can have at a time: 64 bits, less three of the library's own
  /// (cross calls, cross calls that must not run in an interrupt, and the request for attention).
  public static let capacity = Limits.workTypes - BuiltInWork.count
}

extension WorkType {
  /// When a type runs, among the types that are pending together.
  ///
  /// Within one order, types run in the order of their bits: the order of registration, until bits
  /// of unregistered types are used again.
  public enum DrainOrder: Sendable {
    /// Before the others: what the others rely on, such as instruction synchronisation or a TLB
    /// flush.
    case early
    /// In between.
    case normal
    /// After the others.
    case late
  }

  /// How sends of a type reach a CPU that stays in user.
  public enum Delivery: Hashable, Sendable {
    /// A bit in the CPU's own work word: one locked instruction and one line for each target, and
    /// only the targets run anything. The default.
    case bit
    /// By comparison: a send counts up one generation and looks at the targets, and whoever enters
    /// kernel compares. A CPU in user is written nothing, so that wide broadcasts scale; but the
    /// generation is everybody's, and the CPUs outside the mask catch up, too.
    case catchUp
    /// A bit, and a payload of 64 bits that senders merge in place.
    case merging(Merge)
  }

  /// How the payloads of sends that wait for one CPU become one: see `Payload`.
  public enum Merge: Hashable, Sendable {
    /// The highest.
    case maximum
    /// All bits that any has.
    case union
    /// The smallest range that holds all.
    case hull
  }

  /// What a work type promises and asks for.
  ///
  ///     let work = try coordinator.register(
  ///       "refresh", options: .init(mayRunOnBehalf: true, maximumAge: .milliseconds(50))
  ///     ) { cpu in … }
  public struct Options: Sendable {
    /// When the type runs, among those that are pending together.
    public var order: DrainOrder
    /// How sends reach a CPU in user.
    public var delivery: Delivery
    /// The handler may run in a signal handler: it is a C function in effect, allocates nothing,
    /// takes no lock, touches no lazily initialised global.
    public var isInterruptSafe: Bool
    /// The handler may run on another thread, on behalf of a CPU that stays outside kernel: it uses
    /// its `cpu` argument, no thread-local state, and does not wait.
    public var mayRunOnBehalf: Bool
    /// The longest that the work may stay pending. After it the watchdog runs the work on behalf
    /// where that is allowed, else kicks the CPU. Nil: for as long as the CPU stays away.
    public var maximumAge: Duration?
    /// Senders look before they write, after a full fence, so that many senders that send what is
    /// pending already do not pull the target's line to and fro. Alone, it costs what the plain
    /// send costs, and no less.
    public var expectsManySenders: Bool

    /// A type that runs in normal order, on its own thread alone, for as long as it takes, but for
    /// what is named.
    ///
    ///     WorkType.Options(delivery: .merging(.hull), isInterruptSafe: true)
    ///
    /// - Parameters:
    ///   - order: when the type runs, among those that are pending together.
    ///   - delivery: how sends reach a CPU in user.
    ///   - isInterruptSafe: whether the handler may run in a signal handler: then it allocates
    ///     nothing and takes no lock.
    ///   - mayRunOnBehalf: whether another thread may run the handler for a CPU that stays outside
    ///     kernel.
    ///   - maximumAge: the longest that work may stay pending; nil is for as long as the CPU stays
    ///     away. It takes a watchdog, and is kept to within the watchdog's interval.
    ///   - expectsManySenders: whether senders look before they write, which pays where many send
    ///     what is pending already.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public init(
      order: DrainOrder = .normal, delivery: Delivery = .bit, isInterruptSafe: Bool = false,
      mayRunOnBehalf: Bool = false, maximumAge: Duration? = nil, expectsManySenders: Bool = false
    ) {
      self.order = order
      self.delivery = delivery
      self.isInterruptSafe = isInterruptSafe
      self.mayRunOnBehalf = mayRunOnBehalf
      self.maximumAge = maximumAge
      self.expectsManySenders = expectsManySenders
    }
  }
}

extension WorkForm {
  init(_ delivery: WorkType.Delivery) {
    self =
      switch delivery {
      case .bit: .bit
      case .catchUp: .catchUp
      case .merging(.maximum): .maximum
      case .merging(.union): .union
      case .merging(.hull): .hull
      }
  }
}
