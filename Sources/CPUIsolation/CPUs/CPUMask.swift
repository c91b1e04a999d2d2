// SPDX-License-Identifier: Apache-2.0

/// A set of CPU numbers, as a value.
///
/// ```swift
/// var targets: CPUMask = [0, 1, 2, 7]
/// targets.remove(7)
/// for cpu in targets { print(cpu) }  // 0, 1, 2
/// print(targets)                     // 0-2
/// ```
///
/// Members are the numbers `0..<CPUMask.maximumWidth`. A mask whose members are all below 128 is
/// two machine words: copying it is copying two integers, with no allocation and no reference
/// counting. A larger member moves the mask to an array, which copies share until one of them
/// changes; removing the large members moves it back.
///
/// Do not share one mask between threads that change it: like every Swift value it has one writer
/// at a time. For sets of anything else than CPU numbers `Set` serves better.
///
/// Inserting a number outside the limits is a programmer error and stops the process with a
/// sentence.
///
/// - Source: the kernel's `cpumask_t` (include/linux/cpumask.h, Linux), without its fixed width.
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: only above CPU 127
@frozen
public struct CPUMask: Sendable {
  /// Canonical: an array has at least three words and the last of them is not zero, so equal sets
  /// have equal storage and comparing never has to look for a shorter spelling.
  @frozen @usableFromInline
  enum Storage: Sendable {
    case inline(UInt64, UInt64)
    case heap([UInt64])
  }

  @usableFromInline var storage: Storage

  /// One more than the largest CPU number that a mask can hold.
  ///
  /// `CPUMask.all(CPUMask.maximumWidth).count == 8192`
  ///
  /// - Source: the largest `NR_CPUS` that x86-64 offers (arch/x86/Kconfig, Linux: 8192).
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  @inlinable public static var maximumWidth: Int { 8192 }

  /// How many numbers fit without an array.
  @inlinable static var inlineWidth: Int { 128 }

  @inlinable
  init(low: UInt64, high: UInt64) { storage = .inline(low, high) }

  /// Makes an empty mask.
  ///
  /// `CPUMask().isEmpty`
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  @inlinable public init() { self.init(low: 0, high: 0) }

  /// Makes a mask of one CPU.
  ///
  /// `CPUMask(3).contains(3)`
  ///
  /// A number outside `0..<CPUMask.maximumWidth` stops the process.
  ///
  /// - Parameter cpu: its number, 0 to 8191.
  /// - Source: `cpumask_of` (Linux).
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: only above CPU 127
  @inlinable public init(_ cpu: Int) {
    self.init()
    insert(cpu)
  }

  /// Makes a mask of the CPUs in a range.
  ///
  /// `CPUMask(2..<5).description == "2-4"`
  ///
  /// A range that leaves `0..<CPUMask.maximumWidth` stops the process, unless it is empty.
  ///
  /// - Parameters:
  ///   - range: numbers from 0 to 8191.
  ///   - file: the caller's file, for messages.
  ///   - line: the caller's line.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: only above CPU 127
  public init(_ range: Range<Int>, file: StaticString = #fileID, line: UInt = #line) {
    self.init()
    insert(contentsOf: range, file, line)
  }

  /// Makes a mask of the CPUs that a sequence yields, in any order; repetitions do no harm.
  ///
  /// `CPUMask([7, 1, 7]).description == "1,7"`
  ///
  /// A number outside `0..<CPUMask.maximumWidth` stops the process.
  ///
  /// - Parameter cpus: their numbers, 0 to 8191 each.
  /// - Complexity: linear in the length of the sequence.
  /// - Progress: wait-free, if the sequence is
  /// - Context: any thread
  /// - Allocates: only above CPU 127
  @inlinable public init(_ cpus: some Sequence<Int>) {
    self.init()
    for cpu in cpus { insert(cpu) }
  }

  /// Makes a mask from machine words, the least significant first.
  ///
  /// `CPUMask(words: [0b1010, 1]).description == "1,3,64"`
  ///
  /// This is the layout in which Linux fills an affinity mask. A bit at or above
  /// `CPUMask.maximumWidth` stops the process.
  ///
  /// - Parameters:
  ///   - words: 64 CPUs each, from CPU 0 on.
  ///   - file: the caller's file, for messages.
  ///   - line: the caller's line.
  /// - Complexity: linear in the length of the sequence.
  /// - Progress: wait-free, if the sequence is
  /// - Context: any thread
  /// - Allocates: only above CPU 127
  public init(
    words: some Sequence<UInt64>, file: StaticString = #fileID, line: UInt = #line
  ) {
    self.init()
    var base = 0
    for word in words {
      var rest = word
      while rest != 0 {
        let cpu = base + rest.trailingZeroBitCount
        if cpu >= Self.maximumWidth {
          misuse("CPUMask: CPU \(cpu) is outside 0..<\(Self.maximumWidth).", file, line)
        }
        insert(cpu)
        rest &= rest &- 1
      }
      base += 64
    }
  }

  /// Returns the mask of the first CPUs, as many as `width`.
  ///
  /// `CPUMask.all(4) == [0, 1, 2, 3]`
  ///
  /// A width outside `0...CPUMask.maximumWidth` stops the process.
  ///
  /// - Parameters:
  ///   - width: how many, 0 to 8192.
  ///   - file: the caller's file, for messages.
  ///   - line: the caller's line.
  /// - Returns: the mask of CPUs `0..<width`.
  /// - Source: `cpumask_setall` (Linux).
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: only above CPU 127
  public static func all(
    _ width: Int, file: StaticString = #fileID, line: UInt = #line
  ) -> CPUMask {
    guard width >= 0 else { misuse("CPUMask.all: the width \(width) is negative.", file, line) }
    return CPUMask(0..<width, file: file, line: line)
  }

  /// Reads a word of the mask: bit *b* of word *i* says whether CPU 64·*i* + *b* is a member.
  ///
  /// `CPUMask(65).word(at: 1) == 2`
  ///
  /// Words that the mask does not have are zero.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  @inlinable package func word(at index: Int) -> UInt64 {
    switch storage {
    case .inline(let low, let high):
      return index == 0 ? low : index == 1 ? high : 0
    case .heap(let words):
      return UInt(bitPattern: index) < UInt(bitPattern: words.count) ? words[index] : 0
    }
  }

  /// The number of words up to and including the last that is not zero.
  ///
  /// `CPUMask(65).wordCount == 2`
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  @inlinable package var wordCount: Int {
    switch storage {
    case .inline(let low, let high): return high != 0 ? 2 : low != 0 ? 1 : 0
    case .heap(let words): return words.count
    }
  }
}

// MARK: - Above CPU 127

extension CPUMask {
  /// Moves the words out, so that an array which nobody else holds is changed in place.
  mutating func takeWords(atLeast count: Int) -> [UInt64] {
    let taken = storage
    storage = .inline(0, 0)
    switch consume taken {
    case .inline(let low, let high):
      var words = [UInt64](repeating: 0, count: Swift.max(count, 2))
      words[0] = low
      words[1] = high
      return words
    case .heap(var words):
      while words.count < count { words.append(0) }
      return words
    }
  }

  /// The one place that makes storage canonical.
  mutating func putWords(_ words: consuming [UInt64]) {
    while words.count > 2, words[words.count - 1] == 0 { words.removeLast() }
    storage = words.count > 2 ? .heap(words) : .inline(words[0], words[1])
  }

  @usableFromInline @inline(never)
  mutating func insertSlow(_ cpu: Int) -> Bool {
    guard cpu >= 0, cpu < Self.maximumWidth else {
      misuse("CPUMask.insert: CPU \(cpu) is outside 0..<\(Self.maximumWidth).")
    }
    guard !contains(cpu) else { return false }
    var words = takeWords(atLeast: cpu / 64 + 1)
    words[cpu / 64] |= 1 &<< UInt64(cpu % 64)
    putWords(words)
    return true
  }

  @usableFromInline @inline(never)
  mutating func removeSlow(_ cpu: Int) -> Bool {
    guard contains(cpu) else { return false }
    var words = takeWords(atLeast: 0)
    words[cpu / 64] &= ~(1 &<< UInt64(cpu % 64))
    putWords(words)
    return true
  }

  /// Replaces every word by what `operation` makes of it and the same word of `other`.
  @usableFromInline @inline(never)
  mutating func combineSlow(
    _ other: CPUMask, _ operation: (UInt64, UInt64) -> UInt64
  ) {
    var words = takeWords(atLeast: other.wordCount)
    for index in words.indices {
      words[index] = operation(words[index], other.word(at: index))
    }
    putWords(words)
  }
}
