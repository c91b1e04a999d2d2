// SPDX-License-Identifier: Apache-2.0

extension Coordinator {
  /// Makes a domain of hazard pointers whose fence is the transition: an isolated CPU in kernel
  /// protects by a plain store, and passes wait until it has left.
  ///
  ///     let domain = try coordinator.makeHazardDomain()
  ///     let routes = ProtectedReference(RoutingTable(), in: domain)
  ///     try coordinator.launch(on: 1) { cpu in
  ///       while !stop.load(ordering: .relaxed) {
  ///         cpu.inUser { spin() }
  ///         routes.withObject { table in serve(table) }  // two nanoseconds, whoever else reads
  ///       }
  ///     }
  ///
  /// Everybody else uses the same domain, by fences: housekeeping CPUs, which stay in kernel for as
  /// long as they like, isolated CPUs in user, and threads that are no CPU. No CPU is interrupted,
  /// and none in user is waited for. An isolated CPU that stays in kernel holds every reclamation of
  /// the domain back until it leaves; `HazardDomain.barrier` names it.
  ///
  /// What isolated CPUs retire is found by the library's thread, which looks each `maximumAge`: they
  /// ring no bell. The domain keeps the CPUs' memory, and may outlive the coordinator.
  ///
  /// - Parameters:
  ///   - reclamation: who runs the reclaimers.
  ///   - maximumAge: how long what nobody protects may wait for its reclaimer.
  ///   - maximumBytes: how many bytes may wait before a pass comes at once; nil is no limit.
  /// - Returns: the domain, for references and links that isolated CPUs read.
  /// - Throws: `outOfMemory`.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  public func makeHazardDomain(
    reclamation: HazardDomain.Reclamation = .thread,
    maximumAge: Duration = HazardDomain.defaultMaximumAge, maximumBytes: Int? = nil
  ) throws(IsolationError) -> HazardDomain {
    try HazardDomain(
      fencing: HazardFencing.byTransition, reclamation: reclamation, maximumAge: maximumAge,
      maximumBytes: maximumBytes, slots: core.slots, isolated: isolated, home: registry)
  }

  /// The same with another fence than the transition.
  ///
  /// - Parameters:
  ///   - fence: how a reader's store and look are kept in order.
  ///   - reclamation: who runs the reclaimers.
  ///   - maximumAge: how long what nobody protects may wait for its reclaimer.
  ///   - maximumBytes: how many bytes may wait before a pass comes at once; nil is no limit.
  /// - Returns: the domain.
  /// - Throws: `fenceRefused` for `.membarrier` if the coordinator has isolated CPUs, which each pass
  ///   would interrupt, or if the system has none; `outOfMemory`.
  /// - Progress: blocking
  /// - Context: any thread
  /// - Allocates: yes
  public func makeHazardDomain(
    fence: HazardDomain.Fence, reclamation: HazardDomain.Reclamation = .thread,
    maximumAge: Duration = HazardDomain.defaultMaximumAge, maximumBytes: Int? = nil
  ) throws(IsolationError) -> HazardDomain {
    if fence == .membarrier, !isolated.isEmpty {
      throw IsolationError(
        .fenceRefused, "a membarrier would interrupt the isolated CPUs \(isolated)")
    }
    return try HazardDomain(
      fence: fence, reclamation: reclamation, maximumAge: maximumAge, maximumBytes: maximumBytes)
  }
}
