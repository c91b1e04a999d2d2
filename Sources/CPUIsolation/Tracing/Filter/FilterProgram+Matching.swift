// SPDX-License-Identifier: Apache-2.0

extension FilterProgram {
  /// Asks the predicates until the answer is known.
  ///
  /// A record too short for what the filter looks at, or with a text or mask that is not within it,
  /// matches nothing.
  ///
  /// - Parameters:
  ///   - record: the whole record, from the common fields on.
  ///   - cpu: the CPU that records.
  ///   - taskName: the name of the thread that records; a zero ends it early. `nil` stands for the
  ///     calling thread's, which is not looked for unless a predicate asks for it.
  ///   - visit: is told each predicate that is asked, by its place in the filter.
  @inline(__always)
  func matches(
    _ record: UnsafeRawBufferPointer, cpu: Int, taskName: UnsafeRawBufferPointer?,
    visit: (Int) -> Void = { _ in }
  ) -> Bool {
    guard unsafe record.count >= header.pointee.shortestRecord else { return false }
    let start = unsafe record.baseAddress ?? base
    let first = unsafe instructions
    var instruction = unsafe first
    while true {
      let answer: Bool
      // What is asked most stands here, and the rest behind a call: a jump through a table takes
      // longer than a comparison. Two questions, not one: a compiler makes a table of one.
      switch unsafe instruction.pointee.comparedBytes {
      case 4: answer = unsafe inRange(word(start, instruction.pointee.offset), instruction)
      case 8: answer = unsafe inRange(long(start, instruction.pointee.offset), instruction)
      default:
        switch unsafe instruction.pointee.operation {
        case .accept: return true
        case .refuse: return false
        case .cpuIsMemberOfWord:
          answer = unsafe isMember(UInt32(truncatingIfNeeded: cpu), ofWord: instruction)
        default:
          let reply = unsafe ask(instruction, of: record, cpu: cpu, taskName: taskName)
          guard let reply else { return false }
          answer = reply
        }
      }
      unsafe visit(instruction - first)
      if unsafe answer == instruction.pointee.branchWhen {
        unsafe instruction = first + Int(instruction.pointee.target)
      } else {
        unsafe instruction += 1
      }
    }
  }

  /// Returns the answer of a predicate of any kind, or `nil` if the record cannot give one.
  @inline(never)
  private func ask(
    _ instruction: UnsafePointer<FilterInstruction>, of record: UnsafeRawBufferPointer, cpu: Int,
    taskName: UnsafeRawBufferPointer?
  ) -> Bool? {
    let start = unsafe record.baseAddress ?? base
    let offset = unsafe instruction.pointee.offset
    let operation = unsafe instruction.pointee.operation
    switch operation {
    case .inRange8: return unsafe inRange(byte(start, offset), instruction)
    case .inRange16: return unsafe inRange(short(start, offset), instruction)
    case .inRange32: return unsafe inRange(word(start, offset), instruction)
    case .inRange64: return unsafe inRange(long(start, offset), instruction)
    case .cpuInRange: return unsafe inRange(UInt32(truncatingIfNeeded: cpu), instruction)
    case .hasBits8: return unsafe hasBits(UInt64(byte(start, offset)), instruction)
    case .hasBits16: return unsafe hasBits(UInt64(short(start, offset)), instruction)
    case .hasBits32: return unsafe hasBits(UInt64(word(start, offset)), instruction)
    case .hasBits64: return unsafe hasBits(long(start, offset), instruction)
    case .isMember8: return unsafe isMember(UInt32(byte(start, offset)), instruction)
    case .isMember16: return unsafe isMember(UInt32(short(start, offset)), instruction)
    case .isMember32: return unsafe isMember(word(start, offset), instruction)
    case .cpuIsMember, .cpuIsMemberOfWord:
      return unsafe isMember(UInt32(truncatingIfNeeded: cpu), instruction)
    case .maskContains, .maskIntersectsWord, .maskIsOnly, .maskEquals, .maskIntersects:
      let mask = unsafe content(of: record, at: offset, relativeTo: 0)
      guard let mask = unsafe mask else { return nil }
      switch operation {
      case .maskContains: return unsafe contains(mask, instruction.pointee.operand)
      case .maskIntersectsWord:
        return unsafe maskWord(mask, 0, of: 64) & instruction.pointee.operand != 0
      default: return unsafe self.mask(mask, compares: operation, instruction)
      }
    case .text:
      let size = unsafe Int(instruction.pointee.size)
      let first = Int(offset)
      let text = unsafe UnsafeRawBufferPointer(rebasing: record[first..<first &+ size])
      return unsafe self.text(text, compares: instruction)
    case .dynamicText, .relativeText:
      let origin = operation == .relativeText ? Int(offset) &+ 4 : 0
      let text = unsafe content(of: record, at: offset, relativeTo: origin)
      guard let text = unsafe text else { return nil }
      return unsafe self.text(text, compares: instruction)
    case .taskName:
      let name = unsafe taskName ?? CurrentThread.knownName
      return unsafe self.text(name, compares: instruction)
    case .never, .accept, .refuse: return false
    }
  }

  // MARK: - Numbers

  @inline(__always)
  private func byte(_ start: UnsafeRawPointer, _ offset: UInt32) -> UInt8 {
    unsafe start.load(fromByteOffset: Int(offset), as: UInt8.self)
  }

  @inline(__always)
  private func short(_ start: UnsafeRawPointer, _ offset: UInt32) -> UInt16 {
    unsafe UInt16(littleEndian: start.loadUnaligned(fromByteOffset: Int(offset), as: UInt16.self))
  }

  @inline(__always)
  private func word(_ start: UnsafeRawPointer, _ offset: UInt32) -> UInt32 {
    unsafe UInt32(littleEndian: start.loadUnaligned(fromByteOffset: Int(offset), as: UInt32.self))
  }

  @inline(__always)
  private func long(_ start: UnsafeRawPointer, _ offset: UInt32) -> UInt64 {
    unsafe UInt64(littleEndian: start.loadUnaligned(fromByteOffset: Int(offset), as: UInt64.self))
  }

  @inline(__always)
  private func inRange<Number: FixedWidthInteger & UnsignedInteger>(
    _ number: Number, _ instruction: UnsafePointer<FilterInstruction>
  ) -> Bool {
    unsafe number &- Number(truncatingIfNeeded: instruction.pointee.operand)
      <= Number(truncatingIfNeeded: instruction.pointee.extent)
  }

  @inline(__always)
  private func hasBits(
    _ number: UInt64, _ instruction: UnsafePointer<FilterInstruction>
  ) -> Bool {
    unsafe number & instruction.pointee.operand != 0
  }

  // MARK: - Masks

  @inline(__always)
  private func isMember(
    _ number: UInt32, ofWord instruction: UnsafePointer<FilterInstruction>
  ) -> Bool {
    unsafe number < 64 && (instruction.pointee.operand &>> UInt64(number & 63)) & 1 != 0
  }

  @inline(__always)
  private func isMember(
    _ number: UInt32, _ instruction: UnsafePointer<FilterInstruction>
  ) -> Bool {
    let width = unsafe instruction.pointee.extent
    if width <= 64 { return unsafe isMember(number, ofWord: instruction) }
    guard number < width else { return false }
    let mask = unsafe constants + Int(truncatingIfNeeded: instruction.pointee.operand)
    let word = unsafe long(mask, (number &>> 6) &* 8)
    return (word &>> UInt64(number & 63)) & 1 != 0
  }

  @inline(never)
  private func mask(
    _ mask: UnsafeRawBufferPointer, compares operation: FilterInstruction.Operation,
    _ instruction: UnsafePointer<FilterInstruction>
  ) -> Bool {
    let count = unsafe header.pointee.cpuCount
    let operand = unsafe Int(truncatingIfNeeded: instruction.pointee.operand)
    switch operation {
    case .maskIsOnly:
      guard unsafe contains(mask, instruction.pointee.operand) else { return false }
      var members = 0
      var index = 0
      while index &* 64 < count {
        members &+= unsafe maskWord(mask, index, of: count).nonzeroBitCount
        index &+= 1
      }
      return members == 1
    default:
      let wanted = unsafe constants + operand
      var index = 0
      while index &* 64 < count {
        let word = unsafe maskWord(mask, index, of: count)
        let other = unsafe long(wanted, UInt32(truncatingIfNeeded: index &* 8))
        if operation == .maskEquals {
          if word != other { return false }
        } else if word & other != 0 {
          return true
        }
        index &+= 1
      }
      return operation == .maskEquals
    }
  }

  /// A CPU that the record has no room for is not in its mask.
  @inline(__always)
  private func contains(_ mask: UnsafeRawBufferPointer, _ cpu: UInt64) -> Bool {
    let index = Int(truncatingIfNeeded: cpu &>> 3)
    return unsafe index < mask.count
      && (mask[index] &>> UInt8(truncatingIfNeeded: cpu & 7)) & 1 != 0
  }

  /// Words that the record has not are zero, and bits that no CPU has do not count.
  @inline(__always)
  private func maskWord(
    _ mask: UnsafeRawBufferPointer, _ index: Int, of count: Int
  ) -> UInt64 {
    let position = index &* 8
    var word: UInt64 = 0
    if position &+ 8 <= mask.count, let start = mask.baseAddress {
      word = unsafe long(start, UInt32(truncatingIfNeeded: position))
    } else {
      var offset = position
      while offset < mask.count {
        word |=
          unsafe UInt64(mask[offset]) &<< UInt64(truncatingIfNeeded: (offset &- position) &* 8)
        offset &+= 1
      }
    }
    let width = count &- index &* 64
    return width >= 64 ? word : word & ((1 &<< UInt64(truncatingIfNeeded: width)) &- 1)
  }

  /// The bytes that a 32-bit word of the record leads to: distance below, size above.
  @inline(__always)
  private func content(
    of record: UnsafeRawBufferPointer, at offset: UInt32, relativeTo origin: Int
  ) -> UnsafeRawBufferPointer? {
    guard let start = record.baseAddress else { return nil }
    let location = unsafe Int(word(start, offset))
    let first = origin &+ (location & 0xffff)
    let size = location &>> 16
    guard first &+ size <= record.count else { return nil }
    return unsafe UnsafeRawBufferPointer(start: start + first, count: size)
  }
}
