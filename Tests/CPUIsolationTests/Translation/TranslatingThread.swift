// SPDX-License-Identifier: Apache-2.0

@testable import CPUIsolation

/// A scripted CPU that has an address space open from one step to the next.
final class TranslatingThread: Sendable {
  let cpu: ScriptedThread
  private let view = View()

  /// What the thread keeps between its steps.
  // Sendable: only the scripted thread looks at it.
  private final class View: @unchecked Sendable {
    var translations: AddressSpace.LocalTranslations? = nil
  }

  init(_ coordinator: Coordinator, on cpu: Int, _ space: AddressSpace) throws {
    self.cpu = try ScriptedThread(coordinator, on: cpu)
    try open(space)
  }

  func open(_ space: AddressSpace) throws {
    try cpu.run { [view] cpu in view.translations = space.open(on: cpu) }
  }

  func close() throws { try cpu.run { [view] _ in view.translations = nil } }

  /// Looks a page up, in the context that the thread is in.
  func lookUp(_ page: UInt64) throws -> UInt64? {
    try cpu.run { [view] cpu in view.translations!.lookUp(page, on: cpu) }
  }

  /// Begins to be lazy, until the flag is raised; returns when it is.
  func startLazy(until stop: Flag) -> Step<Void> {
    let isLazy = Flag()
    let step = cpu.start { [view] cpu in
      view.translations!.whileLazy(on: cpu) {
        isLazy.raise()
        stop.wait()
      }
    }
    isLazy.wait()
    return step
  }

  func end() throws {
    try close()
    try cpu.end()
  }
}
