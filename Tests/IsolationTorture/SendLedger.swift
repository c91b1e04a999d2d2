// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// What senders were promised and what handlers saw, by CPU, kind of work type and writer.
///
/// A writer numbers its sends of one type to one CPU: it writes the number (`issued`) before the send, and again
/// (`promised`) after a send that was accepted. The handler copies what it sees of `issued` to `seen`. Who reads a promise
/// and then enters kernel as that CPU finds `seen` at least as high.
final class SendLedger: Sendable {
  static let kinds = SendKind.allCases.count
  let cpus: Int
  let writers: Int
  private let issued: WordTable
  private let promised: WordTable
  private let seen: WordTable
  private let runs: WordTable
  /// What the senders themselves count.
  private let sent: WordTable
  private let inside: WordTable
  /// Of the type that merges by the highest: the highest number that was drawn, promised, told.
  private let drawn = WordTable(1)
  private let highest: WordTable
  private let told: WordTable

  init(cpus: Int, writers: Int) {
    self.cpus = cpus
    self.writers = writers
    let cells = cpus * Self.kinds * writers
    issued = WordTable(cells)
    promised = WordTable(cells)
    seen = WordTable(cells)
    runs = WordTable(cpus * Self.kinds)
    sent = WordTable(cpus * Self.kinds)
    inside = WordTable(cpus)
    highest = WordTable(cpus)
    told = WordTable(cpus)
  }

  private func row(_ cpu: Int, _ kind: SendKind) -> Int {
    (cpu * Self.kinds + kind.rawValue) * writers
  }

  // MARK: Writers

  /// The number of the writer's next send.
  func number(by writer: Int, _ kind: SendKind, _ cpu: Int) -> UInt64 {
    issued.load(row(cpu, kind) + writer) + 1
  }

  /// Writes the datum of a send. Relaxed: the send is what publishes it.
  func issue(_ number: UInt64, by writer: Int, _ kind: SendKind, _ cpu: Int) {
    issued.store(row(cpu, kind) + writer, number)
  }

  /// The send of this number was accepted.
  func promise(_ number: UInt64, by writer: Int, _ kind: SendKind, _ cpu: Int) {
    promised.storeReleasing(row(cpu, kind) + writer, number)
  }

  func seen(of writer: Int, _ kind: SendKind, _ cpu: Int) -> UInt64 {
    seen.load(row(cpu, kind) + writer)
  }

  /// A send that the library has to have in its account.
  func account(_ kind: SendKind, _ cpu: Int, _ count: UInt64 = 1) {
    sent.add(cpu * Self.kinds + kind.rawValue, count)
  }

  func sent(_ kind: SendKind, _ cpu: Int) -> UInt64 { sent.load(cpu * Self.kinds + kind.rawValue) }

  /// A number above all that were drawn before.
  func drawMaximum() -> UInt64 { drawn.add(0) }
  /// What a send without a payload stands for.
  var drawnMaximum: UInt64 { drawn.load(0) }
  func promiseMaximum(_ number: UInt64, _ cpu: Int) { highest.raise(cpu, to: number) }

  // MARK: Handlers

  /// Whether no other handler runs for the CPU.
  func enter(_ cpu: Int) -> Bool { inside.exchange(cpu, 1) == 0 }
  func leave(_ cpu: Int) { _ = inside.exchange(cpu, 0) }

  /// The handler of a type copies what these writers wrote.
  func copy(_ kind: SendKind, _ cpu: Int, of writers: Range<Int>) {
    let row = row(cpu, kind)
    for index in writers.clamped(to: 0..<self.writers) {
      let number = issued.load(row + index)
      if number > seen.load(row + index) { seen.store(row + index, number) }
    }
  }

  func tellMaximum(_ number: UInt64, _ cpu: Int) { told.raise(cpu, to: number) }
  func countRun(_ kind: SendKind, _ cpu: Int) { runs.add(cpu * Self.kinds + kind.rawValue) }
  func runs(_ kind: SendKind, _ cpu: Int) -> UInt64 { runs.load(cpu * Self.kinds + kind.rawValue) }

  // MARK: Owners

  /// The words of a CPU, one after the other.
  var width: Int { Self.kinds * writers }

  func readPromises(to cpu: Int, into numbers: inout [UInt64]) {
    for offset in 0..<width { numbers[offset] = promised.loadAcquiring(cpu * width + offset) }
    numbers[width] = highest.loadAcquiring(cpu)
  }

  /// What has been written so far: a thread that begins to be this CPU has seen it by itself.
  func readIssued(to cpu: Int, into numbers: inout [UInt64]) {
    for offset in 0..<width { numbers[offset] = issued.loadInOrder(cpu * width + offset) }
    numbers[width] = drawn.loadInOrder(0)
  }

  /// The first promise that is kept neither by a handler nor by the thread's own look at its beginning.
  func broken(_ promises: [UInt64], of cpu: Int, beginning: [UInt64]) -> String? {
    for offset in 0...width where promises[offset] > beginning[offset] {
      let seen = offset == width ? told.load(cpu) : seen.load(cpu * width + offset)
      if promises[offset] <= seen { continue }
      if offset == width { return "the maximum \(promises[offset]), and was told \(seen)" }
      let kind = SendKind(rawValue: offset / writers).map { "\($0)" } ?? ""
      return
        "send \(promises[offset]) of type \(kind) by writer \(offset % writers), and has seen \(seen)"
    }
    return nil
  }
}
