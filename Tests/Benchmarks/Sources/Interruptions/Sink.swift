// SPDX-License-Identifier: Apache-2.0

/// Where addresses go of memory that would else not be used: the optimiser takes away what nobody can see.
enum Sink {
  nonisolated(unsafe) private static var last = UnsafeRawPointer(bitPattern: 16)

  @inline(never) @_optimize(none)
  static func keep(_ memory: UnsafeRawPointer?) { last = memory }
}
