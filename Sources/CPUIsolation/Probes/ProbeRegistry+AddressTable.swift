// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

extension ProbeRegistry {
  /// Points by where they stand: an object, such as a module, a plug-in or a piece of compiled code, and
  /// an offset in it.
  ///
  ///     let code = try ProbeRegistry.AddressTable()
  ///     _ = code.insert(parsed, at: 0x40, of: parser)       // the point of an offset
  ///     _ = code.map(parser, over: 0x7000_0000..<0x7000_2000)  // where the object is now
  ///     …
  ///     try code.attach(.count, at: 0x40, of: parser)
  ///     code.hit(at: 0x7000_0040, length)                    // region, then offset, then point
  ///
  /// A hit goes the way of the kernel's: from the address to the region, to the object and the offset, to
  /// the point. All of it is read without a lock, from any thread and from signal handlers. Code that
  /// knows its own point hits it directly, which costs less.
  ///
  /// - Progress: as each member says
  /// - Context: any thread
  /// - Allocates: at creation
  public final class AddressTable: Sendable {
    /// The registry whose points these are.
    public let registry: ProbeRegistry
    /// How many points there can be in the table.
    public let capacity: Int

    @usableFromInline let places: ProbePlaces
    private let memory: MappedMemory
    private let regions: RegionMap<Mapping>
    private let writer = Lock(Writer())

    /// What a region of addresses is: a piece of an object.
    private struct Mapping: BitwiseCopyable, Sendable {
      let object: UInt64
      /// The offset of the region's first address.
      let offset: UInt64
    }

    private struct Writer {
      var count = 0
      /// Entries whose place was removed, until no section can be looking at them.
      var garbage: [(wait: ProbeSections.Wait, index: Int)] = []
    }

    /// An empty table.
    ///
    /// A capacity outside 1 to 1 048 576 ends the process with a sentence, and so does a number of
    /// regions outside 1 to 4 194 304.
    ///
    /// - Parameters:
    ///   - registry: whose points they are; the process's own unless given.
    ///   - capacity: how many points there can be.
    ///   - regions: how many regions of addresses there can be.
    ///   - file: the caller's file, for messages.
    ///   - line: the caller's line.
    /// - Throws: `outOfMemory`.
    /// - Progress: blocking
    /// - Context: any thread, outside signal handlers
    /// - Allocates: 64 to 128 bytes for each point, and a region map
    public init(
      of registry: ProbeRegistry = .shared, capacity: Int = 65_536, regions: Int = 4096,
      file: StaticString = #fileID, line: UInt = #line
    ) throws(IsolationError) {
      if !(1...1 << 20).contains(capacity) {
        misuse(
          "a table of probe points cannot have room for \(capacity): it takes 1 to 1048576", file,
          line)
      }
      self.registry = registry
      self.capacity = capacity
      self.regions = try RegionMap(capacity: regions, file: file, line: line)
      let entries = ProbePlaces.entries(capacity: capacity)
      memory = try MappedMemory(byteCount: ProbePlaces.byteCount(entries: entries))
      places = ProbePlaces(
        initializing: memory.address, entries: entries, core: registry.core,
        regions: self.regions.storage.tree)
    }

    /// How many points there are in the table.
    ///
    /// - Progress: blocking
    /// - Context: any thread, outside signal handlers
    /// - Allocates: never
    public var count: Int { writer.withLock { $0.count } }

    // MARK: Regions

    /// Says where an object, or a piece of it, is: which addresses it has from now on.
    ///
    /// - Parameters:
    ///   - object: any number that stands for the object.
    ///   - bounds: the addresses, which no other object may have.
    ///   - offset: the offset in the object of the first address.
    /// - Returns: `.mapped`; else why nothing was changed.
    /// - Progress: blocking, for as long as another thread changes regions
    /// - Context: any thread, outside signal handlers
    /// - Allocates: a few words, which are gone when it returns
    public func map(
      _ object: UInt64, over bounds: Range<UInt64>, from offset: UInt64 = 0
    ) -> MapOutcome {
      switch regions.insert(Mapping(object: object, offset: offset), over: bounds) {
      case .inserted: .mapped
      case .overlaps(let other): .overlaps(other)
      case .empty: .empty
      case .full: .full
      }
    }

    /// Says that a region has gone. Its points stay, for when the object comes again, elsewhere.
    ///
    /// When it returns, hits that begin do not find the region; one that was going on may be in a
    /// probe's function still, which `remove` of a probe waits for.
    ///
    /// - Parameter address: any address of the region.
    /// - Returns: the addresses that have gone; nil if the address was in no region.
    /// - Progress: blocking, for as long as another thread changes regions
    /// - Context: any thread, outside signal handlers
    /// - Allocates: a few words, which are gone when it returns
    @discardableResult
    public func unmap(at address: UInt64) -> Range<UInt64>? {
      regions.remove(at: address)?.bounds
    }

    // MARK: Points

    /// Puts a point at an offset of an object.
    ///
    /// - Parameters:
    ///   - point: a point of the registry; one of another ends the process with a sentence. It may be at
    ///     several places.
    ///   - offset: where it is in the object.
    ///   - object: the object.
    ///   - file: the caller's file, for messages.
    ///   - line: the caller's line.
    /// - Returns: `.inserted`; else why nothing was changed.
    /// - Progress: blocking, for as long as another thread changes the table
    /// - Context: any thread, outside signal handlers
    /// - Allocates: never
    public func insert<Arguments>(
      _ point: ProbePoint<Arguments>, at offset: UInt64, of object: UInt64,
      file: StaticString = #fileID, line: UInt = #line
    ) -> InsertOutcome {
      let site = point.site
      if site.base.value.core.base.bits != registry.core.base.bits {
        misuse("a table of probe points got a point of another registry", file, line)
      }
      return writer.withLock { writer in
        collect(&writer)
        let (found, free) = places.search(object, offset)
        if found != nil { return .occupied }
        guard let free, writer.count < capacity, site.base.value.index >= 0 else { return .full }
        places.put(site, object, offset, at: free)
        writer.count += 1
        return .inserted
      }
    }

    /// Takes the point at an offset of an object away, and waits until no thread can be running what it
    /// found there, or still find it.
    ///
    /// No CPU is disturbed. What is attached to the point stays attached.
    ///
    /// - Parameters:
    ///   - offset: where the point is in the object.
    ///   - object: the object.
    ///   - timeout: how long to wait at most; nil waits for ever, and zero looks once.
    /// - Returns: `.removed`, also where there was no point; `.timedOut` if a hit may be going on still,
    ///   that had found it.
    /// - Progress: blocking
    /// - Context: any thread, outside handlers of probes and signal handlers
    /// - Allocates: a list
    @discardableResult
    public func remove(
      at offset: UInt64, of object: UInt64, timeout: Duration? = nil
    ) -> RemoveOutcome {
      registry.requireOutside("take points away")
      let until = Deadline(after: timeout)
      let removed: Int? = writer.withLock { writer in
        guard let index = places.search(object, offset).found else { return nil }
        places.takeAway(at: index)
        writer.count -= 1
        writer.garbage.append(
          (ProbeSections.Wait(registry.core.shape.value.sections), index))
        return index
      }
      guard let removed else { return .removed }
      var backoff = Backoff()
      while true {
        let isOver = writer.withLock { writer in
          collect(&writer)
          return !writer.garbage.contains { $0.index == removed }
        }
        if isOver { return .removed }
        if until.hasPassed { return .timedOut }
        CurrentThread.serveOwnCPU()
        backoff.wait()
      }
    }

    /// Lets entries be used again that no section can be looking at.
    private func collect(_ writer: inout Writer) {
      for place in writer.garbage.indices.reversed() where writer.garbage[place].wait.poll() {
        places.release(writer.garbage.remove(at: place).index)
      }
    }

    /// The name of the point at an offset of an object; nil if there is none.
    ///
    /// - Parameters:
    ///   - offset: where it is in the object.
    ///   - object: the object.
    /// - Returns: the name of the point.
    /// - Progress: blocking, for as long as another thread changes the table
    /// - Context: any thread, outside signal handlers
    /// - Allocates: never
    public func pointName(at offset: UInt64, of object: UInt64) -> String? {
      let index: Int? = writer.withLock { _ in
        // Under the lock no entry goes away.
        guard let bits = places.find(object, offset), let base = Address(at: bits) else {
          return nil
        }
        // Safety: entries hold nothing but addresses of sites, which are never given back.
        return unsafe Place<ProbeSiteLine>(base).value.index
      }
      return index.map { index in registry.state.withLock { $0.points[index].name } }
    }

    /// What an address is: the object, the offset in it, and the name of the point there.
    ///
    /// - Parameter address: any address.
    /// - Returns: the location, as it was at some instant of the call; nil if the address is in no region.
    /// - Progress: blocking, for as long as another thread changes the table
    /// - Context: any thread, outside signal handlers
    /// - Allocates: never
    public func location(of address: UInt64) -> Location? {
      guard let region = regions.lookUp(address) else { return nil }
      let offset = region.value.offset &+ (address - region.bounds.lowerBound)
      return Location(
        object: region.value.object, offset: offset,
        pointName: pointName(at: offset, of: region.value.object))
    }

    /// Attaches to the point at an offset of an object.
    ///
    ///     let probe = try code.attach(.latency, at: 0x40, of: parser)
    ///
    /// The probe is the point's, wherever it is hit.
    ///
    /// - Parameters:
    ///   - use: what it does.
    ///   - offset: where the point is in the object.
    ///   - object: the object.
    ///   - filter: which hits it is for, as for `ProbeRegistry.attach(_:to:filter:maximumActive:)`.
    ///   - maximumActive: the most scopes at once; nil is as many as the registry has.
    /// - Returns: the probe, for `ProbeRegistry.remove` and for what it has counted.
    /// - Throws: `noSuchProbePoint` where no point is; else as `ProbeRegistry.attach`.
    /// - Progress: blocking
    /// - Context: any thread, outside handlers and signal handlers
    /// - Allocates: yes
    @discardableResult
    public func attach(
      _ use: Use, at offset: UInt64, of object: UInt64, filter: String? = nil,
      maximumActive: Int? = nil
    ) throws(IsolationError) -> Probe {
      guard let name = pointName(at: offset, of: object) else {
        throw IsolationError(
          .noSuchProbePoint, "there is no probe point at the offset \(offset) of object \(object)")
      }
      return try registry.attach(use, to: name, filter: filter, maximumActive: maximumActive)
    }
  }
}
