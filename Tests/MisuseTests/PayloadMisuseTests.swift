// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

@Suite("Payloads of types that have none")
struct PayloadMisuseTests {
  enum Mistake: String, CaseIterable, Codable {
    case toBit, toCatchUp, toBitWithTicket, nothingToTell

    var sentence: String {
      switch self {
      case .toBit, .toCatchUp, .toBitWithTicket:
        "work type 0 has no payload: its delivery is not merging"
      case .nothingToTell: "plain has nothing to tell its handler: its delivery is a bit"
      }
    }

    var delivery: WorkType.Delivery {
      switch self {
      case .toCatchUp: .catchUp
      case .toBit, .toBitWithTicket, .nothingToTell: .bit
      }
    }

    func make(_ coordinator: Coordinator, _ work: WorkType) throws {
      switch self {
      case .toBit, .toCatchUp: coordinator.send(work, to: [1] as CPUMask, payload: .range(4..<5))
      case .toBitWithTicket:
        _ = coordinator.sendWithTicket(work, to: [1], payload: .range(4..<5))
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
