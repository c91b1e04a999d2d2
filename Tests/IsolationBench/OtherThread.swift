// SPDX-License-Identifier: Apache-2.0

internal import CBenchmarkPeers

/// A thread that is no CPU and has no sender, for as long as one measurement takes.
enum OtherThread {
  // Sendable: the result is written before the thread ends and read after.
  private final class Errand: @unchecked Sendable {
    let body: @Sendable () -> Double
    var result = 0.0

    init(_ body: @escaping @Sendable () -> Double) { self.body = body }
  }

  /// Runs `body` there, on this thread's processor, and returns its result; not a number if no
  /// thread could be made.
  static func run(_ body: @escaping @Sendable () -> Double) -> Double {
    let errand = Errand(body)
    let context = unsafe Unmanaged.passUnretained(errand)
    let error = withExtendedLifetime(errand) {
      unsafe peer_run_on_thread(
        {
          let errand = unsafe Unmanaged<Errand>.fromOpaque($0!).takeUnretainedValue()
          errand.result = errand.body()
        }, context.toOpaque())
    }
    return error == 0 ? errand.result : .nan
  }
}
