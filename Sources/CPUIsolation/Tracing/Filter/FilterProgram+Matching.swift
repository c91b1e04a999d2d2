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
  ///   - taskName: the name of the thread that records; a zero ends it early.
  ///   - visit: is told each predicate that is asked, by its place in the filter.
  @inline(__always)
  func matches(
    _ record: UnsafeRawBufferPointer, cpu: Int, taskName: UnsafeRawBufferPointer,
    visit: (Int) -> Void = { _ in }
  ) -> Bool {
    guard unsafe record.count >= header.pointee.shortestRecord else { return false }
    let start = unsafe record.baseAddress ?? base
    let instructions = unsafe self.instructions
    let cpuBits = UInt64(bitPattern: Int64(Int32(truncatingIfNeeded: cpu)))
    var index = 0
    while true {
      let instruction = unsafe instructions + index
      let offset = unsafe Int(instruction.pointee.offset)
      let operation = unsafe instruction.pointee.operation
      let answer: Bool
      switch operation {
      case .inRange8: answer = unsafe inRange(UInt64(byte(start, offset)), instruction)
      case .inRange16: answer = unsafe inRange(UInt64(short(start, offset)), instruction)
      case .inRange32: answer = unsafe inRange(UInt64(word(start, offset)), instruction)
      case .inRange64: answer = unsafe inRange(long(start, offset), instruction)
      case .inSignedRange8:
        answer = unsafe inRange(extended(Int8(bitPattern: byte(start, offset))), instruction)
      case .inSignedRange16:
        answer = unsafe inRange(extended(Int16(bitPattern: short(start, offset))), instruction)
      case .inSignedRange32:
        answer = unsafe inRange(extended(Int32(bitPattern: word(start, offset))), instruction)
      case .cpuInRange: answer = unsafe inRange(cpuBits, instruction)
      case .hasBits8:
        answer = unsafe UInt64(byte(start, offset)) & instruction.pointee.operand != 0
      case .hasBits16:
        answer = unsafe UInt64(short(start, offset)) & instruction.pointee.operand != 0
      case .hasBits32:
        answer = unsafe UInt64(word(start, offset)) & instruction.pointee.operand != 0
      case .hasBits64: answer = unsafe long(start, offset) & instruction.pointee.operand != 0
      case .isMember8: answer = unsafe isMember(UInt64(byte(start, offset)), instruction)
      case .isMember16: answer = unsafe isMember(UInt64(short(start, offset)), instruction)
      case .isMember32: answer = unsafe isMember(UInt64(word(start, offset)), instruction)
      case .cpuIsMember: answer = unsafe isMember(cpuBits & 0xffff_ffff, instruction)
      case .maskContains:
        let mask = unsafe content(of: record, at: offset, relativeTo: 0)
        guard let mask = unsafe mask else { return false }
        answer = unsafe contains(mask, instruction.pointee.operand)
      case .maskIntersectsWord:
        let mask = unsafe content(of: record, at: offset, relativeTo: 0)
        guard let mask = unsafe mask else { return false }
        answer = unsafe maskWord(mask, 0, of: 64) & instruction.pointee.operand != 0
      case .maskIsOnly, .maskEquals, .maskIntersects:
        let mask = unsafe content(of: record, at: offset, relativeTo: 0)
        guard let mask = unsafe mask else { return false }
        answer = unsafe self.mask(mask, compares: operation, instruction)
      case .text:
        let size = unsafe Int(instruction.pointee.size)
        let text = unsafe UnsafeRawBufferPointer(rebasing: record[offset..<offset &+ size])
        answer = unsafe self.text(text, compares: instruction)
      case .dynamicText, .relativeText:
        let origin = operation == .relativeText ? offset &+ 4 : 0
        let text = unsafe content(of: record, at: offset, relativeTo: origin)
        guard let text = unsafe text else { return false }
        answer = unsafe self.text(text, compares: instruction)
      case .taskName: answer = unsafe self.text(taskName, compares: instruction)
      case .never: answer = false
      case .accept: return true
      case .refuse: return false
      }
      visit(index)
      index =
        unsafe answer == instruction.pointee.branchWhen
        ? Int(instruction.pointee.target) : index &+ 1
    }
  }

  // MARK: - Numbers

  @inline(__always)
  private func byte(_ start: UnsafeRawPointer, _ offset: Int) -> UInt8 {
    unsafe start.load(fromByteOffset: offset, as: UInt8.self)
  }

  @inline(__always)
  private func short(_ start: UnsafeRawPointer, _ offset: Int) -> UInt16 {
    unsafe UInt16(littleEndian: start.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }

  @inline(__always)
  private func word(_ start: UnsafeRawPointer, _ offset: Int) -> UInt32 {
    unsafe UInt32(littleEndian: start.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }

  @inline(__always)
  private func long(_ start: UnsafeRawPointer, _ offset: Int) -> UInt64 {
    unsafe UInt64(littleEndian: start.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }

  @inline(__always)
  private func extended(_ number: some FixedWidthInteger & SignedInteger) -> UInt64 {
    UInt64(truncatingIfNeeded: Int64(truncatingIfNeeded: number))
  }

  @inline(__always)
  private func inRange(
    _ number: UInt64, _ instruction: UnsafePointer<FilterInstruction>
  ) -> Bool {
    unsafe number &- instruction.pointee.operand <= instruction.pointee.extent
  }

  // MARK: - Masks

  @inline(__always)
  private func isMember(
    _ number: UInt64, _ instruction: UnsafePointer<FilterInstruction>
  ) -> Bool {
    let width = unsafe instruction.pointee.extent
    guard number < width else { return false }
    if width <= 64 { return unsafe (instruction.pointee.operand &>> (number & 63)) & 1 != 0 }
    let mask = unsafe constants + Int(truncatingIfNeeded: instruction.pointee.operand)
    return unsafe (long(mask, Int(truncatingIfNeeded: number &>> 6) &* 8) &>> (number & 63)) & 1
      != 0
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
        let other = unsafe long(wanted, index &* 8)
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
      word = unsafe long(start, position)
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
    of record: UnsafeRawBufferPointer, at offset: Int, relativeTo origin: Int
  ) -> UnsafeRawBufferPointer? {
    guard let start = record.baseAddress else { return nil }
    let location = unsafe Int(word(start, offset))
    let first = origin &+ (location & 0xffff)
    let size = location &>> 16
    guard first &+ size <= record.count else { return nil }
    return unsafe UnsafeRawBufferPointer(start: start + first, count: size)
  }
}
