// SPDX-License-Identifier: Apache-2.0

extension WorkSender where Self: ~Copyable {
  /// Sends work to every CPU of a mask, and gives a ticket to ask when it has taken effect.
  ///
  ///     let ticket = coordinator.sendWithTicket(flush, to: [2, 3])
  ///     try await ticket.wait(until: .executed, timeout: .seconds(1))
  ///
  /// It costs one addition to a word that all ticketed senders of the type share; sends without
  /// ticket pay nothing. Not while another thread unregisters the type: a ticket that is drawn after
  /// its last look may stay pending, so that such a wait needs a timeout.
  ///
  /// - Parameters:
  ///   - work: a type that the coordinator has registered; of any other nothing is sent.
  ///   - mask: the targets. A member that is no CPU of the coordinator ends the process with a
  ///     sentence.
  ///   - payload: what the handler is told, merged with what waits; `.everything` is for all types.
  ///   - urgency: when the work has to run: at the target's next entry (`.deferrable`), at once by
  ///     a kick (`.immediate`), or at once by the caller where the type allows that (`.onBehalf`).
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  /// - Returns: what to ask or to wait on for the effect. Its `report` says what became of the
  ///   send, by CPU.
  /// - Progress: wait-free for `.deferrable`; with a payload lock-free
  /// - Context: the sender's thread
  /// - Allocates: never for CPUs below 128
  @inlinable
  public func sendWithTicket(
    _ work: WorkType, to mask: CPUMask, payload: WorkType.Payload = .everything,
    urgency: WorkType.Urgency = .deferrable, file: StaticString = #fileID, line: UInt = #line
  ) -> Ticket {
    var ticket = Ticket(coordinator, work.type)
    ticket.generation = path.sendDrawingGeneration(
      work, to: mask, payload: payload, urgency: urgency, from: CallSite(file, line),
      into: &ticket.sent)
    return ticket
  }

  /// Sends work to those CPUs of a mask that a predicate picks, and gives a ticket to ask when it has
  /// taken effect.
  ///
  ///     let ticket = coordinator.sendWithTicket(flush, to: [2, 3]) { hasSeen[$0] }
  ///
  /// Everything else is as without a predicate.
  ///
  /// - Parameters:
  ///   - work: a type that the coordinator has registered; of any other nothing is sent.
  ///   - mask: the targets. A member that is no CPU of the coordinator ends the process with a
  ///     sentence.
  ///   - payload: what the handler is told, merged with what waits; `.everything` is for all types.
  ///   - urgency: when the work has to run: at the target's next entry (`.deferrable`), at once by
  ///     a kick (`.immediate`), or at once by the caller where the type allows that (`.onBehalf`).
  ///   - file: the caller's file, for messages and traces.
  ///   - line: the caller's line.
  ///   - predicate: asked once for each target, just before the send; the targets that it refuses
  ///     are `.skipped`.
  /// - Returns: what to ask or to wait on for the effect. Its `report` says what became of the
  ///   send, by CPU.
  /// - Progress: wait-free for `.deferrable`; with a payload lock-free
  /// - Context: the sender's thread
  /// - Allocates: never for CPUs below 128
  public func sendWithTicket(
    _ work: WorkType, to mask: CPUMask, payload: WorkType.Payload = .everything,
    urgency: WorkType.Urgency = .deferrable, file: StaticString = #fileID, line: UInt = #line,
    where predicate: (Int) -> Bool
  ) -> Ticket {
    let path = self.path
    let site = CallSite(file, line)
    if payload != .everything { path.requireMerging(work, site) }
    var ticket = Ticket(coordinator, work.type)
    (ticket.generation, ticket.sent) = path.sendDrawingGeneration(
      work, payload.rawValue, to: mask, urgency, from: site, where: predicate)
    return ticket
  }
}
