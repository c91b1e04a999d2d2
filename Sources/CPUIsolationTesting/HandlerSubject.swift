// SPDX-License-Identifier: Apache-2.0

public import CPUIsolation

/// A work type on a coordinator of its own, as a conformance check sees it: how to change what the
/// handler catches up with, and how to read what it maintains.
///
///     HandlerSubject(
///       cache.refresh,
///       publish: { step in table.insert(Route(step)) },
///       state: { cpu in cache.routes(on: cpu) })
///
/// Everything in it belongs to this one instance: a check makes many, plays another schedule on
/// each, and compares their states.
///
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: yes
public struct HandlerSubject<State: Equatable & Sendable>: Sendable {
  let work: WorkType
  let publish: @Sendable (Int) -> Void
  let state: @Sendable (Int) -> State
  let others: [WorkType]
  let whilePublishing: (@Sendable (() -> Void) -> Void)?

  /// Describes a registered work type.
  ///
  /// - Parameters:
  ///   - work: The type, registered on the coordinator that the check has made.
  ///   - publish: Makes change number `step`, the same for each instance, on a thread that is no
  ///     CPU. Whether it sends, too, does not matter.
  ///   - state: Reads what the handler maintains for a CPU, by value, on that CPU's thread in
  ///     kernel.
  ///   - others: Types that maintain parts of the same state. They are drained in every order.
  ///   - whilePublishing: Calls its argument in the middle of a change, holding whatever a
  ///     publisher holds then: the handler is run inside.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: yes
  public init(
    _ work: WorkType, publish: @escaping @Sendable (_ step: Int) -> Void,
    state: @escaping @Sendable (_ cpu: Int) -> State, others: [WorkType] = [],
    whilePublishing: (@Sendable (_ body: () -> Void) -> Void)? = nil
  ) {
    self.work = work
    self.publish = publish
    self.state = state
    self.others = others
    self.whilePublishing = whilePublishing
  }

  /// All types that maintain the state.
  var types: [WorkType] { [work] + others }
}
