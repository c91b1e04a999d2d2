// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

/// How the child of a fork ended, as `waitpid` says it; nil if it did not, and had to be killed.
func end(of child: pid_t) throws -> Int32? {
  try #require(child > 0)
  var status: Int32 = 0
  if eventually(within: .seconds(60), { unsafe waitpid(child, &status, WNOHANG) == child }) {
    return status
  }
  kill(child, SIGKILL)
  return nil
}
