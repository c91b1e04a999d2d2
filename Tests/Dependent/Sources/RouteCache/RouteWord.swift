// SPDX-License-Identifier: Apache-2.0
//
// The seam between this package's protocol and the machine's memory: the one file that knows of the
// trait.

#if ModelChecking
  import CPUIsolation

  typealias RouteWord = ModelAtomic<UInt64>
#else
  import Synchronization

  typealias RouteWord = Atomic<UInt64>
#endif
