// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// A lookup by the `AddressSpace.LocalTranslations` at `translations` on the `LocalCPU` at `cpu`, on its thread
/// and in kernel; the greatest number if the page is not mapped.
@c(cpuisolation_probe_translation)
public func probeTranslation(
  _ translations: UnsafeRawPointer, _ cpu: UnsafeRawPointer, _ page: UInt64
) -> UInt64 {
  // Safety: the caller's promise.
  unsafe translations.assumingMemoryBound(to: AddressSpace.LocalTranslations.self).pointee.lookUp(
    page, on: cpu.assumingMemoryBound(to: LocalCPU.self).pointee) ?? .max
}
