// SPDX-License-Identifier: Apache-2.0

internal import CPlatform

extension GracePeriodCallbacks {
  /// What the service's thread has: the service itself only while it works, so that letting go of
  /// it ends the thread.
  private final class Service: Sendable {
    private let bell: Bell
    private let avoided: [Int32]
    private let body: @Sendable () -> Bool?

    /// `body` does what there is to do, and tells whether there is more to wait for; nil when
    /// nobody refers to it any more.
    init(_ bell: Bell, avoiding avoided: [Int32], _ body: @escaping @Sendable () -> Bool?) {
      self.bell = bell
      self.avoided = avoided
      self.body = body
    }

    func run() {
      unsafe avoided.withUnsafeBufferPointer {
        _ = unsafe cpi_avoid_processors($0.baseAddress, Int32($0.count))
      }
      while let hasMore = body() {
        // A grace period ends without anybody telling: the service looks again, never often.
        bell.parker.park(
          until: Deadline(after: hasMore ? .microseconds(200) : nil))
      }
    }
  }

  func start() throws(IsolationError) {
    state.withLock { $0.hasThread = true }
    let configuration = coordinator.configuration
    let service = Service(
      bell, avoiding: configuration.isolated.compactMap(configuration.processor(of:))
    ) { [weak self] in self?.serve() }
    let context = unsafe Unmanaged.passRetained(service)
    var handle: UInt64 = 0
    let error = unsafe cpi_start_thread(
      0,
      { context in
        _ = unsafe cpi_set_thread_name("cpu/callbacks")
        unsafe Unmanaged<Service>.fromOpaque(context.unsafelyUnwrapped).takeRetainedValue().run()
      }, context.toOpaque(), &handle)
    if error != 0 {
      unsafe context.release()
      throw IsolationError(
        .threadCreationFailed, errno: error, "cannot start the thread of grace period callbacks")
    }
    _ = cpi_detach_thread(handle)
  }

  /// One round of the service: whether there is more to wait for.
  private func serve() -> Bool {
    runReady()
    let (hasMore, isKept) = state.withLock { state in
      if state.retired != state.completed { return (true, false) }
      defer { state.isKept = false }
      return (false, state.isKept)
    }
    // The caller holds a reference of its own for as long as it is in here.
    if isKept { unsafe Unmanaged.passUnretained(self).release() }
    return hasMore
  }
}
