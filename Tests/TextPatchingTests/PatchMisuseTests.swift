// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CPUIsolationTextPatching
import Glibc
import Testing

extension TextPatchingTests {
  /// A mistake ends the process with a sentence, in release builds too.
  @Suite struct Misuse {
    private static func make() throws -> (Coordinator, TextPatcher, PatchSite) {
      let coordinator = try Coordinator.quiet()
      let patcher = try TextPatcher(coordinator: coordinator)
      return (coordinator, patcher, try patcher.makeSite("route", original: Functions.original))
    }

    @Test func correctUseEndsWell() async {
      await #expect(processExitsWith: .success) {
        try onThisThread {
          let (coordinator, patcher, site) = try Self.make()
          let cpu = try coordinator.attach(to: 1)
          _ = site(on: cpu, 1, 1)
          cpu.enterUser()
          try patcher.patch(site, to: .call(Functions.hook))
          cpu.enterKernel()
          _ = site(on: cpu, 1, 1)
          _ = site(on: cpu.handle, 1, 1)
          cpu.detach()
          patcher.close()
          coordinator.close()
        }
      }
    }

    @Test func calledInUser() async {
      let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        try onThisThread {
          let (coordinator, _, site) = try Self.make()
          let cpu = try coordinator.attach(to: 1)
          _ = site(on: cpu, 1, 1)
          cpu.inUser { _ = site(on: cpu, 1, 1) }
        }
      }
      result.expect("site route was called on CPU 1 in user: it has to be in kernel")
    }

    @Test func calledOnAnotherCoordinatorsCPU() async {
      let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        try onThisThread {
          let (_, _, site) = try Self.make()
          let cpu = try Coordinator.quiet(isolated: [1, 900]).attach(to: 900)
          _ = site(on: cpu, 1, 1)
        }
      }
      result.expect("site route was called on CPU 900 of another coordinator")
    }

    @Test func calledByAnotherThread() async {
      let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        try onThisThread {
          let (coordinator, _, site) = try Self.make()
          let cpu = try coordinator.attach(to: 1)
          let handle = cpu.handle
          TestThread { _ = site(on: handle, 1, 1) }.join()
        }
      }
      result.expect("site route was called on CPU 1 by another thread")
    }

    @Test func calledInsideAHandler() async {
      let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        try onThisThread {
          let (coordinator, _, site) = try Self.make()
          let cpu = try coordinator.attach(to: 1)
          let handle = cpu.handle
          let work = try coordinator.register("caller") { _ in _ = site(on: handle, 1, 1) }
          coordinator.send(work, to: 1)
        }
      }
      result.expect("site route was called on CPU 1 inside a handler")
    }

    @Test func patchedByAnotherPatcher() async {
      let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        let (coordinator, _, site) = try Self.make()
        try TextPatcher(coordinator: coordinator).patch(site, to: .nop)
      }
      result.expect("site route belongs to another text patcher")
    }

    @Test func patchedTwiceAtOnce() async {
      let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        let (_, patcher, site) = try Self.make()
        try patcher.patch([(site, .nop), (site, .call(Functions.hook))])
      }
      result.expect("site route is twice in one patch")
    }

    @Test func patchedInsideAHandler() async {
      let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        try onThisThread {
          let (coordinator, patcher, site) = try Self.make()
          let cpu = try coordinator.attach(to: 1)
          let work = try coordinator.register("patcher") { _ in
            _ = try? patcher.patch(site, to: .call(Functions.hook))
          }
          coordinator.send(work, to: 1)
          cpu.detach()
        }
      }
      result.expect("CPU 1 must not patch text inside a handler")
    }

    @Test func withoutSites() async {
      let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        _ = try TextPatcher(coordinator: try Coordinator.quiet(), capacity: 0)
      }
      result.expect("a text patcher has 1 to 1048576 sites, not 0")
    }
  }
}

extension ExitTest.Result? {
  /// Expects that the process left this sentence, as a line of its own on standard error.
  fileprivate func expect(_ sentence: String, sourceLocation: SourceLocation = #_sourceLocation) {
    guard let self else { return }
    let text = String(decoding: self.standardErrorContent, as: UTF8.self)
    let isSaid = text.split(separator: "\n").contains { $0 == "CPUIsolation: " + sentence }
    #expect(isSaid, "\(text)", sourceLocation: sourceLocation)
  }
}
