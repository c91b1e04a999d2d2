// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

extension ProbeCore {
  @inline(__always)
  var shape: Place<ProbeShape> { base }

  /// Begins the calling thread's section for a hit; nil if it cannot run anything, which is counted.
  @inline(__always)
  func enter(_ site: ProbeSite) -> ProbeSections.Line? {
    switch shape.value.sections.enter() {
    case .entered(let line): return line
    case .nested:
      site.base.value.nested.wrappingAdd(1, ordering: .relaxed)
      return nil
    case .numberless:
      shape.value.numberless.wrappingAdd(1, ordering: .relaxed)
      return nil
    }
  }

  /// What is attached to a site, in a section.
  @inline(__always)
  func list(of site: ProbeSite) -> ProbeList? {
    // Sequentially consistent — probe:V. After probe:E. If it leads to a list, a remover waits for
    // us; and what was written to the list is seen. Dekker with probe:E against probe:F and probe:S.
    // Pairs with probe:P.
    let address = site.base.value.list.load(ordering: .sequentiallyConsistent)
    // Safety: the word holds nothing but addresses of lists.
    return Address(at: address).map { unsafe ProbeList(base: Table($0)) }
  }

  /// Runs what is attached to a point with up to four arguments.
  ///
  /// Wait-free, and as the handlers.
  @usableFromInline @inline(never)
  static func hit(
    _ site: ProbeSite, _ first: UInt64, _ second: UInt64, _ third: UInt64, _ fourth: UInt64
  ) {
    let core = site.base.value.core
    guard let line = core.enter(site) else { return }
    withWords(first, second, third, fourth) { core.runList(of: site, $0, line) }
    core.shape.value.sections.leave(line)
  }

  /// A word for the common fields of a trace event, and four arguments.
  @inline(__always)
  static func withWords<Result>(
    _ first: UInt64, _ second: UInt64, _ third: UInt64, _ fourth: UInt64,
    _ body: (Table<UInt64>) -> Result
  ) -> Result {
    // Safety: five words, and as many are written.
    unsafe withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 5) { words in
      // Safety: as above.
      let base = unsafe Table(words.baseAddress.unsafelyUnwrapped)
      base[1] = first
      base[2] = second
      base[3] = third
      base[4] = fourth
      return body(base)
    }
  }

  /// Runs what is attached to a point. `words` is a word for the common fields of a trace event, and
  /// the arguments.
  ///
  /// Wait-free, and as the handlers.
  @usableFromInline @inline(never)
  static func hit(_ site: ProbeSite, _ words: Table<UInt64>) {
    let core = site.base.value.core
    guard let line = core.enter(site) else { return }
    core.runList(of: site, words, line)
    core.shape.value.sections.leave(line)
  }

  /// What a section does for a hit without a scope.
  @inline(__always)
  func runList(
    of site: ProbeSite, _ words: Table<UInt64>, _ line: ProbeSections.Line
  ) {
    guard let list = list(of: site) else { return }
    let count = list.count
    var index = 0
    while index < count {
      let record = list[index]
      // Without a scope there is nothing to measure.
      if !record.value.isReturning { run(record, words, line, site) }
      index &+= 1
    }
    if count == 0 { countLate() }
  }

  @inline(never)
  func countLate() {
    shape.value.late.wrappingAdd(1, ordering: .relaxed)
  }

  /// Whether a probe's filter lets a hit pass.
  @inline(__always)
  func passes(
    _ record: Place<ProbeRecord>, _ words: Table<UInt64>,
    _ line: ProbeSections.Line, _ site: ProbeSite
  ) -> Bool {
    guard let filter = record.value.filter else { return true }
    return passes(filter, record, words, line, site)
  }

  @inline(never)
  func passes(
    _ filter: Address, _ record: Place<ProbeRecord>,
    _ words: Table<UInt64>, _ line: ProbeSections.Line, _ site: ProbeSite
  ) -> Bool {
    words[0] = UInt64(UInt32(bitPattern: CurrentThread.knownID)) << 32
    let bytes = FilterBytes(
      start: words.first.address,
      count: (site.base.value.arguments &+ 1) &* 8)
    let answer = FilterProgram(base: filter).matches(
      bytes, cpu: ProbeRegistry.Hit.currentCPU ?? Int(Int32.max), taskName: nil)
    if !answer { count(record, 1, line) }
    return answer
  }

  /// Adds one to a count of a probe.
  @inline(__always)
  func count(
    _ record: Place<ProbeRecord>, _ which: Int, _ line: ProbeSections.Line
  ) {
    shape.value.counts.add(
      1, to: record.value.number &* ProbeRecord.countWords &+ which, thread: line.number)
  }

  /// One hit of one probe.
  @inline(__always)
  func run(
    _ record: Place<ProbeRecord>, _ words: Table<UInt64>,
    _ line: ProbeSections.Line, _ site: ProbeSite
  ) {
    if !passes(record, words, line, site) { return }
    count(record, 0, line)
    if record.value.kind != .count { runMore(record, words, line, site) }
  }

  @inline(never)
  func runMore(
    _ record: Place<ProbeRecord>, _ words: Table<UInt64>,
    _ line: ProbeSections.Line, _ site: ProbeSite
  ) {
    switch record.value.kind {
    case .count, .latency: break
    case .tally:
      // Safety: such a record has its memory, and the probe keeps it.
      ProbeTally.Memory(base: unsafe record.value.context.unsafelyUnwrapped)
        .add(words[record.value.argument &+ 1])
    case .values:
      // Safety: such a record has its memory, and the probe keeps it.
      unsafe ProbeHistogramMemory(base: record.value.context.unsafelyUnwrapped)
        .add(words[record.value.argument &+ 1], thread: line.number)
    case .trace:
      record.value.coordinator?.record(
        record.value.event, words, words: site.base.value.arguments &+ 1)
    case .call:
      watched(record, line) {
        // Safety: such a record has its functions, and the probe keeps them.
        unsafe Unmanaged<ProbeFunctions>.fromOpaque(record.value.context.unsafelyUnwrapped.pointer)
          ._withUnsafeGuaranteedRef { functions in
            functions.onEntry(
              ProbeRegistry.Hit(
                words: words.dropping(1), count: site.base.value.arguments, cycles: 0))
          }
      }
    }
  }

  /// Runs a user's function while the line says whose it is.
  @inline(__always)
  func watched(
    _ record: Place<ProbeRecord>, _ line: ProbeSections.Line, _ body: () -> Void
  ) {
    // Relaxed: for who watches, and reads it for a name.
    line.running.value.store(UInt64(record.value.number) &+ 1, ordering: .relaxed)
    body()
    line.running.value.store(0, ordering: .relaxed)
  }
}
