// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

@Suite("Payloads that say nothing, or are said to nobody")
struct PayloadMisuseTests {
  enum Mistake: String, CaseIterable, Codable {
    case empty, emptyWithTicket, emptyRange, toBit, toCatchUp, toBitWithTicket, nothingToTell

    var sentence: String {
      switch self {
      case .empty, .emptyWithTicket: "the payload of a send is empty: it says nothing"
      case .emptyRange: "the range 4..<4 of a payload is empty: it says nothing"
      case .toBit, .toCatchUp, .toBitWithTicket:
        "work type 0 has no payload: its delivery is not merging"
      case .nothingToTell: "plain has nothing to tell its handler: its delivery is a bit"
      }
    }

    var delivery: WorkType.Delivery {
      switch self {
      case .empty, .emptyWithTicket, .emptyRange: .merging(.hull)
      case .toCatchUp: .catchUp
      case .toBit, .toBitWithTicket, .nothingToTell: .bit
      }
    }

    func make(_ coordinator: Coordinator, _ work: WorkType) throws {
      let nothing = WorkType.Payload(rawValue: 0)
      switch self {
      case .empty: coordinator.send(work, payload: nothing, to: [1] as CPUMask)
      case .emptyWithTicket: _ = coordinator.sendWithTicket(work, payload: nothing, to: [1])
      case .emptyRange: coordinator.send(work, payload: .range(4..<4), to: [1] as CPUMask)
      case .toBit, .toCatchUp: coordinator.send(work, payload: .everything, to: [1] as CPUMask)
      case .toBitWithTicket:
        _ = coordinator.sendWithTicket(work, payload: .range(4..<5), to: [1])
      case .nothingToTell:
        _ = unsafe try coordinator.register("plain", options: .init(), context: nil) { _, _, _ in }
      }
    }
  }

  @Test("each ends the process with a sentence", arguments: Mistake.allCases)
  func mistake(_ mistake: Mistake) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [mistake] in
      let coordinator = try Coordinator.make()
      var options = WorkType.Options()
      options.delivery = mistake.delivery
      let work = try coordinator.register("work", options: options) { _ in }
      try mistake.make(coordinator, work)
    }
    result.expect(mistake.sentence)
  }
}
