// SPDX-License-Identifier: Apache-2.0

extension CurrentThread {
  /// Traps if the calling thread is inside a handler or a cross call, where it must not wait.
  static func requireMayWait(_ action: String, _ file: StaticString, _ line: UInt) {
    if CurrentThread.isHelping {
      misuse(
        "a thread that works on behalf of a CPU must not \(action) inside a handler", file, line)
    }
    guard let slot = CurrentThread.slot else { return }
    if slot.owner.special.load(ordering: .relaxed) & OwnerFlags.inHandler != 0 {
      misuse(
        "CPU \(OwnerTransitions.number(slot)) must not \(action) inside a handler", file, line)
    }
  }

  /// One step of a waiting loop: a waiter that is itself a CPU serves what is asked of it
  /// meanwhile.
  static func serveOwnCPU() {
    guard !CurrentThread.isHelping, let slot = CurrentThread.slot else { return }
    let context = ContextWord(rawValue: ContextTracker(slot).ownContext).context
    switch context {
    case .kernel?: OwnerTransitions.safePoint(slot)
    case .user?, .guest?:
      // Everything, not only what is urgent: two CPUs may wait for each other's deferred work, of
      // which catch-up types leave nothing in K.
      if slot.state.work.load(ordering: .relaxed) != 0 || Drain(slot).mayLag {
        OwnerTransitions.serveOutside(slot, in: context!)
      }
    default: break
    }
  }
}
