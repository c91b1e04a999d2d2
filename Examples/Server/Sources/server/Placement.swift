// SPDX-License-Identifier: Apache-2.0

import CMachine
import CPUIsolation
import CPUIsolationNIO
import Glibc
import NIOCore

/// Which processor a loop runs on. The library binds the threads that it launches, and leaves those of others alone.
enum Placement {
  /// The processors of those CPUs that have one of their own: that of the same number.
  static func processors(of cpus: CPUMask) -> CPUMask {
    let count = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    return CPUMask(cpus.filter { $0 < count })
  }

  /// Binds each loop to the processor of its CPU, if there is one.
  ///
  /// - Returns: the CPUs whose loop the system did not let go there.
  static func bind(_ loops: IsolatedEventLoops) async throws -> CPUMask {
    var refused = CPUMask()
    for (loop, cpu) in zip(loops.group.makeIterator(), loops.cpus)
    where processors(of: loops.cpus).contains(cpu) {
      if try await loop.submit({ bindThread(to: cpu) }).get() != 0 { refused.insert(cpu) }
    }
    return refused
  }

  /// Binds the calling thread: 0, or the error number where the system refuses.
  private static func bindThread(to processor: Int) -> Int32 {
    machine_bind(0, [Int32(processor)], 1)
  }
}
