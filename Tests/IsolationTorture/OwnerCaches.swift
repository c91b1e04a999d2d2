// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// What the thread of a CPU has open for as long as it is the CPU.
struct OwnerCaches: ~Copyable {
  let translations: AddressSpace.LocalTranslations
  let lookups: LookupCache<UInt64, UInt64>.Local

  init(_ world: World, _ cpu: borrowing LocalCPU) {
    translations = world.pages.space.open(on: cpu)
    lookups = world.lookups.open(on: cpu)
  }
}
