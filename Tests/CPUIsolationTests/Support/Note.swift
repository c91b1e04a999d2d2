// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

/// What a cross call writes when it runs, and what it does besides.
///
/// A call holds no reference to its context, and the optimiser ends a local's life at its last use:
/// so notes are kept until the tests are over.
final class Note: Sendable {
  private static let kept = Guarded<[Note]>([])

  private let text: String
  private let journal: Journal<String>
  private let action: @Sendable () -> Void

  init(_ text: String, _ journal: Journal<String>, _ action: @escaping @Sendable () -> Void = {}) {
    self.text = text
    self.journal = journal
    self.action = action
    Self.kept.withLock { $0.append(self) }
  }

  func makeCall(isInterruptSafe: Bool = false) -> CrossCall {
    unsafe CrossCall(context: context, isInterruptSafe: isInterruptSafe, Note.function)
  }

  var context: UnsafeMutableRawPointer { unsafe Unmanaged.passUnretained(self).toOpaque() }

  static let function: CPUFunction = { context, _ in
    unsafe Unmanaged<Note>.fromOpaque(context!)._withUnsafeGuaranteedRef { note in
      note.journal.append(note.text)
      note.action()
    }
  }
}
