// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation
internal import Dispatch

/// What the rows on catching up run on: a coordinator of their own, with 64 CPUs whose threads sleep
/// in user, and one for the thread that measures.
final class CatchUpStage: Sendable {
  static let targets = CPUMask(1..<65)
  private static let ownCPU = 65

  let coordinator: Coordinator
  /// A type that catches up, and one of bits.
  let catchUp: WorkType
  let bit: WorkType
  private let isOver = DispatchSemaphore(value: 0)
  private let threads: [CPUThread]

  static let shared = try? CatchUpStage()

  private init() throws(IsolationError) {
    var configuration = Coordinator.Configuration(
      housekeeping: [0], isolated: Self.targets.union([Self.ownCPU]))
    configuration.pinning = .none
    coordinator = try Coordinator(configuration)
    var options = WorkType.Options()
    bit = try coordinator.register("bit") { _ in }
    options.delivery = .catchUp
    catchUp = try coordinator.register("catch up", options: options) { _ in }
    let isInUser = DispatchSemaphore(value: 0)
    var threads: [CPUThread] = []
    var options64 = CPUThread.Options()
    options64.stackSize = 64 << 10
    for target in Self.targets {
      let isOver = self.isOver
      threads.append(
        try coordinator.launch(on: target, options: options64) { cpu in
          cpu.inUser {
            isInUser.signal()
            isOver.wait()
          }
        })
      isInUser.wait()
    }
    self.threads = threads
  }

  /// Runs `body` on a thread of its own, which is a CPU in user. Not a number if there is no
  /// coordinator or no thread to be had.
  static func run(
    _ body: @escaping @Sendable (CatchUpStage, borrowing LocalCPU) -> Double
  ) -> Double {
    guard let stage = shared else { return .nan }
    return OtherThread.run {
      guard let local = try? stage.coordinator.attach(to: ownCPU) else { return .nan }
      local.enterUser()
      let result = body(stage, local)
      local.enterKernel()
      local.detach()
      return result
    }
  }

  /// Runs `body` with a sender of its own.
  static func run(
    sending body: @escaping @Sendable (CatchUpStage, borrowing Sender) -> Double
  ) -> Double {
    guard let stage = shared else { return .nan }
    return OtherThread.run {
      guard let sender = try? stage.coordinator.makeSender() else { return .nan }
      return body(stage, sender)
    }
  }
}
