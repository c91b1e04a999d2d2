// SPDX-License-Identifier: Apache-2.0

extension PrintProgram {
  /// The widths that a `*` gave the next conversion.
  struct Lengths {
    var width: UInt64?
    var precision: UInt64?
  }

  /// Runs the whole program.
  func run(_ record: RawSpan, _ names: inout PrintEnvironment, to line: inout [UInt8]) {
    run(0..<instructions.count, record, &names, to: &line)
  }

  /// Runs a part of the program. A record that is too short has zeros where its fields are missing.
  func run(
    _ range: Range<Int>, _ record: RawSpan, _ environment: inout PrintEnvironment,
    to line: inout [UInt8]
  ) {
    var stack = InlineArray<24, UInt64>(repeating: 0)
    var top = 0
    var lengths = Lengths()
    var next = range.lowerBound

    @inline(__always) func push(_ value: UInt64) {
      stack[top] = value
      top &+= 1
    }
    @inline(__always) func pop() -> UInt64 {
      top &-= 1
      return stack[top]
    }

    while next < range.upperBound {
      let instruction = instructions[next]
      next &+= 1
      switch instruction {
      case .text(let start, let count):
        line.append(texts, Int(start)..<Int(start &+ count))
      case .decimal(let offset, let width):
        let value = record.number(at: Int(offset), width)
        if width.isSigned {
          line.appendDecimal(Int64(bitPattern: value))
        } else {
          line.appendDecimal(value)
        }
      case .hexadecimal(let offset, let width):
        line.appendHexadecimal(record.number(at: Int(offset), width))
      case .constant(let value): push(value)
      case .load(let offset, let width): push(record.number(at: Int(offset), width))
      case .loadAt(let width):
        stack[top &- 1] = record.number(at: Int(truncatingIfNeeded: stack[top &- 1]), width)
      case .place(let offset, let base):
        push(UInt64(bitPattern: Int64(record.content(at: Int(offset), base: Int(base)).lowerBound)))
      case .length(let offset): push(UInt64(record.content(at: Int(offset), base: 0).count))
      case .narrow(let width): stack[top &- 1] = width.narrowed(stack[top &- 1])
      case .apply(let operation, let isSigned):
        let right = pop()
        stack[top &- 1] = operation.applied(stack[top &- 1], right, isSigned: isSigned)
      case .not: stack[top &- 1] = stack[top &- 1] == 0 ? 1 : 0
      case .complement: stack[top &- 1] = ~stack[top &- 1]
      case .jump(let target): next = target
      case .jumpIfZero(let target): if pop() == 0 { next = target }
      case .ticks(let perSecond):
        let (high, low) = stack[top &- 1].multipliedFullWidth(by: perSecond)
        let divisor = environment.ticksPerSecond
        stack[top &- 1] = high < divisor ? divisor.dividingFullWidth((high, low)).quotient : .max
      case .setWidth: lengths.width = pop()
      case .setPrecision: lengths.precision = pop()
      case .number(let index):
        let value = pop()
        with(index, &lengths) { $0.appendNumber(value, to: &line) }
      default:
        convert(instruction, record, &stack, &top, &lengths, &environment, to: &line)
      }
    }
  }

  @inline(__always)
  private func with(
    _ index: Int, _ lengths: inout Lengths, _ body: (PrintSpecification) -> Void
  ) {
    guard lengths.width != nil || lengths.precision != nil else {
      body(specifications[index])
      return
    }
    var specification = specifications[index]
    if let width = lengths.width { specification.setWidth(width) }
    if let precision = lengths.precision { specification.setPrecision(precision) }
    lengths = Lengths()
    body(specification)
  }

  /// The conversions that are no plain numbers.
  private func convert(
    _ instruction: PrintInstruction, _ record: RawSpan, _ stack: inout InlineArray<24, UInt64>,
    _ top: inout Int, _ lengths: inout Lengths, _ environment: inout PrintEnvironment,
    to line: inout [UInt8]
  ) {
    func pop() -> UInt64 {
      top &-= 1
      return stack[top]
    }
    let start = line.count
    switch instruction {
    case .literal(let textStart, let count, let index):
      line.append(texts, Int(textStart)..<Int(textStart &+ count))
      with(index, &lengths) { $0.finish(from: start, in: &line) }
    case .fixedText(let offset, let count, let index):
      let end = count == .max ? record.byteCount : Int(offset) &+ Int(count)
      line.append(record, record.text(from: Int(offset), to: end))
      with(index, &lengths) { $0.finish(from: start, in: &line) }
    case .locatedText(let offset, let base, let index):
      let content = record.content(at: Int(offset), base: Int(base))
      line.append(record, record.text(from: content.lowerBound, to: content.upperBound))
      with(index, &lengths) { $0.finish(from: start, in: &line) }
    case .textAt(let index):
      let place = Int(truncatingIfNeeded: pop())
      line.append(record, record.text(from: place, to: record.byteCount))
      with(index, &lengths) { $0.finish(from: start, in: &line) }
    case .textOfAddress(let index):
      let address = pop()
      if let text = environment.printkTexts[address] {
        line.append(contentsOf: text)
      } else if address == 0, style == .kernel {
        line.append("(null)")
      } else {
        line.appendHexadecimal(address)
      }
      with(index, &lengths) { $0.finish(from: start, in: &line) }
    case .mask(let offset, let base, let isList, let index):
      let content = record.content(at: Int(offset), base: Int(base))
      line.appendBits(record, at: content.lowerBound, count: content.count * 8, isList: isList)
      with(index, &lengths) { specification in
        // A width of `%*pbl` is how many bits there are.
        if case .text = specification.kind { specification.finish(from: start, in: &line) }
      }
    case .flags(let table, let index):
      appendFlags(pop(), tables[table], to: &line)
      with(index, &lengths) { $0.finish(from: start, in: &line) }
    case .symbolic(let table, let index):
      appendSymbol(pop(), tables[table], to: &line)
      with(index, &lengths) { $0.finish(from: start, in: &line) }
    case .bytes(let isJoined, let index):
      let count = pop()
      let place = Int(truncatingIfNeeded: pop())
      appendBytes(record, place, count, isJoined: isJoined, to: &line)
      with(index, &lengths) { $0.finish(from: start, in: &line) }
    case .numbers(let index):
      let size = pop()
      let count = pop()
      appendNumbers(record, Int(truncatingIfNeeded: pop()), count, size, to: &line)
      with(index, &lengths) { $0.finish(from: start, in: &line) }
    case .dump(let textStart, let count):
      var arguments: [UInt64] = []
      for _ in 0..<6 { arguments.insert(pop(), at: 0) }
      appendDump(
        record, arguments, prefix: texts,
        Int(textStart)..<Int(textStart &+ count), to: &line)
    case .character(let index):
      line.append(UInt8(truncatingIfNeeded: pop()))
      with(index, &lengths) {
        line.finishField(from: start, width: $0.width, precision: nil, isLeft: $0.isLeft)
      }
    case .address(let index):
      let address = pop()
      with(index, &lengths) { appendAddress(address, $0, to: &line) }
    case .function(let index, let showsOffset, let isReturn):
      environment.appendFunction(
        pop(), showsOffset: showsOffset, isReturn: isReturn, showsModule: style == .kernel,
        to: &line)
      with(index, &lengths) { $0.finish(from: start, in: &line) }
    case .memory(let index):
      let place = Int(truncatingIfNeeded: pop())
      with(index, &lengths) { specification in
        guard case .pointer(.memory(let memory)) = specification.kind else { return }
        if !memory.append(record, at: place, width: specification.width, to: &line) {
          specification.finish(from: start, in: &line)
        }
      }
    case .unknown(let index):
      line.append(UInt8(ascii: "?"))
      with(index, &lengths) { $0.finish(from: start, in: &line) }
    default: break
    }
  }

  /// The kernel's `%px`: all digits, without `0x`.
  private func appendAddress(
    _ address: UInt64, _ specification: PrintSpecification, to line: inout [UInt8]
  ) {
    let start = line.count
    switch style {
    case .kernel:
      line.appendHexadecimal(
        PrintWidth(size: longSize, isSigned: false).narrowed(address),
        digits: specification.width == 0 ? longSize * 2 : 0)
      if specification.width == 0 { return }
    case .traceCmd:
      if address == 0 {
        line.append("(nil)")
      } else {
        line.append("0x")
        line.appendHexadecimal(address)
      }
    }
    specification.finish(from: start, in: &line)
  }
}

extension RawSpan {
  /// The bytes that a location word leads to; what of them is outside of the record is left out.
  @inline(__always)
  func content(at offset: Int, base: Int) -> Range<Int> {
    let word = number(at: offset, PrintWidth(size: 4, isSigned: false))
    let start = Int(word & 0xffff) &+ base
    let end = Swift.min(start &+ Int(word >> 16), byteCount)
    return start <= end ? start..<end : 0..<0
  }
}
