// SPDX-License-Identifier: Apache-2.0

extension FilterProgram {
  /// Compiles predicates in their order, with where each answer leads.
  init(_ predicates: [FilterPredicate], _ branches: FilterBranches, cpuCount: Int) {
    var compiler = FilterCompiler(cpuCount: cpuCount)
    var instructions: [FilterInstruction] = []
    for (predicate, entry) in zip(predicates, branches.entries) {
      var (instruction, isNegated) = compiler.compile(predicate)
      instruction.branchWhen = entry.branchWhen != isNegated
      instruction.target = UInt16(entry.target)
      instructions.append(instruction)
    }
    instructions.append(FilterInstruction(.accept))
    instructions.append(FilterInstruction(.refuse))
    self.init(
      instructions, constants: compiler.constants, shortestRecord: compiler.shortestRecord,
      cpuCount: cpuCount)
  }
}

/// Turns predicates into instructions, and collects what these refer to.
struct FilterCompiler {
  let cpuCount: Int
  private(set) var constants: [UInt8] = []
  private(set) var shortestRecord = 0

  init(cpuCount: Int) { self.cpuCount = cpuCount }

  /// Returns an instruction and whether its answer is the opposite of the predicate's.
  mutating func compile(_ predicate: FilterPredicate) -> (FilterInstruction, isNegated: Bool) {
    let field = predicate.field
    guard let end = Self.end(of: field) else {
      // A format file may say anything. There are no such records.
      shortestRecord = .max
      return (FilterInstruction(.never), false)
    }
    shortestRecord = max(shortestRecord, end)
    var compiled: (instruction: FilterInstruction, isNegated: Bool)
    switch predicate.operand {
    case .number(let bits):
      compiled = number(field, predicate.comparison, bits, isSigned: field.isSigned)
    case .function(_, let addresses): compiled = function(addresses, predicate.comparison)
    case .cpus(let mask): compiled = cpus(field, predicate.comparison, mask)
    case .text(let text): compiled = self.text(field, predicate.comparison, text)
    }
    compiled.instruction.offset = UInt32(field.offset)
    if compiled.instruction.operation == .never { compiled.isNegated = false }
    return compiled
  }

  /// How far a record has to reach, or `nil` if none can.
  private static func end(of field: FilterField) -> Int? {
    guard case .record(let kind) = field.kind else { return 0 }
    // Distance and size of what a field leads to are one word, whatever its format says.
    let leads = kind == .dynamicText || kind == .relativeText || kind == .cpuMask
    let (end, isTooLarge) = field.offset.addingReportingOverflow(
      leads ? max(4, field.size) : field.size)
    return isTooLarge || end > Int(Int32.max) ? nil : end
  }

  // MARK: - Numbers

  private func number(
    _ field: FilterField, _ comparison: FilterPredicate.Comparison, _ bits: UInt64, isSigned: Bool
  ) -> (FilterInstruction, Bool) {
    let size = field.kind == .cpu ? 4 : field.size
    guard [1, 2, 4, 8].contains(size) else { return (FilterInstruction(.never), false) }
    // The kernel, too, compares with what the field can hold of the number.
    let held = UInt64.max >> UInt64(64 - 8 * size)
    let number = bits & held
    if comparison == .and, field.kind != .cpu {
      var instruction = FilterInstruction(
        Self.operation(size, .hasBits8, .hasBits16, .hasBits32, .hasBits64))
      instruction.operand = number
      return (instruction, false)
    }
    var instruction = FilterInstruction(
      field.kind == .cpu
        ? .cpuInRange : Self.operation(size, .inRange8, .inRange16, .inRange32, .inRange64))
    let least = isSigned ? held / 2 + 1 : 0
    let most = isSigned ? held / 2 : held
    (instruction.operand, instruction.extent) = (number, 0)
    switch comparison {
    case .equal: return (instruction, false)
    case .notEqual: return (instruction, true)
    case .lessOrEqual: (instruction.operand, instruction.extent) = (least, (number &- least) & held)
    case .greaterOrEqual: instruction.extent = (most &- number) & held
    // `<` is the opposite of `>=`, and `>` of `<=`.
    case .less:
      instruction.extent = (most &- number) & held
      return (instruction, true)
    case .greater:
      (instruction.operand, instruction.extent) = (least, (number &- least) & held)
      return (instruction, true)
    // A CPU number has no bits to the kernel.
    case .and, .matches: return (FilterInstruction(.never), false)
    }
    return (instruction, false)
  }

  private static func operation(
    _ size: Int, _ one: FilterInstruction.Operation, _ two: FilterInstruction.Operation,
    _ four: FilterInstruction.Operation, _ eight: FilterInstruction.Operation
  ) -> FilterInstruction.Operation {
    switch size {
    case 1: one
    case 2: two
    case 4: four
    default: eight
    }
  }

  private func function(
    _ addresses: Range<UInt64>, _ comparison: FilterPredicate.Comparison
  ) -> (FilterInstruction, Bool) {
    guard !addresses.isEmpty else {
      // Nothing is in it: `==` never holds, and `!=` always.
      var everything = FilterInstruction(.inRange64)
      everything.extent = .max
      return (everything, comparison == .equal)
    }
    var instruction = FilterInstruction(.inRange64)
    instruction.operand = addresses.lowerBound
    instruction.extent = addresses.upperBound - addresses.lowerBound - 1
    return (instruction, comparison == .notEqual)
  }

  // MARK: - CPUs

  private mutating func cpus(
    _ field: FilterField, _ comparison: FilterPredicate.Comparison, _ mask: CPUMask
  ) -> (FilterInstruction, Bool) {
    if field.kind == .record(.cpuMask) { return maskField(comparison, mask) }
    if mask.count == 1, let cpu = mask.first {
      // One CPU is a number; "is among" is "is" then.
      let single = comparison == .and ? .equal : comparison
      return number(field, single, UInt64(cpu), isSigned: field.kind == .cpu)
    }
    // The kernel takes 32 bits of a wider field.
    let operations: (FilterInstruction.Operation, FilterInstruction.Operation)
    switch (field.kind, field.size) {
    case (.cpu, _):
      operations = (cpuCount <= 64 ? .cpuIsMemberOfWord : .cpuIsMember, .cpuInRange)
    case (_, 1): operations = (.isMember8, .inRange8)
    case (_, 2): operations = (.isMember16, .inRange16)
    case (_, 4), (_, 8): operations = (.isMember32, .inRange32)
    default: return (FilterInstruction(.never), false)
    }
    switch comparison {
    case .and:
      var instruction = FilterInstruction(operations.0)
      instruction.operand = cpuCount <= 64 ? mask.word(at: 0) : append(mask)
      instruction.extent = UInt64(cpuCount)
      return (instruction, false)
    case .notEqual where cpuCount > 0:
      // A number is never a set of several CPUs; but what is no CPU at all matches nothing.
      var instruction = FilterInstruction(operations.1)
      instruction.extent = UInt64(cpuCount - 1)
      return (instruction, false)
    default: return (FilterInstruction(.never), false)
    }
  }

  private mutating func maskField(
    _ comparison: FilterPredicate.Comparison, _ mask: CPUMask
  ) -> (FilterInstruction, Bool) {
    var instruction: FilterInstruction
    if mask.count == 1, let cpu = mask.first {
      instruction = FilterInstruction(comparison == .and ? .maskContains : .maskIsOnly)
      instruction.operand = UInt64(cpu)
    } else if comparison == .and, cpuCount <= 64 {
      instruction = FilterInstruction(.maskIntersectsWord)
      instruction.operand = mask.word(at: 0)
    } else {
      instruction = FilterInstruction(comparison == .and ? .maskIntersects : .maskEquals)
      instruction.operand = append(mask)
    }
    return (instruction, comparison == .notEqual)
  }

  // MARK: - Texts

  private mutating func text(
    _ field: FilterField, _ comparison: FilterPredicate.Comparison, _ text: [UInt8]
  ) -> (FilterInstruction, Bool) {
    var instruction: FilterInstruction
    switch field.kind {
    case .taskName: instruction = FilterInstruction(.taskName)
    case .record(.text): instruction = FilterInstruction(.text)
    case .record(.dynamicText): instruction = FilterInstruction(.dynamicText)
    case .record(.relativeText): instruction = FilterInstruction(.relativeText)
    // An address in another process, or of text long gone: as unreadable for the kernel.
    default: return (FilterInstruction(.never), false)
    }
    instruction.size = UInt32(field.size)
    var pattern = FilterPattern(literal: text)
    if comparison == .matches { pattern = FilterPattern(text) }
    instruction.comparison = pattern.comparison
    instruction.operand = UInt64(constants.count)
    instruction.extent = UInt64(pattern.text.count)
    constants += pattern.text
    return (instruction, pattern.isNegated != (comparison == .notEqual))
  }

  // MARK: - Constants

  /// Appends the words of a mask, and returns where they are.
  private mutating func append(_ mask: CPUMask) -> UInt64 {
    let place = constants.count
    for index in 0..<(cpuCount + 63) / 64 {
      // Safety: the bytes of a number.
      unsafe withUnsafeBytes(of: mask.word(at: index).littleEndian) { unsafe constants += $0 }
    }
    return UInt64(place)
  }
}
