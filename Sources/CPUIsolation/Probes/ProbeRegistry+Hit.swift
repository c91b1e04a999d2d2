// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

extension ProbeRegistry {
  /// A hit, as a probe's function sees it: valid while that function runs.
  ///
  ///     let probe = try registry.attach(.call { hit in largest.raise(to: hit[1]) }, to: "router.lookUp")
  ///
  /// - Progress: wait-free
  /// - Context: a probe's function
  /// - Allocates: never
  @safe
  public struct Hit: ~Copyable {
    private let words: Table<UInt64>
    /// How many arguments the point has.
    public let count: Int
    private let cycles: UInt64

    init(words: Table<UInt64>, count: Int, cycles: UInt64) {
      self.words = words
      self.count = count
      self.cycles = cycles
    }

    /// An argument of the hit, as a number of 64 bits; a signed one is extended.
    ///
    /// For a function that is called on return they are those of the beginning. An index that the
    /// point does not have ends the process with a sentence.
    ///
    /// - Parameter argument: the index of the argument, from 0 in the order of the point's
    ///   declaration.
    /// - Returns: its 64 bits.
    /// - Progress: wait-free
    /// - Context: the probe's function
    /// - Allocates: never
    public subscript(argument: Int) -> UInt64 {
      if argument < 0 || argument >= count {
        misuse("a probe asked for argument \(argument) of a point that has \(count)")
      }
      return words[argument]
    }

    /// How long the scope took, for a function that is called on return; else zero.
    public var duration: Duration { CycleClock.duration(ofCycles: cycles) }

    /// The CPU that the hitting thread is attached to; nil for a thread that is no CPU.
    public var cpu: Int? { Self.currentCPU }

    static var currentCPU: Int? {
      CurrentThread.cpu.map { OwnerTransitions.number(CPUSlot(base: $0)) }
    }
  }
}
