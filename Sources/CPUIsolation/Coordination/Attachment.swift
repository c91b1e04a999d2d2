// SPDX-License-Identifier: Apache-2.0

/// What a CPU's slot keeps while a thread is attached: the coordinator, in which the slot's memory is,
/// however the attachment ends.
@usableFromInline
final class Attachment: Sendable {
  let coordinator: Coordinator

  init(_ coordinator: Coordinator) { self.coordinator = coordinator }

  // The last thread of a closed coordinator ends what `close` could not.
  deinit { coordinator.endIfClosed() }
}
