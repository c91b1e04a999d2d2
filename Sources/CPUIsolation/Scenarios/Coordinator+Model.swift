// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  extension CPUSlot {
    /// The owner's line, the tables of counters round the generations at attach, and the word of a wake
    /// function that is not there.
    var modelPrivateRanges: [Range<UInt>] {
      let first = base.bits
      return [
        first + 256..<first + 384, call.parker.wakeWord,
        executed.bits..<attachGeneration.bits, pendingSince.bits..<payloads.bits,
        ages(ofType: 0).bits..<first + UInt(CPUSlot.stride),
      ]
    }
  }

  extension SenderSlot {
    /// The call records are shared with the targets; everything round them is not.
    func modelPrivateRanges(cpus: Int) -> [Range<UInt>] {
      let first = base.bits
      return [
        first..<first + 128,
        first + UInt(128 + 128 * cpus)..<first + UInt(SenderSlot.byteCount(cpus: cpus)),
      ]
    }
  }

  /// What an exploration that uses a whole coordinator has to know of its words.
  extension Coordinator {
    /// Addresses on which no schedule depends: counters, and what one thread alone uses.
    package var modelPrivateRanges: [Range<UInt>] {
      let slots = core.slots
      let senders = registry.withLock { $0.senders.map(\.slot) }
      return cpus.flatMap { slots[$0].modelPrivateRanges }
        + senders.flatMap { $0.modelPrivateRanges(cpus: slots.count) }
    }

    /// What the words of the protocol are called in a trace.
    package var modelNames: [UInt: String] {
      var names: [UInt: String] = [:]
      for cpu in cpus {
        let state = core.slots[cpu].base.bits
        for (offset, name) in ["W", "K", "pin"].enumerated() {
          names[state + UInt(8 * offset)] = "\(name)\(cpu)"
        }
      }
      return names
    }
  }
#endif
