// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Whether the condition holds, now or within a time that any machine keeps.
func eventually(
  within timeout: Duration = .seconds(120), _ condition: () throws -> Bool
) rethrows -> Bool {
  let limit = ContinuousClock.now + timeout
  while try !condition() {
    if ContinuousClock.now >= limit { return false }
    usleep(100)
  }
  return true
}
