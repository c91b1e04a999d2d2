// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// One look at a machine: what was found, and what could not be seen.
struct Audit {
  let machine: Machine
  private(set) var findings: [Finding] = []
  private(set) var unseen: [Unseen] = []
  private var check = ""

  var processors: CPUMask { machine.processors }

  init(_ machine: Machine) {
    self.machine = machine
    for (name, look) in Self.processorChecks + Self.interruptChecks + Self.kernelChecks
      + Self.memoryChecks + Self.processChecks
    {
      check = name
      look(&self)
    }
  }

  typealias Check = (name: String, look: @Sendable (inout Audit) -> Void)

  /// Notes a finding of the check that runs, or under another name.
  mutating func find(
    _ summary: String, _ certainty: Finding.Certainty, _ evidence: [Finding.Evidence],
    because why: String, _ changes: [(Finding.Means, String)], as name: String? = nil
  ) {
    findings.append(
      Finding(
        check: name ?? check, summary: summary, certainty: certainty, evidence: evidence, why: why,
        changes: changes.map { Finding.Change(means: $0.0, what: $0.1) }))
  }

  /// Notes that the check that runs could not look.
  mutating func miss(_ reason: String) {
    unseen.append(Unseen(check: check, reason: reason))
  }

  // MARK: Words

  /// The processors that are looked at, for sentences.
  var place: String { Self.place(processors) }

  /// "processor 1", "processors 2-3".
  static func place(_ mask: CPUMask) -> String {
    mask.count == 1 ? "processor \(mask)" : "processors \(mask)"
  }

  /// "processor 1 is", "processors 2-3 are".
  static func named(_ mask: CPUMask) -> String {
    place(mask) + (mask.count == 1 ? " is" : " are")
  }

  /// "1 device", "3 devices".
  static func counted(_ count: Int, _ noun: String) -> String {
    "\(count) \(noun)\(count == 1 ? "" : "s")"
  }

  /// The processors that everything else may have: a list, and the same in words.
  var others: String { otherMask.isEmpty ? "OTHERS" : "\(otherMask)" }
  var otherWords: String {
    otherMask.isEmpty ? "OTHERS" : otherMask.hexWords(width: (machine.online.last ?? 0) + 1)
  }
  private var otherMask: CPUMask { machine.online.subtracting(processors) }

  // MARK: Reading

  /// A file without the blanks at its ends. Where it is not there, or may not be read, that is
  /// noted.
  mutating func value(_ path: String) -> String? {
    do {
      return Self.trimmed(try machine.files.text(path))
    } catch {
      miss("\(error)")
      return nil
    }
  }

  /// The same for a file that a system need not have: that it is missing is no reason for a note.
  mutating func valueIfPresent(_ path: String) -> String? {
    do {
      return Self.trimmed(try machine.files.text(path))
    } catch {
      if !error.isAbsence { miss("\(error)") }
      return nil
    }
  }

  /// The names in a folder that a system need not have.
  mutating func namesIfPresent(in path: String) -> [String] {
    do {
      return try machine.files.names(in: path)
    } catch {
      if !error.isAbsence { miss("\(error)") }
      return []
    }
  }

  /// A CPU list of a file; what is none is noted.
  mutating func list(_ path: String, ifPresent: Bool = false) -> CPUMask? {
    guard let text = ifPresent ? valueIfPresent(path) : value(path) else { return nil }
    // A kernel that was not asked for a list of nohz_full prints this for none.
    if text == "(null)" { return [] }
    if let mask = CPUMask(text) { return mask }
    miss("\(path) has no list of processors: \"\(text)\"")
    return nil
  }

  /// A mask in hexadecimal words of a file; what is none is noted.
  mutating func words(_ path: String, ifPresent: Bool = false) -> CPUMask? {
    guard let text = ifPresent ? valueIfPresent(path) : value(path) else { return nil }
    if let mask = CPUMask(hexWords: text) { return mask }
    miss("\(path) has no mask of processors: \"\(text)\"")
    return nil
  }

  /// A whole number of a file; what is none is noted.
  mutating func number(_ path: String, ifPresent: Bool = false) -> Int? {
    guard let text = ifPresent ? valueIfPresent(path) : value(path) else { return nil }
    if let number = Int(text) { return number }
    miss("\(path) has no number: \"\(text)\"")
    return nil
  }

  static func trimmed(_ text: String) -> String {
    let isBlank = { (letter: Character) in letter.isWhitespace || letter == "\0" }
    var rest = text.drop(while: isBlank)
    while let last = rest.last, isBlank(last) { rest.removeLast() }
    return String(rest)
  }
}
