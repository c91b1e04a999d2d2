// SPDX-License-Identifier: Apache-2.0

/// The numbered points at which threads are held up.
enum FaultPoint: Int, CaseIterable {
  case beforeSend = 1
  case afterSend, inPredicate, inHandler, inCall, inUser, inKernel, beforeWait, whileHolding
  case beforeReuse, inReclaimer, inCallback
}
