// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CPUIsolationTextPatching

/// Patch sites that isolated CPUs call, one for each housekeeper: `sync_core` in earnest.
///
/// Version *n* of a site runs variant *n* modulo 8, and every variant answers with its number.
// Sendable: memory of its own, a word for each CPU, which the CPU's thread alone uses.
@safe
final class LiveText: @unchecked Sendable {
  let patcher: TextPatcher
  private let sites: [PatchSite]
  private let versions: Versions
  private let instructions: [PatchSite.Instruction]
  /// What hooks write and originals answer, for each CPU a line.
  private let marks: UnsafeMutablePointer<Int>

  private static let lineWords = 16
  static let variants = 8

  init(_ coordinator: Coordinator, housekeepers: Int, urgency: WorkType.Urgency)
    throws(IsolationError)
  {
    let patcher = try TextPatcher(
      coordinator: coordinator, capacity: housekeepers, urgency: urgency)
    let original: PatchFunction = { mark, _ in
      unsafe UnsafePointer<Int>(bitPattern: mark).unsafelyUnwrapped.pointee
    }
    var sites: [PatchSite] = []
    for index in 0..<housekeepers {
      sites.append(try patcher.makeSite("site \(index)", original: original))
    }
    self.patcher = patcher
    self.sites = sites
    versions = Versions(count: housekeepers)
    instructions = [
      .nop, .jump(to: { _, _ in 1 }), .jump(to: { _, _ in 2 }),
      .call({ mark, _ in
        unsafe UnsafeMutablePointer<Int>(bitPattern: mark).unsafelyUnwrapped.pointee = 3
        return 0
      }),
      .jump(to: { _, _ in 4 }), .jump(to: { _, _ in 5 }), .jump(to: { _, _ in 6 }),
      .call({ mark, _ in
        unsafe UnsafeMutablePointer<Int>(bitPattern: mark).unsafelyUnwrapped.pointee = 7
        return 0
      }),
    ]
    let words = ((coordinator.cpus.last ?? 0) + 1) * Self.lineWords
    unsafe marks = .allocate(capacity: words)
    unsafe marks.initialize(repeating: 0, count: words)
  }

  deinit { unsafe marks.deallocate() }

  /// Patches the housekeeper's site to its next variant.
  func patch(by housekeeper: Int) throws(IsolationError) {
    let version = versions.begin(housekeeper)
    try patcher.patch(sites[housekeeper], to: instructions[Int(version) % Self.variants])
    versions.finish(housekeeper, at: version)
  }

  /// Calls a site, and judges which variant ran.
  @inline(__always)
  func look(
    at index: Int, on cpu: borrowing LocalCPU, _ legality: Legality, _ place: Place
  ) {
    let mark = unsafe marks + cpu.number &* Self.lineWords
    unsafe mark.pointee = 0
    let lowest = versions.lowest(index)
    let variant = sites[index](on: cpu, Int(bitPattern: mark))
    let highest = versions.highest(index)
    var version = lowest
    while version <= highest {
      if Int(truncatingIfNeeded: version) % Self.variants == variant { return }
      version &+= 1
    }
    legality.note(
      Violation(
        .call, at: place, thing: UInt64(index), seen: UInt64(variant),
        legal: lowest...max(lowest, highest)))
  }
}
