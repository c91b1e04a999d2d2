// SPDX-License-Identifier: Apache-2.0

/// What goes wrong around the library while a run lasts, and what it has to bear.
enum Fault: String, CaseIterable {
  case delay, yield, kill, affinity, membarrier, signals, memory, exhaust, stop, fork

  var sentence: String {
    switch self {
    case .delay: "threads are held up at numbered points, and by a signal wherever they are"
    case .yield: "threads give the processor away, at the same places"
    case .kill: "threads that are CPUs end without detaching, in user and in kernel"
    case .affinity: "threads are not bound to processors: EPERM"
    case .membarrier: "the system has no membarrier: ENOSYS"
    case .signals: "signals are refused to senders, and cannot be queued: EAGAIN"
    case .memory: "no memory is mapped, and no threads are made: ENOMEM, EAGAIN"
    case .exhaust: "all work types, records, rings and entries are taken"
    case .stop: "the process is stopped, and goes on after up to half a second"
    case .fork: "the process forks, and the child uses what it has"
    }
  }
}
