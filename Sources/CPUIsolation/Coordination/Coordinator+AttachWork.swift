// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

// Handlers that keep something per CPU up to date have to run for a thread that attaches as well:
// what was sent to the slot before is dropped, and counts as seen.
extension Coordinator {
  /// Runs the handler of a type for each thread that attaches from now on, before `attach` returns,
  /// and keeps what the handler works on for as long as the coordinator.
  func runAtAttach(_ work: WorkType, keeping memory: any AnyObject & Sendable) {
    registry.withLock { state in
      state.attachWork.append(work)
      state.kept.append(memory)
    }
  }

  /// Keeps a work type of a part of the library from being unregistered by others than that part.
  package func own(_ work: WorkType) { registry.withLock { _ = $0.ownedWork.insert(work) } }

  /// Gives such a type back: no thread runs it at its attachment any more.
  package func disown(_ work: WorkType) {
    registry.withLock { state in
      state.ownedWork.remove(work)
      state.attachWork.removeAll { $0 == work }
    }
  }

  /// What a thread that has just attached runs: sends to itself, which run at once and are
  /// accounted for like any other.
  ///
  /// A change that was published before its send's OR is seen here:
  /// - If the OR came before the attachment emptied K (`withdraw:T`), that exchange sees the change.
  /// - If it came after that, the take of this send (`drain:T`) sees it, or its bit is still to
  ///   come and waits for a safe point.
  ///
  /// False: the coordinator was closed meanwhile, the send was rejected, and the thread may have what
  /// is older than changes that had finished before.
  func runAttachWork(on cpu: Int, by path: SendPath) -> Bool {
    let works = registry.withLock { $0.attachWork }
    return works.allSatisfy {
      path.deliver($0, to: cpu, from: CallSite(#fileID, #line)) != .rejected(.closed)
    }
  }
}
