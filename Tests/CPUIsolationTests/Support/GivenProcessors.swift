// SPDX-License-Identifier: Apache-2.0

import Glibc

@testable import CPUIsolation

/// The processors that this process was given: by `taskset` or a container fewer than there are.
enum GivenProcessors {
  static let count = Array(ProcessorSet.given).count

  /// Whether threads can be on two processors, whose numbers are those of the machine.
  static let areAllOfSeveral = count > 1 && count == Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))
}
