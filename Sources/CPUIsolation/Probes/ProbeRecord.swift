// SPDX-License-Identifier: Apache-2.0

internal import CPlatform
internal import Synchronization

/// What is attached to a point: constant from its publication to the end of the grace period after
/// it was taken out.
@safe
struct ProbeRecord: ~Copyable {
  /// What a hit does.
  enum Kind: UInt8 {
    case count, tally, values, latency, trace, call
  }

  let kind: Kind
  /// Whether it needs an activation: it does something when the hit's scope ends.
  let isReturning: Bool
  /// Whether it measures, and nothing else: no filter, no maximum.
  let isPlainLatency: Bool
  /// The probe's number: where its counts are. Another probe gets it when this one has gone.
  let number: Int
  /// Its registration, which is unique in the registry.
  let registration: UInt64
  /// Which argument is counted or measured.
  let argument: Int
  /// The program of the filter; nil asks nothing.
  let filter: Address?
  /// What is counted into, or the boxed functions.
  let context: Address?
  let event: TraceEvent
  let coordinator: CoordinatorCore?
  /// The most activations at once; 0 is as many as there are.
  let maximumActive: UInt64
  /// The activations that have begun and not ended, where there is a maximum.
  let active = SharedWord(0)

  init(
    kind: Kind, isReturning: Bool, number: Int, registration: UInt64, argument: Int,
    filter: Address?,
    context: Address?, event: TraceEvent, coordinator: CoordinatorCore?,
    maximumActive: UInt64
  ) {
    self.kind = kind
    self.isReturning = isReturning
    isPlainLatency = kind == .latency && filter == nil && maximumActive == 0
    self.number = number
    self.registration = registration
    self.argument = argument
    self.filter = filter
    self.context = context
    self.event = event
    self.coordinator = coordinator
    self.maximumActive = maximumActive
  }

  /// Number and registration in one word; 0 where the registration does not fit.
  var name: UInt64 {
    if registration >= 1 &<< (64 - Self.numberBits) { return 0 }
    return registration &<< Self.numberBits | UInt64(truncatingIfNeeded: number)
  }

  /// A registry has 2²⁰ probes at most.
  static var numberBits: UInt64 { 20 }

  /// The words of a probe in a stripe of counts: hits that did something, hits that the filter
  /// refused, and activations that found no room.
  static var countWords: Int { 3 }
}
