// SPDX-License-Identifier: Apache-2.0

/// The way a CPU is told that something cannot wait, packed into `StateLine.reach`.
struct Reach {
  var threadID: Int32
  var interrupter: Interrupter
  var isHousekeeping: Bool
  var signal: Int32

  init(threadID: Int32, interrupter: Interrupter, isHousekeeping: Bool, signal: Int32) {
    self.threadID = threadID
    self.interrupter = interrupter
    self.isHousekeeping = isHousekeeping
    self.signal = signal
  }

  init(rawValue: UInt64) {
    threadID = Int32(truncatingIfNeeded: rawValue)
    interrupter = Interrupter(number: rawValue >> 32 & 0xff)
    isHousekeeping = rawValue >> 40 & 1 != 0
    signal = Int32(truncatingIfNeeded: rawValue >> 48)
  }

  var rawValue: UInt64 {
    UInt64(UInt32(bitPattern: threadID)) | interrupter.number << 32
      | (isHousekeeping ? 1 << 40 : 0) | UInt64(UInt16(truncatingIfNeeded: signal)) << 48
  }
}
