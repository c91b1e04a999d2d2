// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

/// One case of the deferral stress: what is printed when it fails is what reproduces it.
struct DeferralScenario: Sendable, CustomTestStringConvertible, CustomStringConvertible {
  var seed: UInt64
  var senders = 2
  var isolated = 1
  var types = 3
  var interrupter = Interrupter.poll
  var expectsManySenders = false
  var urgencies: [WorkType.Urgency] = [.deferrable]
  /// Whether handlers send to their own CPU.
  var handlersSend = false
  /// Whether senders have no slot of their own.
  var sharesSlot = false
  var tickets = false
  var seconds = 0.5

  var description: String {
    "seed \(seed): \(senders) senders, \(isolated) isolated, \(types) types, \(interrupter), \(urgencies)"
      + (expectsManySenders ? ", many senders" : "") + (handlersSend ? ", handlers send" : "")
      + (sharesSlot ? ", shared slot" : "") + (tickets ? ", tickets" : "")
  }
  var testDescription: String { description }

  static let all: [DeferralScenario] = [
    DeferralScenario(seed: 1),
    DeferralScenario(seed: 2, senders: 1, types: 1, tickets: true),
    DeferralScenario(seed: 3, isolated: 2, types: 5, handlersSend: true),
    DeferralScenario(seed: 4, senders: 3, expectsManySenders: true),
    DeferralScenario(seed: 5, isolated: 2, urgencies: [.deferrable, .immediate], tickets: true),
    DeferralScenario(
      seed: 6, isolated: 2, interrupter: .signal, urgencies: [.deferrable, .immediate],
      handlersSend: true),
    DeferralScenario(seed: 7, isolated: 2, urgencies: [.deferrable, .onBehalf], tickets: true),
    DeferralScenario(
      seed: 8, senders: 3, isolated: 2, interrupter: .signal, expectsManySenders: true,
      urgencies: [.deferrable, .immediate, .onBehalf], handlersSend: true, sharesSlot: true,
      tickets: true),
    DeferralScenario(
      seed: 9, senders: 8, isolated: 8, types: 4, urgencies: [.deferrable, .immediate, .onBehalf],
      tickets: true),
  ]
}
