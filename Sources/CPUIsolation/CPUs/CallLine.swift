// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// Cross calls and sleep.
@usableFromInline
struct CallLine: ~Copyable {
  let calls = Inbox()
  let patientCalls = Inbox()
  let parker = Parker()

  init() {}
}
