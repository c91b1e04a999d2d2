// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Synchronization
import Testing

extension HotPathTests {
  /// Objects that are taken and given back.
  @Suite struct Pools {
    private struct Element: ~Copyable, Sendable { var uses = 0 }

    @Test func ownRing() throws {
      let pool = try RawObjectPool(capacity: 8, objectBytes: 8, rings: 2)
      let local = pool.register()!
      var moved = 0
      Counting.expectFree {
        guard let object = unsafe local.pop() else { return }
        unsafe local.push(object)
        moved += 1
      }
      #expect(moved > 2000)
      #expect(pool.statistics.rings[0].steals == 0)
    }

    /// Every pop finds its own ring empty, and takes from the other one.
    @Test func theft() throws {
      let pool = try RawObjectPool(capacity: 8, objectBytes: 8, rings: 2)
      let local = pool.register()!
      let other = pool.register()!
      while let object = unsafe local.pop() {
        if pool.statistics.rings[1].free == 8 { break }
        unsafe other.push(object)
        if pool.statistics.rings[1].free == 8 { break }
      }
      let before = pool.statistics.rings[0].steals
      Counting.expectFree {
        guard let object = unsafe local.pop() else { return }
        unsafe other.push(object)
      }
      #expect(pool.statistics.rings[0].steals > before + 2000)
    }

    @Test func miss() throws {
      let pool = try RawObjectPool(capacity: 1, objectBytes: 8, rings: 2)
      let local = pool.register()!
      let object = unsafe local.pop()!
      Counting.expectFree { _ = unsafe local.pop() }
      #expect(pool.statistics.rings[0].misses > 2000)
      unsafe local.push(object)
    }

    @Test func withoutARing() throws {
      let pool = try RawObjectPool(capacity: 8, objectBytes: 8, rings: 2)
      var moved = 0
      Counting.expectFree {
        guard let object = unsafe pool.pop() else { return }
        unsafe pool.push(object)
        moved += 1
      }
      #expect(moved > 2000)
    }

    @Test func elements() throws {
      let pool = try ObjectPool(capacity: 8, rings: 2) { _ in Element() }
      let local = pool.register()!
      // Generic code is not specialised without optimisation.
      Counting.expectFree(.nothingInRelease) {
        guard var object = local.pop() else { return }
        object.element.uses += 1
        local.push(object)
      }
      Counting.expectFree(.nothingInRelease) {
        guard var object = local.pop() else { return }
        object.element.uses += 1
        // Out of scope: it goes back by itself.
      }
      #expect(pool.statistics.total.pops > 4000)
      #expect(pool.statistics.total.pops == pool.statistics.total.pushes)
    }

    @Test func callsWithMessages() throws {
      var configuration = Coordinator.Configuration(housekeeping: [0], isolated: [])
      configuration.pinning = .none
      configuration.watchdog = nil
      let coordinator = try Coordinator(configuration)
      let sum = Sum()
      let calls = try CrossCallPool(coordinator, of: Int.self, capacity: 4) { number, _ in
        sum.value.wrappingAdd(number, ordering: .relaxed)
      }
      let local = try coordinator.attach(to: 0)
      Counting.expectFree(.nothingInRelease) {
        calls.post(1, on: 0)
        local.safePoint()
      }
      #expect(sum.value.load(ordering: .relaxed) > 2000)
      local.detach()
      // Nobody is there: taken back unrun.
      Counting.expectFree(.nothingInRelease) { calls.post(1, on: 0) }
      #expect(calls.statistics.total.free == 4)
    }

    private final class Sum: Sendable {
      let value = Atomic<Int>(0)
    }

    @Test func registration() throws {
      let pool = try RawObjectPool(capacity: 8, objectBytes: 8, rings: 2)
      Counting.expectFree { _ = pool.register() }
    }

    @Test func afterTheClosing() throws {
      let pool = try RawObjectPool(capacity: 4000, objectBytes: 8, rings: 2)
      let local = pool.register()!
      var objects = (0..<4000).map { _ in unsafe UInt(bitPattern: local.pop()) }
      pool.close()
      Counting.expectFree {
        guard let object = objects.popLast() else { return }
        unsafe local.push(UnsafeMutableRawPointer(bitPattern: object).unsafelyUnwrapped)
      }
      #expect(objects.count < 2000)
    }
  }
}
