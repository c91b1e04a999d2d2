// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// A pop from the `RawObjectPool.Local` at this address, on its thread, as a C function: see the
/// other probes.
@c(cpuisolation_probe_pop)
public func probePop(_ local: UnsafeRawPointer) -> UnsafeMutableRawPointer? {
  // Safety: the caller's promise.
  unsafe local.assumingMemoryBound(to: RawObjectPool.Local.self).pointee.pop()
}

/// A push to it.
@c(cpuisolation_probe_push)
public func probePush(_ local: UnsafeRawPointer, _ object: UnsafeMutableRawPointer) {
  // Safety: the caller's promise.
  unsafe local.assumingMemoryBound(to: RawObjectPool.Local.self).pointee.push(object)
}
