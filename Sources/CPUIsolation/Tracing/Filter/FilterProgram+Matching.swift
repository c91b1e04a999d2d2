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
    _ record: FilterBytes, cpu: Int, taskName: FilterBytes?,
    visit: (Int) -> Void = { _ in }
  ) -> Bool {
    guard record.count >= header.shortestRecord else { return false }
    let first = instructions
    var instruction = first.place(0)
    while true {
      let answer: Bool
      // What is asked most stands here, and the rest after a call: a jump through a table takes
      // longer than a comparison. Two questions, not one: a compiler makes a table of one.
      switch instruction.value.comparedBytes {
      case 4: answer = inRange(word(record, instruction.value.offset), instruction)
      case 8: answer = inRange(long(record, instruction.value.offset), instruction)
      default:
        switch instruction.value.operation {
        case .accept: return true
        case .refuse: return false
        case .cpuIsMemberOfWord:
          answer = isMember(UInt32(truncatingIfNeeded: cpu), ofWord: instruction)
        default:
          let reply = ask(instruction, of: record, cpu: cpu, taskName: taskName)
          guard let reply else { return false }
          answer = reply
        }
      }
      visit(first.index(of: instruction))
      if answer == instruction.value.branchWhen {
        instruction = first.place(Int(instruction.value.target))
      } else {
        instruction = instruction.next
      }
    }
  }

  /// Returns the answer of a predicate of any kind, or `nil` if the record cannot give one.
  @inline(never)
  private func ask(
    _ instruction: Place<FilterInstruction>, of record: FilterBytes, cpu: Int,
    taskName: FilterBytes?
  ) -> Bool? {
    let offset = instruction.value.offset
    let operation = instruction.value.operation
    switch operation {
    case .inRange8: return inRange(byte(record, offset), instruction)
    case .inRange16: return inRange(short(record, offset), instruction)
    case .inRange32: return inRange(word(record, offset), instruction)
    case .inRange64: return inRange(long(record, offset), instruction)
    case .cpuInRange: return inRange(UInt32(truncatingIfNeeded: cpu), instruction)
    case .hasBits8: return hasBits(UInt64(byte(record, offset)), instruction)
    case .hasBits16: return hasBits(UInt64(short(record, offset)), instruction)
    case .hasBits32: return hasBits(UInt64(word(record, offset)), instruction)
    case .hasBits64: return hasBits(long(record, offset), instruction)
    case .isMember8: return isMember(UInt32(byte(record, offset)), instruction)
    case .isMember16: return isMember(UInt32(short(record, offset)), instruction)
    case .isMember32: return isMember(word(record, offset), instruction)
    case .cpuIsMember, .cpuIsMemberOfWord:
      return isMember(UInt32(truncatingIfNeeded: cpu), instruction)
    case .maskContains, .maskIntersectsWord, .maskIsOnly, .maskEquals, .maskIntersects:
      let mask = content(of: record, at: offset, relativeTo: 0)
      guard let mask = mask else { return nil }
      switch operation {
      case .maskContains: return contains(mask, instruction.value.operand)
      case .maskIntersectsWord:
        return maskWord(mask, 0, of: 64) & instruction.value.operand != 0
      default: return self.mask(mask, compares: operation, instruction)
      }
    case .text:
      let size = Int(instruction.value.size)
      let first = Int(offset)
      let text = record.part(from: first, count: size)
      return self.text(text, compares: instruction)
    case .dynamicText, .relativeText:
      let origin = operation == .relativeText ? Int(offset) &+ 4 : 0
      let text = content(of: record, at: offset, relativeTo: origin)
      guard let text = text else { return nil }
      return self.text(text, compares: instruction)
    case .taskName:
      // Safety: the name is the thread's own.
      let name = unsafe taskName ?? FilterBytes(CurrentThread.knownName)
      return self.text(name, compares: instruction)
    case .never, .accept, .refuse: return false
    }
  }

  // MARK: - Numbers

  @inline(__always)
  private func byte(_ bytes: FilterBytes, _ offset: UInt32) -> UInt8 {
    bytes[Int(offset)]
  }

  @inline(__always)
  private func short(_ bytes: FilterBytes, _ offset: UInt32) -> UInt16 {
    UInt16(littleEndian: bytes.load(at: Int(offset)))
  }

  @inline(__always)
  private func word(_ bytes: FilterBytes, _ offset: UInt32) -> UInt32 {
    UInt32(littleEndian: bytes.load(at: Int(offset)))
  }

  @inline(__always)
  private func long(_ bytes: FilterBytes, _ offset: UInt32) -> UInt64 {
    UInt64(littleEndian: bytes.load(at: Int(offset)))
  }

  @inline(__always)
  private func inRange<Number: FixedWidthInteger & UnsignedInteger>(
    _ number: Number, _ instruction: Place<FilterInstruction>
  ) -> Bool {
    number &- Number(truncatingIfNeeded: instruction.value.operand)
      <= Number(truncatingIfNeeded: instruction.value.extent)
  }

  @inline(__always)
  private func hasBits(
    _ number: UInt64, _ instruction: Place<FilterInstruction>
  ) -> Bool {
    number & instruction.value.operand != 0
  }

  // MARK: - Masks

  @inline(__always)
  private func isMember(
    _ number: UInt32, ofWord instruction: Place<FilterInstruction>
  ) -> Bool {
    number < 64 && (instruction.value.operand &>> UInt64(number & 63)) & 1 != 0
  }

  @inline(__always)
  private func isMember(
    _ number: UInt32, _ instruction: Place<FilterInstruction>
  ) -> Bool {
    let width = instruction.value.extent
    if width <= 64 { return isMember(number, ofWord: instruction) }
    guard number < width else { return false }
    let mask = constant(of: instruction, count: Int(truncatingIfNeeded: (width &+ 63) / 64 &* 8))
    let word = long(mask, (number &>> 6) &* 8)
    return (word &>> UInt64(number & 63)) & 1 != 0
  }

  @inline(never)
  private func mask(
    _ mask: FilterBytes, compares operation: FilterInstruction.Operation,
    _ instruction: Place<FilterInstruction>
  ) -> Bool {
    let count = header.cpuCount
    switch operation {
    case .maskIsOnly:
      guard contains(mask, instruction.value.operand) else { return false }
      var members = 0
      var index = 0
      while index &* 64 < count {
        members &+= maskWord(mask, index, of: count).nonzeroBitCount
        index &+= 1
      }
      return members == 1
    default:
      let wanted = constant(of: instruction, count: (count &+ 63) / 64 &* 8)
      var index = 0
      while index &* 64 < count {
        let word = maskWord(mask, index, of: count)
        let other = long(wanted, UInt32(truncatingIfNeeded: index &* 8))
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
  private func contains(_ mask: FilterBytes, _ cpu: UInt64) -> Bool {
    let index = Int(truncatingIfNeeded: cpu &>> 3)
    return index < mask.count
      && (mask[index] &>> UInt8(truncatingIfNeeded: cpu & 7)) & 1 != 0
  }

  /// Words that the record has not are zero, and bits that no CPU has do not count.
  @inline(__always)
  private func maskWord(
    _ mask: FilterBytes, _ index: Int, of count: Int
  ) -> UInt64 {
    let position = index &* 8
    var word: UInt64 = 0
    if position &+ 8 <= mask.count {
      word = long(mask, UInt32(truncatingIfNeeded: position))
    } else {
      var offset = position
      while offset < mask.count {
        word |=
          UInt64(mask[offset]) &<< UInt64(truncatingIfNeeded: (offset &- position) &* 8)
        offset &+= 1
      }
    }
    let width = count &- index &* 64
    return width >= 64 ? word : word & ((1 &<< UInt64(truncatingIfNeeded: width)) &- 1)
  }

  /// The bytes that a 32-bit word of the record leads to: distance below, size above.
  @inline(__always)
  private func content(
    of record: FilterBytes, at offset: UInt32, relativeTo origin: Int
  ) -> FilterBytes? {
    if record.count == 0 { return nil }
    let location = Int(word(record, offset))
    let first = origin &+ (location & 0xffff)
    let size = location &>> 16
    guard first &+ size <= record.count else { return nil }
    return record.part(from: first, count: size)
  }
}
