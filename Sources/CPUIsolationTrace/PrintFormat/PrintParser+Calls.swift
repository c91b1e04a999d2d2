// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

extension PrintParser {
  /// What stands between the parentheses of a call. Functions of the kernel that are not here
  /// cannot be run outside it.
  mutating func call(_ name: String) throws(PrintFormatError) -> PrintExpression {
    switch name {
    case "__get_str", "__get_rel_str": return .string(try field())
    case "__get_dynamic_array", "__get_rel_dynamic_array", "__get_sockaddr", "__get_rel_sockaddr":
      return .location(try field())
    case "__get_dynamic_array_len", "__get_rel_dynamic_array_len":
      return .locationLength(try field())
    case "__get_bitmask", "__get_rel_bitmask": return .mask(try field(), isList: false)
    case "__get_cpumask", "__get_rel_cpumask": return .mask(try field(), isList: true)
    case "__print_flags", "__print_flags_u64":
      let value = try expression()
      try expect(",")
      // No separator may be a null pointer.
      let separator: [UInt8]
      if case .text? = peek {
        separator = try expectText()
      } else {
        _ = try expression()
        separator = []
      }
      return .flags(value, separator: separator, try names(), isLong: name.hasSuffix("64"))
    case "__print_symbolic", "__print_symbolic_u64":
      let value = try expression()
      return .symbolic(value, try names(), isLong: name.hasSuffix("64"))
    case "__print_hex", "__print_hex_str":
      let arguments = try arguments(2, of: name)
      return .hexadecimal(arguments[0], count: arguments[1], isJoined: name == "__print_hex_str")
    case "__print_array":
      let arguments = try arguments(3, of: name)
      return .numbers(arguments[0], count: arguments[1], size: arguments[2])
    case "__print_dynamic_array":
      let array = try field()
      try expect(",")
      let size = try expression()
      return .numbers(
        .location(array), count: .binary(.over, .locationLength(array), size), size: size)
    case "__print_hex_dump":
      let prefix = try expectText()
      try expect(",")
      return .dump(prefix: prefix, try arguments(6, of: name))
    case "__print_ns_to_secs":
      return .binary(.over, .cast(.unsignedLongLong, try expression()), Self.billion)
    case "__print_ns_without_secs":
      return .cast(
        PrintType(4, isSigned: false),
        .binary(.modulo, .cast(.unsignedLongLong, try expression()), Self.billion))
    case "__builtin_expect": return try arguments(2, of: name)[0]
    case "jiffies_to_msecs":
      return .ticks(try expression(), perSecond: 1_000)
    case "jiffies_to_usecs":
      return .ticks(try expression(), perSecond: 1_000_000)
    case "jiffies_to_nsecs":
      return .ticks(try expression(), perSecond: 1_000_000_000)
    case "ktime_to_ns": return try expression()
    case "ktime_to_us":
      return .binary(.over, .cast(Self.long, try expression()), .number(1_000, .int))
    case "ktime_to_ms":
      return .binary(.over, .cast(Self.long, try expression()), .number(1_000_000, .int))
    case "__be16_to_cpu", "__be32_to_cpu", "__be64_to_cpu", "be16_to_cpu", "be32_to_cpu",
      "be64_to_cpu", "ntohs", "ntohl", "__le16_to_cpu", "__le32_to_cpu", "__le64_to_cpu",
      "le16_to_cpu", "le32_to_cpu", "le64_to_cpu":
      return try ordered(name)
    case "MAJOR": return .binary(.shiftRight, try device(), .number(20, .int))
    case "MINOR": return .binary(.bitAnd, try device(), .number(0xf_ffff, .int))
    case "mc_event_error_type":
      return .symbolic(
        try expression(),
        ["Corrected", "Uncorrected", "Deferred", "Fatal", "Info"].enumerated().map {
          PrintName(value: UInt64($0.offset), name: Array($0.element.utf8))
        }, isLong: false)
    default: throw PrintFormatError(reason: "the function \(name) is not known")
    }
  }

  private static let billion = PrintExpression.number(1_000_000_000, .unsignedLongLong)
  private static let long = PrintType(8, isSigned: true)

  private mutating func arguments(
    _ count: Int, of name: String
  ) throws(PrintFormatError) -> [PrintExpression] {
    var result = [try expression()]
    while accept(",") { result.append(try expression()) }
    guard result.count == count else {
      throw PrintFormatError(reason: "\(name) takes \(count) arguments")
    }
    return result
  }

  private mutating func device() throws(PrintFormatError) -> PrintExpression {
    .cast(PrintType(4, isSigned: false), try expression())
  }

  /// The bytes of a number, in the other order where the name says so.
  private mutating func ordered(_ name: String) throws(PrintFormatError) -> PrintExpression {
    let size = name.contains("16") || name == "ntohs" ? 2 : name.contains("64") ? 8 : 4
    let type = PrintType(size, isSigned: false)
    let value = PrintExpression.cast(type, try expression())
    guard !name.contains("le") else { return value }
    var result = PrintExpression.number(0, type)
    let byte = PrintExpression.number(0xff, .unsignedLongLong)
    for index in 0..<size {
      let down = PrintExpression.number(UInt64(index * 8), .int)
      let up = PrintExpression.number(UInt64((size - 1 - index) * 8), .int)
      let part = PrintExpression.binary(.bitAnd, .binary(.shiftRight, value, down), byte)
      result = .binary(.bitOr, result, .binary(.shiftLeft, part, up))
    }
    return .cast(type, result)
  }

  /// `, { 1, "ONE" }, { 2, "TWO" }`
  private mutating func names() throws(PrintFormatError) -> [PrintName] {
    var names: [PrintName] = []
    var hasEnded = false
    while accept(",") {
      // Some macros end with a comma.
      guard accept("{"), !accept("}") else { continue }
      let value = try expression()
      try expect(",")
      if case .text? = peek {
        let name = PrintName(
          value: PrintCompiler.constant(value, longSize: longSize), name: try expectText())
        if !hasEnded { names.append(name) }
      } else {
        // `{ 0, ((void *)0) }` ends some lists, as a null pointer does in C.
        _ = try expression()
        hasEnded = true
      }
      _ = accept(",")
      try expect("}")
    }
    return names
  }

  /// Constants that the kernel leaves as names in its format files, and whose values it promises to
  /// programs or has kept for a decade.
  static let allConstants: [String: UInt64] = {
    var all = oldConstants
    let single: [String: UInt64] = [
      "NULL": 0, "false": 0, "true": 1,
      "HRTIMER_MODE_ABS": 0, "HRTIMER_MODE_REL": 1, "HRTIMER_MODE_PINNED": 2,
      "HRTIMER_MODE_SOFT": 4, "HRTIMER_MODE_HARD": 8, "HRTIMER_MODE_ABS_PINNED": 2,
      "HRTIMER_MODE_REL_PINNED": 3, "HRTIMER_MODE_ABS_SOFT": 4, "HRTIMER_MODE_REL_SOFT": 5,
      "HRTIMER_MODE_ABS_PINNED_SOFT": 6, "HRTIMER_MODE_REL_PINNED_SOFT": 7,
      "HRTIMER_MODE_ABS_HARD": 8, "HRTIMER_MODE_REL_HARD": 9, "HRTIMER_MODE_ABS_PINNED_HARD": 10,
      "HRTIMER_MODE_REL_PINNED_HARD": 11, "IOPRIO_CLASS_INVALID": 7, "DUMP_PREFIX_NONE": 0,
      "DUMP_PREFIX_ADDRESS": 1, "DUMP_PREFIX_OFFSET": 2,
    ]
    all.merge(single) { $1 }
    let lists: [(first: UInt64, [String])] = [
      (
        1,
        [
          "TCP_ESTABLISHED", "TCP_SYN_SENT", "TCP_SYN_RECV", "TCP_FIN_WAIT1", "TCP_FIN_WAIT2",
          "TCP_TIME_WAIT", "TCP_CLOSE", "TCP_CLOSE_WAIT", "TCP_LAST_ACK", "TCP_LISTEN",
          "TCP_CLOSING", "TCP_NEW_SYN_RECV", "TCP_BOUND_INACTIVE",
        ]
      ),
      (0, ["IOPRIO_CLASS_NONE", "IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"]),
      (0, ["PM_QOS_ADD_REQ", "PM_QOS_UPDATE_REQ", "PM_QOS_REMOVE_REQ"]),
      (0, ["VDSO_CLOCKMODE_NONE", "VDSO_CLOCKMODE_TSC"]),
    ]
    for (first, names) in lists {
      for (index, name) in names.enumerated() { all[name] = first + UInt64(index) }
    }
    return all
  }()

  /// Those that trace-cmd knows too.
  static let oldConstants: [String: UInt64] = [
    "HI_SOFTIRQ": 0, "TIMER_SOFTIRQ": 1, "NET_TX_SOFTIRQ": 2, "NET_RX_SOFTIRQ": 3,
    "BLOCK_SOFTIRQ": 4, "IRQ_POLL_SOFTIRQ": 5, "TASKLET_SOFTIRQ": 6, "SCHED_SOFTIRQ": 7,
    "HRTIMER_SOFTIRQ": 8, "RCU_SOFTIRQ": 9, "HRTIMER_NORESTART": 0, "HRTIMER_RESTART": 1,
  ]
}
