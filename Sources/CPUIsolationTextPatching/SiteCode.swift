// SPDX-License-Identifier: Apache-2.0

/// A step of a patch; a site behaves as before or as after at each of them, never as anything else.
enum PatchPhase: Int, Sendable {
  /// The breakpoint on the first byte: from here on the new behaviour, through the trap handler.
  case breakpoint
  /// The bytes after it, which nobody executes while it stands.
  case tail
  /// The first byte, or the whole of an instruction that one store replaces.
  case first
}

/// What an architecture's machine code is to sites.
protocol SiteCode {
  /// The instruction that is patched, in bytes.
  static var siteLength: Int { get }
  /// What stands where nothing is to be executed.
  static var fill: UInt8 { get }
  /// How a site comes from one instruction to another while others execute it.
  static var phases: [PatchPhase] { get }

  static var nop: [UInt8] { get }
  /// Nil where the branch does not reach.
  static func jump(to target: UInt64, at site: UInt64) -> [UInt8]?
  static func call(_ target: UInt64, at site: UInt64) -> [UInt8]?
  /// Writes a whole slot, its site a nop.
  static func write(_ slot: inout SlotBytes, original: UInt64)
}

#if arch(arm64)
  typealias NativeCode = ARMCode
#else
  typealias NativeCode = X86Code
#endif

/// Where things are in the slot of a site.
struct SlotLayout: Equatable {
  /// The distance from slot to slot: two sites share no line.
  static let stride = 256
  static let original = 80
  static let arms = [96, 144]
  // In an arm, after its address:
  static let veneer = 8
  static let adaptor = 16
  static let copy = 32

  /// Where the site is: at the front, unless a test wants it across a cache line's border.
  let siteOffset: Int

  /// Where the function begins that callers call.
  var entry: Int { siteOffset - Self.prologue }

  #if arch(arm64)
    static let prologue = 4
    static let standard = SlotLayout(siteOffset: 4)
  #else
    static let prologue = 0
    static let standard = SlotLayout(siteOffset: 0)
  #endif
}

/// The bytes of a slot that is being made up, and where it will be executed.
struct SlotBytes {
  let base: UInt64
  let layout: SlotLayout
  private(set) var bytes: [UInt8]

  init(base: UInt64, layout: SlotLayout, fill: UInt8) {
    self.base = base
    self.layout = layout
    bytes = Array(repeating: fill, count: SlotLayout.stride)
  }

  func address(_ offset: Int) -> UInt64 { base &+ UInt64(offset) }

  mutating func put(_ code: [UInt8], at offset: Int) {
    bytes.replaceSubrange(offset..<offset + code.count, with: code)
  }

  /// Puts an address, to be loaded as data.
  mutating func put(address: UInt64, at offset: Int) {
    put((0..<8).map { UInt8(truncatingIfNeeded: address >> (8 * $0)) }, at: offset)
  }
}
