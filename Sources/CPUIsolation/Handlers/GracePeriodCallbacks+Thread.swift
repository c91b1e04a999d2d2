// SPDX-License-Identifier: Apache-2.0

internal import CPlatform

extension GracePeriodCallbacks {
  /// What the service's thread has: the service itself only while it works, so that letting go of
  /// it ends the thread.
  private final class Service: Sendable {
    private let bell: Bell
    private let avoided: ProcessorSet
    private let registry: RegistryMemory
    private let body: @Sendable () -> Bool?

    /// `body` does what there is to do, and tells whether there is more to wait for; nil when
    /// nobody refers to it any more.
    init(
      _ bell: Bell, avoiding avoided: ProcessorSet, listedIn registry: RegistryMemory,
      _ body: @escaping @Sendable () -> Bool?
    ) {
      self.bell = bell
      self.avoided = avoided
      self.registry = registry
      self.body = body
    }

    func run() {
      let placement = ServiceThread.place(avoiding: avoided)
      registry.withLock { $0.services[CurrentThread.id] = ("cpu/callbacks", placement) }
      defer { registry.withLock { _ = $0.services.removeValue(forKey: CurrentThread.id) } }
      while let hasMore = body() {
        // A grace period ends without anybody telling: the service looks again, never often.
        bell.parker.park(
          until: Deadline(after: hasMore ? .microseconds(200) : nil))
      }
    }
  }

  func start() throws(IsolationError) {
    state.withLock { $0.hasThread = true }
    let avoided = coordinator.configuration.isolatedProcessors
    let service = Service(bell, avoiding: avoided, listedIn: coordinator.registry) {
      [weak self] in self?.serve()
    }
    // Safety: one reference, which the thread takes over, or this function if there is none.
    let context = unsafe Unmanaged.passRetained(service)
    do throws(SystemError) {
      let thread = try unsafe ServiceThread.start(
        "cpu/callbacks", avoiding: avoided, context.toOpaque()
      ) { context in
        _ = unsafe cpi_set_thread_name("cpu/callbacks")
        unsafe Unmanaged<Service>.fromOpaque(context.unsafelyUnwrapped).takeRetainedValue().run()
      }
      _ = cpi_detach_thread(thread.handle)
    } catch {
      unsafe context.release()
      throw IsolationError(
        .threadCreationFailed, errno: error.number,
        "cannot start the thread of grace period callbacks")
    }
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
    // Safety: the reference of `append`.
    if isKept { unsafe Unmanaged.passUnretained(self).release() }
    return hasMore
  }
}
