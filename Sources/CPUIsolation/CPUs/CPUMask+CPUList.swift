// SPDX-License-Identifier: Apache-2.0

extension CPUMask {
  /// Makes a mask from a CPU list, the notation of the kernel's boot parameters and control files.
  ///
  /// ```swift
  /// try CPUMask(cpuList: "0-3,7")               // 0, 1, 2, 3, 7
  /// try CPUMask(cpuList: "0-15:2/4")            // the first 2 of every 4: 0-1,4-5,8-9,12-13
  /// try CPUMask(cpuList: "6-N", width: 8)       // 6, 7
  /// try CPUMask(cpuList: "all:1/2", width: 8)   // 0, 2, 4, 6
  /// ```
  ///
  /// Regions are separated by commas or white space: a number, a range, or a range with a pattern
  /// *used*`/`*group*, which takes the first *used* of every *group* CPUs from the start of the
  /// range. Every number may be `N`, the last CPU of the width; `all`, in any case, is `0-N`.
  /// Numbers are decimal. A text without regions is the empty mask.
  ///
  /// The verdict is the kernel's in its corners too. A newline directly after a region without a
  /// pattern ends the list: in `"0\n1"` nobody reads the `1`. So join lines with commas before
  /// giving a text of several lines to this initialiser. There are two differences: a NUL does not
  /// end the text but is an invalid character, and a group of nearly 2³² CPUs does not wrap around
  /// to CPUs below the range.
  ///
  /// - Parameters:
  ///   - text: the list.
  ///   - width: how many CPUs there are; outside `0...CPUMask.maximumWidth` it stops the process.
  ///   - file: the caller's file, for messages.
  ///   - line: the caller's line.
  /// - Throws: ``CPUMask/ParseError`` for the first region that is wrong: `invalid` if it is not in the
  ///   grammar or makes no sense, `range` if it leaves the width, `overflow` if a number does not
  ///   fit 32 bits.
  /// - Source: `bitmap_parselist` (lib/bitmap-str.c, Linux).
  /// - Complexity: linear in the length of the text.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: only above CPU 127, for an error's message, and for a text that is not a `String`
  public init(
    cpuList text: some StringProtocol, width: Int = CPUMask.maximumWidth,
    file: StaticString = #fileID, line: UInt = #line
  ) throws(CPUMask.ParseError) {
    let text = String(text)
    self = try CPUListParser.parse(text.utf8Span.span, width: width, file, line)
  }
}

extension CPUMask: LosslessStringConvertible, CustomDebugStringConvertible {
  /// Makes a mask from a CPU list, or `nil` if the text is none.
  ///
  /// `CPUMask("0-3,7")?.count == 5`
  ///
  /// Where somebody wants to know what is wrong with the text, ``init(cpuList:width:file:line:)`` tells.
  ///
  /// - Parameter description: numbers and ranges, such as `0-3,7`; an empty text is the empty mask.
  /// - Source: `bitmap_parselist` (lib/bitmap-str.c, Linux), at the width `CPUMask.maximumWidth`.
  /// - Complexity: linear in the length of the text.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: only above CPU 127, and for an error
  public init?(_ description: String) {
    guard let mask = try? CPUMask(cpuList: description) else { return nil }
    self = mask
  }

  /// The canonical CPU list: ascending, with neighbours joined to ranges.
  ///
  /// `CPUMask([7, 0, 1, 2, 3]).description == "0-3,7"`; the empty mask is the empty text.
  ///
  /// - Source: the `%*pbl` format (lib/vsprintf.c, Linux).
  /// - Complexity: linear in the number of words and of ranges.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the text
  public var description: String {
    var text = ""
    var next = boundary(from: 0, members: true)
    while let start = next {
      let end = boundary(from: start, members: false) ?? 64 * wordCount
      if !text.isEmpty { text += "," }
      text += end - start == 1 ? "\(start)" : "\(start)-\(end - 1)"
      next = boundary(from: end, members: true)
    }
    return text
  }

  /// The canonical CPU list and the name of the type.
  ///
  /// `CPUMask.all(4).debugDescription == #"CPUMask("0-3")"#`
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the text
  public var debugDescription: String { "CPUMask(\"\(self)\")" }

  /// Returns the mask as hexadecimal words of 32 bits, the most significant first.
  ///
  /// `CPUMask.all(40).hexWords(width: 40) == "ff,ffffffff"`
  ///
  /// Every word has all its digits; the first has as many as the width asks for. Members at or
  /// above the width are left out, as the kernel leaves them out. A width outside
  /// `0...CPUMask.maximumWidth` stops the process.
  ///
  /// - Parameters:
  ///   - width: how many CPUs there are.
  ///   - file: the caller's file, for messages.
  ///   - line: the caller's line.
  /// - Returns: the words, with commas between them.
  /// - Source: the `%*pb` format (lib/vsprintf.c, Linux), for example in `/proc/self/status`.
  /// - Complexity: linear in the width.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the text
  public func hexWords(
    width: Int, file: StaticString = #fileID, line: UInt = #line
  ) -> String {
    guard width >= 0, width <= Self.maximumWidth else {
      misuse(
        "CPUMask.hexWords: the width \(width) is outside 0...\(Self.maximumWidth).", file, line)
    }
    var text = ""
    var end = width
    while end > 0 {
      let start = (end - 1) / 32 * 32
      if !text.isEmpty { text += "," }
      let kept = UInt64.max >> UInt64(64 - (end - start))
      let bits = (word(at: start / 64) >> UInt64(start % 64)) & kept
      let digits = String(bits, radix: 16)
      text += String(repeating: "0", count: (end - start + 3) / 4 - digits.count) + digits
      end = start
    }
    return text
  }

  /// The first number not below `start` that is a member, or that is none, below the last word's
  /// end.
  private func boundary(from start: Int, members: Bool) -> Int? {
    var index = start / 64
    let count = wordCount
    var wanted = UInt64.max << UInt64(start % 64)
    while index < count {
      let word = (members ? word(at: index) : ~word(at: index)) & wanted
      if word != 0 { return index * 64 + word.trailingZeroBitCount }
      wanted = .max
      index += 1
    }
    return nil
  }
}
