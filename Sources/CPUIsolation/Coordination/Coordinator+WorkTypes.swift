// SPDX-License-Identifier: Apache-2.0

extension Coordinator {
  /// The work types that are registered, with their names, in the order of their bits.
  ///
  ///     let pending = coordinator.workTypes.filter { statistics[$0.type].pending != 0 }.map(\.name)
  ///
  /// The library's own are among them, such as that of static keys.
  ///
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  public var workTypes: [(name: String, type: WorkType)] {
    registry.withLock { $0.workTypes }
  }
}

extension Registry {
  /// The registered types, by bit.
  var workTypes: [(name: String, type: WorkType)] {
    registrations.indices.compactMap { index in
      registrations[index].map { registration in
        (
          registration.name,
          WorkType(
            type: UInt64(index), registration: registration.number,
            mergesWithoutWriting: registration.options.expectsManySenders,
            form: WorkForm(registration.options.delivery))
        )
      }
    }
  }
}
