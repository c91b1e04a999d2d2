// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  /// What an exploration that uses a whole coordinator has to know of its words.
  extension Coordinator {
    /// Addresses on which no schedule depends: counters, and what one thread alone uses.
    package var modelPrivateRanges: [Range<UInt>] {
      var ranges: [Range<UInt>] = []
      for cpu in cpus {
        // The owner's line, and the tables of counters round the generations at attach.
        let slot = core.slots[cpu]
        let base = unsafe UInt(bitPattern: slot.base)
        ranges.append(base + 256..<base + 384)
        ranges.append(
          unsafe UInt(bitPattern: slot.executed)..<UInt(bitPattern: slot.attachGeneration))
        ranges.append(
          unsafe UInt(bitPattern: slot.pendingSince)..<base + UInt(CPUSlot.stride))
      }
      let slots = core.slots.count
      for sender in cold.withLock({ $0.senders.map(\.slot) }) {
        // The call records are shared with the targets; everything round them is not.
        let first = unsafe UInt(bitPattern: sender.base)
        ranges.append(first..<first + 128)
        ranges.append(
          first + UInt(128 + 128 * slots)..<first + UInt(SenderSlot.byteCount(cpus: slots)))
      }
      return ranges
    }

    /// What the words of the protocol are called in a trace.
    package var modelNames: [UInt: String] {
      var names: [UInt: String] = [:]
      for cpu in cpus {
        let state = unsafe UInt(bitPattern: core.slots[cpu].state)
        for (offset, name) in ["W", "K", "pin"].enumerated() {
          names[state + UInt(8 * offset)] = "\(name)\(cpu)"
        }
      }
      return names
    }
  }
#endif
