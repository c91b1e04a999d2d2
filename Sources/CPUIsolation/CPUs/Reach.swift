// SPDX-License-Identifier: Apache-2.0

/// The way a CPU is told that something cannot wait, packed into `StateLine.reach`.
struct Reach {
  var threadID: Int32
  var interrupter: Interruption
  var isHousekeeping: Bool
  var signal: Int32

  /// How a kick travels; the public face is `Interrupter`.
  enum Interruption: UInt8 {
    case park, poll, signal
  }

  init(threadID: Int32, interrupter: Interruption, isHousekeeping: Bool, signal: Int32) {
    self.threadID = threadID
    self.interrupter = interrupter
    self.isHousekeeping = isHousekeeping
    self.signal = signal
  }

  init(rawValue: UInt64) {
    threadID = Int32(truncatingIfNeeded: rawValue)
    interrupter = Interruption(rawValue: UInt8(truncatingIfNeeded: rawValue >> 32)) ?? .poll
    isHousekeeping = rawValue >> 40 & 1 != 0
    signal = Int32(truncatingIfNeeded: rawValue >> 48)
  }

  var rawValue: UInt64 {
    UInt64(UInt32(bitPattern: threadID)) | UInt64(interrupter.rawValue) << 32
      | (isHousekeeping ? 1 << 40 : 0) | UInt64(UInt16(truncatingIfNeeded: signal)) << 48
  }
}
