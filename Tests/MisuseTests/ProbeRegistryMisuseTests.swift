// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

@Suite("Misuse of probes and lookup caches")
struct ProbeRegistryMisuseTests {
  @Test("a registry of a size that there is not", arguments: [0, -1, 1_048_577])
  func size(_ number: Int) async {
    let capacity = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [number] in
      _ = try ProbeRegistry(capacity: number)
    }
    capacity.expect(
      "a registry of probes cannot have \(number) points: it takes 1 to 1048576")
    let activations = await #expect(
      processExitsWith: .failure, observing: [\.standardErrorContent]
    ) { [number] in
      _ = try ProbeRegistry(capacity: 4, activations: number)
    }
    activations.expect(
      "a registry of probes cannot have \(number) activations: it takes 1 to 1048576")
  }

  @Test("a point without a name")
  func noName() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = ProbePoint<UInt64>("", "key", in: try ProbeRegistry(capacity: 4))
    }
    result.expect("a probe point has no name")
  }

  @Test("a point with fewer names than arguments")
  func fewNames() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = ProbePoint<(UInt64, Int)>("p", "key", in: try ProbeRegistry(capacity: 4))
    }
    result.expect("the probe point p has 2 arguments, and names for 1")
  }

  @Test("a point of seventeen arguments")
  func manyArguments() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = ProbePoint<
        (Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int)
      >(
        "p", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q",
        in: try ProbeRegistry(capacity: 4))
    }
    result.expect("the probe point p has 17 arguments: 16 are the most")
  }

  @Test("a second point of one name with other arguments")
  func otherArguments() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let registry = try ProbeRegistry(capacity: 4)
      _ = ProbePoint<UInt64>("p", "key", in: registry)
      _ = ProbePoint<UInt64>("p", "length", in: registry)
    }
    result.expect(
      "the probe point p was declared with the arguments [\"key\"] before, and with [\"length\"] now"
    )
  }

  @Test("changing probes inside a probe's function", arguments: 0..<3)
  func inside(_ action: Int) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [action] in
      let registry = try ProbeRegistry(capacity: 4)
      let point = ProbePoint<UInt64>("p", "key", in: registry)
      let other = try registry.attach(.count, to: "p")
      try registry.attach(
        .call { _ in
          switch action {
          case 0: _ = try? registry.attach(.count, to: "p")
          case 1: registry.remove([other])
          default: registry.setEnabled([other], false)
          }
        }, to: "p")
      point.hit(1)
    }
    let words = ["attach probes", "remove probes", "turn probes on or off"]
    result.expect("a probe's function must not \(words[action])", namesCaller: action == 0)
  }

  @Test("an argument that the hit does not have", arguments: [-1, 1])
  func argument(_ index: Int) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [index] in
      let registry = try ProbeRegistry(capacity: 4)
      let point = ProbePoint<UInt64>("p", "key", in: registry)
      try registry.attach(.call { hit in _ = hit[index] }, to: "p")
      point.hit(1)
    }
    result.expect(
      "a probe asked for argument \(index) of a point that has 1", namesCaller: false)
  }

  // MARK: Lookup caches

  @Test("a cache of a size that there is not", arguments: [1, 0, 1_048_577])
  func sets(_ sets: Int) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      [sets] in
      _ = try LookupCache<UInt64, UInt64>(Coordinator.make(), "cache", sets: sets)
    }
    result.expect(
      "a lookup cache cannot have \(sets) sets: it takes 2 to 1048576")
  }

  @Test("a cache with keys or values that are too large")
  func large() async {
    let key = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = try LookupCache<UInt128, UInt64>(Coordinator.make(), "cache")
    }
    key.expect(
      "a lookup cache cannot have a key of 16 bytes, UInt128: 8 are the most")
    let value = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = try LookupCache<UInt64, UInt128>(Coordinator.make(), "cache")
    }
    value.expect(
      "a lookup cache cannot have a value of 16 bytes, UInt128: 8 are the most")
  }

  @Test("a lookup in user, where what was invalidated may be there still")
  func inUser() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let coordinator = try Coordinator.make()
        let cache = try LookupCache<UInt64, UInt64>(coordinator, "cache")
        let cpu = try coordinator.attach(to: 1)
        let local = cache.open(on: cpu)
        cpu.enterUser()
        _ = local.lookUp(5, on: cpu) { $0 }
      }
    }
    result.expect(
      "CPU 1 looked up a key in user, where its cache may be old", namesCaller: false)
  }

  @Test("a cache that is opened by a CPU of another coordinator")
  func otherCoordinator() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      try onThisThread {
        let cache = try LookupCache<UInt64, UInt64>(Coordinator.make(), "cache")
        let cpu = try Coordinator.make().attach(to: 1)
        _ = cache.open(on: cpu)
      }
    }
    result.expect("CPU 1 opened a lookup cache of another coordinator")
  }
}
