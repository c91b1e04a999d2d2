// SPDX-License-Identifier: Apache-2.0

/// Where an access stands in the source.
public struct Site: Hashable, Sendable, CustomStringConvertible {
  public let file: String
  public let line: UInt

  public init(file: String, line: UInt) {
    self.file = file
    self.line = line
  }

  public var description: String { "\(file):\(line)" }
}

/// What a mutation does to one site.
public enum Mutation: Sendable {
  /// One step: sequentially consistent becomes acquire and release, those become relaxed, a fence
  /// disappears.
  case weaken
  /// All the way to relaxed.
  case relax
  /// A read-modify-write becomes a load and a store.
  case split
}

/// The strength of an access, in one form for all kinds.
public struct Strength: Sendable {
  var acquires: Bool
  var releases: Bool
  var isSequentiallyConsistent: Bool

  static let relaxed = Strength(acquires: false, releases: false, isSequentiallyConsistent: false)

  func mutated(_ mutation: Mutation?) -> Strength {
    switch mutation {
    case nil, .split: self
    case .relax: .relaxed
    case .weaken:
      isSequentiallyConsistent
        ? Strength(acquires: acquires, releases: releases, isSequentiallyConsistent: false)
        : .relaxed
    }
  }
}

extension ModelEngine {
  private func isPrivate(_ address: UInt) -> Bool {
    privateRanges.contains { $0.contains(address) }
  }

  public func load(_ address: UInt, width: Int, _ strength: Strength, _ site: Site) -> UInt64 {
    if isPrivate(address) { return RawMemory.read(address, width) }
    noteSite(site)
    schedulingPoint()
    let value = visibleLoad(address, width, strength.mutated(mutations[site]))
    noteAccess(address, site) { "reads \($0): \(hex(value))" }
    return value
  }

  public func store(
    _ address: UInt, _ value: UInt64, width: Int, _ strength: Strength, _ site: Site
  ) {
    if isPrivate(address) { return RawMemory.write(address, value, width) }
    noteSite(site)
    schedulingPoint()
    noteAccess(address, site) { "\($0) = \(hex(value))\(isBuffered(strength) ? ", buffered" : "")" }
    visibleStore(address, value, width, strength.mutated(mutations[site]))
  }

  private func isBuffered(_ strength: Strength) -> Bool {
    memory == .totalStoreOrder && !strength.isSequentiallyConsistent
  }

  /// A read-modify-write; nil from `change` leaves the word alone, and makes it a load.
  public func modify(
    _ address: UInt, width: Int, _ strength: Strength, _ site: Site, _ change: (UInt64) -> UInt64?
  ) -> UInt64 {
    if isPrivate(address) {
      let old = RawMemory.read(address, width)
      if let new = change(old) { RawMemory.write(address, new, width) }
      return old
    }
    noteSite(site)
    schedulingPoint()
    let mutation = mutations[site]
    if case .split = mutation {
      let old = visibleLoad(address, width, strength)
      noteAccess(address, site) { "reads \($0): \(hex(old))" }
      guard let new = change(old) else { return old }
      schedulingPoint()
      noteAccess(address, site) { "\($0) = \(hex(new))" }
      visibleStore(address, new, width, strength)
      return old
    }
    let old = visibleModify(address, width, strength.mutated(mutation), change)
    noteAccess(address, site) { name in
      change(old).map { "\(name): \(hex(old)) → \(hex($0))" } ?? "\(name) stays \(hex(old))"
    }
    return old
  }

  public func fence(_ strength: Strength, _ site: Site) {
    noteSite(site)
    schedulingPoint()
    if mutations[site] != nil { return }
    trace?.add(running, "fence", site)
    switch memory {
    case .sequentiallyConsistent: break
    case .totalStoreOrder:
      if strength.isSequentiallyConsistent, flush(running) { noteProgress() }
    case .weak: views.fence(running, strength)
    }
  }

  // MARK: The memory models

  private func visibleLoad(_ address: UInt, _ width: Int, _ strength: Strength) -> UInt64 {
    switch memory {
    case .sequentiallyConsistent: return RawMemory.read(address, width)
    case .totalStoreOrder:
      if let own = fibers[running].buffer.last(where: { $0.address == address }) {
        return own.value
      }
      letOthersFlush(address)
      return RawMemory.read(address, width)
    case .weak:
      let count = views.candidates(running, address, width, strength, bounds.staleness)
      return views.load(running, address, strength, age: choices.choose(count))
    }
  }

  private func visibleStore(_ address: UInt, _ value: UInt64, _ width: Int, _ strength: Strength) {
    switch memory {
    case .sequentiallyConsistent:
      RawMemory.write(address, value, width)
      noteProgress()
    case .totalStoreOrder:
      fibers[running].buffer.append(BufferedStore(address: address, value: value, width: width))
      if strength.isSequentiallyConsistent {
        letOthersFlush(address)
        _ = flush(running)
      }
      // A buffered store counts as progress: whoever waits for it has to be able to look.
      noteProgress()
    case .weak:
      views.store(running, address, value, width, strength)
      RawMemory.write(address, value, width)
      noteProgress()
    }
  }

  private func visibleModify(
    _ address: UInt, _ width: Int, _ strength: Strength, _ change: (UInt64) -> UInt64?
  ) -> UInt64 {
    switch memory {
    case .sequentiallyConsistent: break
    case .totalStoreOrder:
      if flush(running) { noteProgress() }
      letOthersFlush(address)
    case .weak:
      let old = RawMemory.read(address, width)
      guard let new = change(old) else {
        _ = views.candidates(running, address, width, strength, 0)
        return views.load(running, address, strength, age: 0)
      }
      views.modify(running, address, old: old, new, width, strength)
      RawMemory.write(address, new, width)
      noteProgress()
      return old
    }
    let old = RawMemory.read(address, width)
    if let new = change(old) {
      RawMemory.write(address, new, width)
      noteProgress()
    }
    return old
  }

  /// Other threads' buffered stores to this word may become visible now, each with all that its
  /// thread stored before.
  ///
  /// A store that nobody looks for may as well stay buffered: deciding when somebody looks explores
  /// what deciding at every step would, in far fewer schedules.
  private func letOthersFlush(_ address: UInt) {
    while true {
      let candidates = fibers.filter { fiber in
        fiber.number != running && fiber.buffer.contains { $0.address == address }
      }
      if candidates.isEmpty { return }
      let choice = choices.choose(candidates.count + 1)
      if choice == candidates.count { return }
      let fiber = candidates[choice]
      while let first = fiber.buffer.first {
        fiber.buffer.removeFirst()
        noteFlush(first, of: fiber.number)
        RawMemory.write(first.address, first.value, first.width)
        if first.address == address { break }
      }
      noteProgress()
    }
  }

  /// Empties a thread's buffer; tells whether there was anything.
  func flush(_ number: Int) -> Bool {
    let fiber = fibers[number]
    if fiber.buffer.isEmpty { return false }
    for store in fiber.buffer {
      noteFlush(store, of: number)
      RawMemory.write(store.address, store.value, store.width)
    }
    fiber.buffer.removeAll(keepingCapacity: true)
    return true
  }

  func flushEverything() -> Bool {
    var any = false
    for fiber in fibers where flush(fiber.number) { any = true }
    if any { noteProgress() }
    return any
  }
}

/// The words themselves: they always hold the latest value that is visible to all.
public enum RawMemory {
  public static func read(_ address: UInt, _ width: Int) -> UInt64 {
    let pointer = unsafe UnsafeRawPointer(bitPattern: address).unsafelyUnwrapped
    return switch width {
    case 8: unsafe pointer.load(as: UInt64.self)
    case 4: UInt64(unsafe pointer.load(as: UInt32.self))
    default: UInt64(unsafe pointer.load(as: UInt8.self))
    }
  }

  public static func write(_ address: UInt, _ value: UInt64, _ width: Int) {
    let pointer = unsafe UnsafeMutableRawPointer(bitPattern: address).unsafelyUnwrapped
    switch width {
    case 8: unsafe pointer.storeBytes(of: value, as: UInt64.self)
    case 4: unsafe pointer.storeBytes(of: UInt32(truncatingIfNeeded: value), as: UInt32.self)
    default: unsafe pointer.storeBytes(of: UInt8(truncatingIfNeeded: value), as: UInt8.self)
    }
  }
}
