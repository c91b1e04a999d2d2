// SPDX-License-Identifier: Apache-2.0

extension LocalCPU {
  /// Sends deferrable work to one CPU, counting in this CPU's own slot.
  ///
  ///     cpu.send(flush, to: 3)
  ///
  /// - Parameters:
  ///   - work: a type that the coordinator has registered; of any other nothing is sent.
  ///   - cpu: its number; one that is after the last CPU's ends the process with a sentence.
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: what became of the send.
  /// - Progress: wait-free
  /// - Context: owner, also inside a handler
  /// - Allocates: never
  @discardableResult @inlinable @inline(__always)
  public func send(
    _ work: WorkType, to cpu: Int, file: StaticString = #fileID, line: UInt = #line
  ) -> SendOutcome {
    path.deliver(work, to: cpu, from: CallSite(file, line))
  }
}
