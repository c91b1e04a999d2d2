// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A signal every 200 µs, to whatever thread the kernel takes. One at a time.
enum AlarmTimer {
  static func start(_ handler: @escaping @convention(c) (Int32) -> Void) {
    var action = sigaction()
    unsafe action.__sigaction_handler.sa_handler = handler
    action.sa_flags = SA_RESTART
    unsafe sigaction(SIGALRM, &action, nil)
    set(timeval(tv_sec: 0, tv_usec: 200))
  }

  /// A handler may go on on another thread when it returns.
  static func stop() {
    set(timeval())
    signal(SIGALRM, SIG_IGN)
  }

  private static func set(_ interval: timeval) {
    var timer = itimerval(it_interval: interval, it_value: interval)
    unsafe setitimer(__itimer_which_t(ITIMER_REAL.rawValue), &timer, nil)
  }
}
