// SPDX-License-Identifier: Apache-2.0

internal import CPlatform

/// A thread of the library's own: the watchdog, the reclaimer, the one that runs callbacks.
///
/// It inherits nothing from the thread that starts it, which may be an isolated CPU: all signals are
/// blocked, the scheduling class is the ordinary one, and it runs on the processors of the process
/// less those of isolated CPUs.
struct ServiceThread: Sendable {
  let name: String
  let handle: UInt64
  /// Why it is not placed as it should be: `ENODEV` where isolated CPUs have every processor of the
  /// process, else what the system refused; 0 where it is.
  let placement: Int32

  /// Starts one, which runs `body` with `context` and names itself first.
  ///
  /// The error is that of the system.
  static func start(
    _ name: StaticString, avoiding processors: ProcessorSet, _ context: UnsafeMutableRawPointer,
    _ body: @escaping @convention(c) (UnsafeMutableRawPointer?) -> Void
  ) throws(SystemError) -> ServiceThread {
    var handle: UInt64 = 0
    var placement: Int32 = 0
    var mask = processors.mask
    // Safety: the C function copies the mask, and passes the context on as it is.
    let error = unsafe cpi_start_service(&mask, body, context, &handle, &placement)
    if error != 0 { throw SystemError(number: error) }
    return ServiceThread(name: "\(name)", handle: handle, placement: placement)
  }

  /// Places the calling thread, which is such a thread, anew; returns as `placement`.
  static func place(avoiding processors: ProcessorSet) -> Int32 {
    var mask = processors.mask
    // Safety: the C function reads the mask.
    return unsafe cpi_place_service(&mask)
  }
}

/// The number that a system call failed with.
struct SystemError: Error {
  var number: Int32
}
