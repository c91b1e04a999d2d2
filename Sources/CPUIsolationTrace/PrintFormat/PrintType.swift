// SPDX-License-Identifier: Apache-2.0

/// How many bytes of a number count, and whether the highest of their bits is its sign.
struct PrintWidth: Equatable, Sendable {
  var size: Int
  var isSigned: Bool

  /// The number that is left of a value: its low bytes, with the sign of this width.
  @inline(__always)
  func narrowed(_ value: UInt64) -> UInt64 {
    switch (size, isSigned) {
    case (1, true): UInt64(bitPattern: Int64(Int8(truncatingIfNeeded: value)))
    case (1, false): value & 0xff
    case (2, true): UInt64(bitPattern: Int64(Int16(truncatingIfNeeded: value)))
    case (2, false): value & 0xffff
    case (4, true): UInt64(bitPattern: Int64(Int32(truncatingIfNeeded: value)))
    case (4, false): value & 0xffff_ffff
    default: value
    }
  }
}

/// The type of an expression in C.
struct PrintType: Equatable, Sendable {
  var width: PrintWidth
  /// What one element of a pointer is; nil if this is a number.
  var element: PrintWidth?
  /// Whether any number but 0 becomes 1.
  var isTruth = false

  init(_ size: Int, isSigned: Bool, element: PrintWidth? = nil) {
    width = PrintWidth(size: size, isSigned: isSigned)
    self.element = element
  }

  static let int = PrintType(4, isSigned: true)
  static let unsignedLongLong = PrintType(8, isSigned: false)

  var isPointer: Bool { element != nil }

  /// What C computes with: nothing narrower than `int`.
  var promoted: PrintType { width.size < 4 && !isPointer ? .int : self }

  /// The type in which C computes with two numbers.
  func common(with other: PrintType) -> PrintType {
    if isPointer { return self }
    if other.isPointer { return other }
    let (a, b) = (promoted, other.promoted)
    if a.width.size != b.width.size { return a.width.size > b.width.size ? a : b }
    return a.width.isSigned ? b : a
  }
}

extension PrintType {
  private static let qualifiers: Set = [
    "const", "volatile", "static", "__user", "__kernel", "__force", "__iomem", "__percpu",
    "__rcu", "__bitwise",
  ]
  private static let basic: Set = [
    "unsigned", "signed", "char", "short", "int", "long", "__signed__",
  ]

  /// The kernel's names of numbers; those of an address have the size 0 here.
  private static let named: [String: (size: Int, isSigned: Bool)] = [
    "uint": (4, false), "ushort": (2, false), "ulong": (0, false), "uchar": (1, false),
    "u_char": (1, false), "u_short": (2, false), "u_int": (4, false), "u_long": (0, false),
    "unchar": (1, false), "bool": (1, false), "_Bool": (1, false), "__le16": (2, false),
    "__le32": (4, false), "__le64": (8, false), "__be16": (2, false), "__be32": (4, false),
    "__be64": (8, false), "size_t": (0, false), "ssize_t": (0, true), "ptrdiff_t": (0, true),
    "intptr_t": (0, true), "uintptr_t": (0, false), "loff_t": (8, true), "off_t": (0, true),
    "pid_t": (4, true), "tid_t": (4, true), "uid_t": (4, false), "gid_t": (4, false),
    "qid_t": (4, false), "projid_t": (4, false), "dev_t": (4, false), "mode_t": (4, false),
    "umode_t": (2, false), "ino_t": (0, false), "gfp_t": (4, false), "slab_flags_t": (4, false),
    "fmode_t": (4, false), "vm_fault_t": (4, false), "blk_opf_t": (4, false),
    "blk_status_t": (1, false), "sector_t": (8, false), "blkcnt_t": (8, false),
    "dma_addr_t": (8, false), "phys_addr_t": (8, false), "resource_size_t": (8, false),
    "pgoff_t": (0, false), "ktime_t": (8, true), "time64_t": (8, true), "clockid_t": (4, true),
    "cycles_t": (8, false), "gva_t": (0, false), "gpa_t": (8, false), "gfn_t": (8, false),
    "hpa_t": (8, false), "hfn_t": (8, false), "key_serial_t": (4, true),
    "dma_cookie_t": (4, true), "atomic_t": (4, true), "isolate_mode_t": (4, false),
    "vm_flags_t": (0, false), "pgprot_t": (8, false), "nodemask_t": (8, false),
    "xfs_ino_t": (8, false), "xfs_off_t": (8, true), "xfs_daddr_t": (8, true),
    "xfs_agnumber_t": (4, false), "xfs_agblock_t": (4, false), "xfs_extlen_t": (4, false),
    "xfs_lsn_t": (8, true), "xfs_fsblock_t": (8, false), "ext4_lblk_t": (4, false),
    "ext4_fsblk_t": (8, false), "tid64_t": (8, false),
  ]

  /// The type that words and stars name. nil if they name none.
  ///
  /// A name that is not known is taken for a type if it ends in `_t`, or if `isCertain` says that it
  /// stands where only a type can; what is known of it is `fallback`.
  init?(
    _ words: [String], stars: Int = 0, longSize: Int, isCertain: Bool = false,
    fallback: PrintType? = nil
  ) {
    let words = words.filter { !Self.qualifiers.contains($0) }
    guard let first = words.first else { return nil }
    let width: PrintWidth
    if ["struct", "union"].contains(first) || words == ["void"] {
      guard words.count <= 2 else { return nil }
      width = PrintWidth(size: 1, isSigned: false)
      if stars == 0 {
        self.init(longSize, isSigned: false)
        return
      }
    } else if first == "enum" {
      width = PrintWidth(size: 4, isSigned: false)
    } else if words.allSatisfy(Self.basic.contains) {
      let isChar = words.contains("char")
      let longs = words.count { $0 == "long" }
      let size =
        isChar ? 1 : words.contains("short") ? 2 : longs > 1 ? 8 : longs == 1 ? longSize : 4
      width = PrintWidth(size: size, isSigned: !words.contains("unsigned"))
    } else if words.count == 1, let found = Self.named[first] {
      width = PrintWidth(size: found.size == 0 ? longSize : found.size, isSigned: found.isSigned)
    } else if words.count == 1, let found = Self.sized(first) {
      width = found
    } else if words.count == 1, first.hasSuffix("_t") || isCertain || stars > 0 {
      width = fallback?.width ?? PrintWidth(size: 8, isSigned: false)
    } else {
      return nil
    }
    guard stars > 0 else {
      self.init(width.size, isSigned: width.isSigned)
      isTruth = words == ["bool"] || words == ["_Bool"]
      return
    }
    let pointer = PrintWidth(size: longSize, isSigned: false)
    self.init(longSize, isSigned: false, element: stars > 1 ? pointer : width)
  }

  /// `u8`, `__s16`, `uint32_t`, `int64_t`.
  private static func sized(_ name: String) -> PrintWidth? {
    var rest = name.drop { $0 == "_" }
    guard let letter = rest.first, "usi".contains(letter) else { return nil }
    if rest.hasSuffix("_t") {
      rest = rest.dropLast(2)
      if rest.hasPrefix("uint") {
        rest = rest.dropFirst(4)
      } else if rest.hasPrefix("int") {
        rest = rest.dropFirst(3)
      } else {
        return nil
      }
    } else {
      guard letter != "i" else { return nil }
      rest = rest.dropFirst()
    }
    guard let bits = Int(rest), [8, 16, 32, 64].contains(bits) else { return nil }
    return PrintWidth(size: bits / 8, isSigned: letter != "u")
  }
}

extension PrintType {
  /// The type of what a field holds, or of one of its elements.
  init(elementOf type: String, longSize: Int) {
    let words = type.prefix { $0 != "[" }.split(separator: " ").map(String.init)
      .filter { $0 != "__data_loc" && $0 != "__rel_loc" }
    let stars = words.count { $0 == "*" }
    let names = words.filter { $0 != "*" }
    self =
      PrintType(names, stars: stars, longSize: longSize, isCertain: true)
      ?? PrintType(1, isSigned: false)
  }
}
