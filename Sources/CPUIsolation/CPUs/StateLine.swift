// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// What senders and the owner share: one line, one transfer per send.
@usableFromInline
struct StateLine: ~Copyable {
  /// W, the state word. Only the owner writes it.
  @usableFromInline let word = SharedWord(ContextWord.offline.rawValue)
  /// K, the work word. Anyone sets bits, takers clear them.
  @usableFromInline let work = SharedWord(0)
  /// The try-lock of whoever runs this CPU's work on its behalf: 0, or the helper's thread id;
  /// `Drain.endedHelper` where that thread has ended and the CPU is on its way in.
  @usableFromInline let pin = SharedWord(0)
  /// 1 from the beginning of an attachment to the end of the detachment: wider than W's "not
  /// offline", since a thread still has things to do after it has published offline.
  @usableFromInline let isOwned = SharedWord(0)
  /// How many threads have attached to the slot so far; 0 is nobody ever.
  @usableFromInline let incarnation = SharedWord(0)
  /// The thread to signal, the way to reach it and its role: constant while a thread is attached.
  @usableFromInline let reach = SharedWord(0)
  /// How many helpers are through with this CPU's work; written by the holder of the pin.
  let helps = SharedWord(0)
  /// Not 0 where the watchdog is to kick again: a signal handler left work that made more of itself,
  /// or the system refused a signal, with the error whose number stands in the upper half.
  let kickAgain = SharedWord(0)
  /// How many kicks the system has refused.
  let refusedKicks = SharedWord(0)

  /// The work that the holder of the pin has taken and not run: 0 is none.
  let helpTaken = SharedWord(0)

  init() {}
}
