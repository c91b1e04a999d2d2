// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// Where a program keeps a tracepoint: in a constant, which is not copied when it is used.
final class TracepointHolder: Sendable {
  let tracepoint: Tracepoint

  init(_ tracepoint: Tracepoint) { self.tracepoint = tracepoint }
}

/// Records an event of two fields at the tracepoint of the `TracepointHolder` at this address, as a
/// C function: see the other probes.
@c(cpuisolation_probe_record)
public func probeRecord(_ holder: UnsafeRawPointer, _ first: UInt32, _ second: UInt32) {
  // Safety: the caller's promise.
  unsafe Unmanaged<TracepointHolder>.fromOpaque(holder)._withUnsafeGuaranteedRef {
    $0.tracepoint.record((first, second))
  }
}
