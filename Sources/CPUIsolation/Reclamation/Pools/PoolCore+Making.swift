// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

extension PoolCore.Geometry {
  /// What a caller asked for, or a sentence that says what is wrong with it.
  init(
    checking capacity: Int, objectBytes: Int, rings: Int?, isCompact: Bool, _ file: StaticString,
    _ line: UInt
  ) {
    let rings = rings ?? Int(cpi_processor_count())
    let limits = [
      ("capacity", capacity, 1...1 << 24), ("object size", objectBytes, 0...1 << 30),
      ("number of rings", rings, 1...4096),
    ]
    for (name, value, range) in limits where !range.contains(value) {
      misuse(
        "the \(name) of a pool is \(value), and has to be between \(range.lowerBound) and "
          + "\(range.upperBound)", file, line)
    }
    self.init(capacity: capacity, rings: rings, objectBytes: objectBytes, isCompact: isCompact)
  }
}

extension PoolCore {
  /// Maps a pool and its control.
  init(
    mapping geometry: Geometry, position: UInt64, end: @escaping @Sendable (PoolCore) -> Void
  ) throws(IsolationError) {
    let memory = try PoolMemory(byteCount: geometry.byteCount) { control in
      // Safety: the control of this pool, which has it until the memory is through.
      end(PoolCore(control: unsafe Place(control)))
    }
    // Safety: new memory, until nobody holds it.
    let control = unsafe Place<PoolControl>(
      Address(
        .allocate(byteCount: MemoryLayout<PoolControl>.stride, alignment: cacheLineStride)))
    control.initialize(
      to: PoolControl(
        shape: PoolShape(base: memory.mapping.address, geometry),
        references: UInt64(geometry.capacity) + 1, memory: memory))
    self.init(initializing: control, position: position)
  }

  var byteCount: Int {
    ringCount * shape.ringStride + PoolShelf.byteCount(capacity: Int(capacity)) + Int(capacity)
      * stride
  }

  /// Whether the memory has gone, as a handle sees it, which holds the control.
  var isFreed: Bool {
    // Acquire — pool:D. The memory gives up its hold after the end of the elements.
    control.value.holders.load(ordering: .acquiring) == 1
  }

  /// Ends a thread's registration.
  @usableFromInline
  func endRegistration(_ ring: PoolRing) {
    if PoolRing.thread(of: ring.holder) != CurrentThread.knownID {
      misuse("a registration with a pool ended on another thread than it began on")
    }
    leave(ring)
  }
}
