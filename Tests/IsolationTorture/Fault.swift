// SPDX-License-Identifier: Apache-2.0

/// What goes wrong around the library while a run lasts, and what it has to bear.
enum Fault: String, CaseIterable {
  case delay, yield, kill, stop

  var sentence: String {
    switch self {
    case .delay: "threads are held up at numbered points, and by a signal wherever they are"
    case .yield: "threads give the processor away, at the same places"
    case .kill: "threads that are CPUs end without detaching, in user and in kernel"
    case .stop: "the process is stopped, and goes on after up to half a second"
    }
  }
}
