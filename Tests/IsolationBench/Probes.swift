// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

// The hot paths as C functions: what a program in another language would call, and what the
// disassembly test looks at. Each gets addresses of values that outlive the call.

/// Entry of the `LocalCPU` at this address, on its thread and in user.
@c(cpuisolation_probe_entry)
public func probeEntry(_ cpu: UnsafeMutableRawPointer) {
  // Safety: the caller's promise.
  unsafe cpu.assumingMemoryBound(to: LocalCPU.self).pointee.enterKernel()
}

/// Exit of the `LocalCPU` at this address, on its thread and in kernel.
@c(cpuisolation_probe_exit)
public func probeExit(_ cpu: UnsafeMutableRawPointer) {
  // Safety: the caller's promise.
  unsafe cpu.assumingMemoryBound(to: LocalCPU.self).pointee.enterUser()
}

/// A send of the `WorkType` at `work` by the `Sender` at `sender`; 1 if it was deferred or
/// merged, else 0.
@c(cpuisolation_probe_send)
public func probeSend(
  _ sender: UnsafeMutableRawPointer, _ work: UnsafeRawPointer, _ cpu: Int
) -> Int32 {
  // Safety: the caller's promise.
  let outcome = unsafe sender.assumingMemoryBound(to: Sender.self).pointee.send(
    work.assumingMemoryBound(to: WorkType.self).pointee, to: cpu)
  switch outcome {
  case .deferred, .merged: return 1
  default: return 0
  }
}
