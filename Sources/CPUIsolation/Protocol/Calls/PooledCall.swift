// SPDX-License-Identifier: Apache-2.0

/// The part of a pooled call that does not depend on what it carries.
///
/// The record is the first thing in it: what comes out of a CPU's queue is the address of both.
@safe @usableFromInline
struct PooledCallHeader: ~Copyable {
  var record = CallRecord()
  /// Where the call goes when it is over: the pool that it came out of.
  var home: PoolCore?
  /// One reference, since nothing is counted per call.
  private let route: Unmanaged<CallRoute>

  init(_ route: CallRoute) {
    home = nil
    // Safety: one reference, which `deinit` gives back.
    unsafe self.route = unsafe Unmanaged.passRetained(route)
  }

  // Safety: the reference of `init`.
  deinit { unsafe route.release() }

  /// Ends a call, on its target, or, with a CPU below zero, where it is taken back unrun.
  static let end: CPUFunction = { context, cpu in
    // Safety: the call was claimed with itself for a context.
    let call = unsafe Address(context.unsafelyUnwrapped)
    let header = unsafe Place<PooledCallHeader>(call)
    unsafe header.value.route._withUnsafeGuaranteedRef { $0.deliver(call, cpu) }
    unsafe putHome(call)
  }

  /// Puts a call back into its pool.
  // Safety: the caller has a pooled call that is over.
  @unsafe
  static func putHome(_ call: Address) {
    let home = unsafe Place<PooledCallHeader>(call).value.home.unsafelyUnwrapped
    home.holdAsGuest()
    // After this the call is somebody else's, or the pool has ended and taken its memory along.
    home.putAsGuest(home.receive(call))
  }
}

/// What is done with the messages of a pool's calls.
@usableFromInline
final class CallRoute: Sendable {
  /// Takes the message out of the call, and hands it to the pool's closure unless the CPU is below
  /// zero.
  let deliver: @Sendable (Address, Int) -> Void

  @usableFromInline
  init(deliver: @escaping @Sendable (Address, Int) -> Void) {
    self.deliver = deliver
  }
}

/// A call that carries a message, as an element of a pool.
// Sendable: it belongs to whoever has taken it out of the pool, then to whoever takes it out of a
// CPU's queue.
@safe @usableFromInline
struct PooledCall<Message: Sendable>: ~Copyable, @unchecked Sendable {
  var header: PooledCallHeader
  @usableFromInline var message: Message?

  @usableFromInline
  init(_ route: CallRoute) {
    header = PooledCallHeader(route)
    message = nil
  }
}
