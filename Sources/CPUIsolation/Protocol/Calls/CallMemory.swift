// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// Call records for one waiting call: one per CPU. They are used again, never freed before the
/// coordinator ends.
final class CallMemory: Sendable {
  private let memory: MappedMemory

  init(cpus: Int) throws(IsolationError) {
    memory = try MappedMemory(byteCount: cpus * cacheLineStride)
    for cpu in 0..<cpus { record(cpu).initialize(to: CallRecord()) }
  }

  func record(_ cpu: Int) -> Place<CallRecord> {
    // Safety: there is a record for each CPU.
    unsafe Place(memory.address + cpu * cacheLineStride)
  }
}
