// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// What the handler of one of the witness's work types needs, and the type itself.
///
/// Each handler tells the witness that it has run. Two do something besides for the translations
/// that are made by hand: that of `flush_tlb_range` flushes them, and that of `nohz_kick`, which
/// runs after all flushes, reads through them.
// Sendable: an address that nobody changes, of memory that the witness keeps.
@safe
final class HandlerContext: @unchecked Sendable {
  let callback: Callback
  private let witness: Witness
  private let row: UnsafeMutableRawPointer
  private let handles: LiveHandles

  init(_ callback: Callback, _ witness: Witness, _ handles: LiveHandles) {
    self.callback = callback
    self.witness = witness
    unsafe row = witness.context(of: callback)
    self.handles = handles
  }

  /// Registers the type. The caller keeps this for as long as the coordinator.
  func register(
    with coordinator: Coordinator, _ broken: BrokenOrder?
  ) throws(IsolationError) -> WorkType {
    var options = WorkType.Options()
    options.isInterruptSafe = true
    options.order = callback == .nohzKick ? LiveHandles.order(ofTouch: broken) : .early
    return try unsafe coordinator.register(
      callback.name, options: options, context: Unmanaged.passUnretained(self).toOpaque()
    ) { context, cpu in
      unsafe Unmanaged<HandlerContext>.fromOpaque(context.unsafelyUnwrapped)
        ._withUnsafeGuaranteedRef { $0.run(on: cpu) }
    }
  }

  /// Interrupt-safe.
  private func run(on cpu: Int) {
    unsafe WitnessRow.observe(row, on: cpu)
    switch callback {
    case .flushTLBRange: handles.flush(on: cpu)
    case .nohzKick: handles.touchAll(on: cpu)
    case .syncCore, .flushTLBAll, .plainCall: break
    }
  }
}
