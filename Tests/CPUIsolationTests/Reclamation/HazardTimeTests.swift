// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import CPUIsolation

/// When retired objects go: by time, without a barrier, and by bytes where somebody says bytes.
@Suite("When retired objects go")
struct HazardTimeTests {
  let ended = Counter()

  final class Table: Sendable {
    let ended: Counter
    init(_ ended: Counter) { self.ended = ended }
    deinit { ended.increment() }
  }

  private func rests(_ domain: HazardDomain) -> Bool {
    domain.core.scan.alarm.batches & 0xffff_ffff == 0
  }

  @Test("replaced objects that nobody reads go by themselves, and then nobody looks any more")
  func replaced() throws {
    let domain = try HazardDomain()
    let reference = ProtectedReference(Table(ended), in: domain)
    for round in 1...3 {
      for _ in 0..<10 { reference.replace(with: Table(ended)) }
      #expect(eventually { ended.value == 10 * round })
      #expect(eventually { rests(domain) })
    }
  }

  @Test("an object that is read goes after its last reader, while others have gone before")
  func read() throws {
    let domain = try HazardDomain()
    let reference = ProtectedReference(Table(ended), in: domain)
    reference.withObject { _ in
      for _ in 0..<5 { reference.replace(with: Table(ended)) }
      #expect(eventually { ended.value == 4 })
    }
    #expect(eventually { ended.value == 5 })
  }

  @Test("what a thread retired that has ended goes by itself")
  func endedThread() throws {
    let domain = try HazardDomain()
    let ended = self.ended
    try PlainThread.start { unsafe domain.retire(instance: .passRetained(Table(ended))) }.value()
    #expect(eventually { ended.value == 1 })
  }

  @Test("what an isolated CPU retires goes by itself, in any domain: it rings no bell")
  func isolated() throws {
    let domain = try HazardDomain()
    let coordinator = try Coordinator(.scripted())
    let byTransition = try coordinator.makeHazardDomain()
    let cpu = try ScriptedThread(coordinator, on: 1)
    let ended = self.ended
    for round in 1...3 {
      try cpu.run { _ in
        unsafe domain.retire(instance: .passRetained(Table(ended)))
        unsafe byTransition.retire(instance: .passRetained(Table(ended)))
      }
      try cpu.enterUser()
      #expect(eventually { ended.value == 2 * round })
      #expect(eventually { rests(domain) && rests(byTransition) })
      try cpu.enterKernel()
    }
    try cpu.end()
  }

  @Test("a chain, whose reclaimers retire the next object each, runs down by itself")
  func chain() throws {
    final class Link: Sendable {
      let left: Int
      let domain: HazardDomain
      let ended: Counter
      init(_ left: Int, _ domain: HazardDomain, _ ended: Counter) {
        (self.left, self.domain, self.ended) = (left, domain, ended)
      }
      deinit {
        ended.increment()
        if left > 0 { unsafe domain.retire(instance: .passRetained(Link(left - 1, domain, ended))) }
      }
    }
    let domain = try HazardDomain()
    unsafe domain.retire(instance: .passRetained(Link(3000, domain, ended)))
    #expect(eventually { ended.value == 3001 })
    #expect(eventually { rests(domain) })
  }

  @Test("the time is the domain's own; a barrier does not wait for it")
  func ownTime() throws {
    let domain = try HazardDomain(maximumAge: .seconds(Int64.max))
    for _ in 0..<10 { unsafe domain.retire(instance: .passRetained(Table(ended))) }
    usleep(200_000)
    #expect(ended.value == 0)
    #expect(domain.barrier() == .settled)
    #expect(ended.value == 10)
  }

  @Test("bytes: as many wait as may, whatever the time is")
  func bytesByThread() throws {
    let domain = try HazardDomain(maximumAge: .seconds(3600), maximumBytes: 4 << 20)
    for _ in 0..<103 {
      unsafe domain.retire(instance: .passRetained(Table(ended)), byteCount: 1 << 20)
    }
    // The last of them may be fewer than make a pass due.
    #expect(eventually { ended.value >= 100 })
    #expect(domain.core.scan.bytes.load(ordering: .relaxed) < 4 << 20)
    #expect(domain.barrier() == .settled)
    #expect(domain.core.scan.bytes.load(ordering: .relaxed) == 0)
  }

  @Test("bytes: whoever retires makes the pass that is due")
  func bytesByRetiring() throws {
    let domain = try HazardDomain(reclamation: .retiring, maximumBytes: 4 << 20)
    let reference = ProtectedReference(Table(ended), in: domain)
    for count in 1...100 {
      reference.replace(with: Table(ended), freeing: 1 << 20)
      #expect(count - ended.value < 4)
    }
  }

  @Test("no object is overlooked that is retired while the reclaimer goes to rest")
  func aroundRest() throws {
    let domain = try HazardDomain(maximumAge: .zero)
    let threads = (0..<3).map { _ in
      PlainThread.start {
        var overlooked = 0
        for _ in 0..<500 where overlooked == 0 {
          let ended = Counter()
          unsafe domain.retire(instance: .passRetained(Table(ended)))
          if !eventually({ ended.value == 1 }) { overlooked += 1 }
        }
        return overlooked
      }
    }
    for thread in threads { #expect(try thread.value() == 0) }
  }

  @Test("a batch that begins after the reclaimer's look keeps it from resting, or rings")
  func alarm() {
    let alarm = HazardAlarm()
    var mustRing = alarm.batchBegan()
    #expect(mustRing, "nobody looks")
    alarm.setWatched(true)
    mustRing = alarm.batchBegan()
    #expect(!mustRing, "somebody looks")
    let before = alarm.batches
    mustRing = alarm.batchBegan()
    var resting = alarm.rest(since: before)
    #expect(!mustRing && resting == nil, "one has begun since")
    resting = alarm.rest(since: alarm.batches)
    #expect(resting != nil)
    var isCalling = alarm.isCalling(since: resting!)
    #expect(!isCalling)
    mustRing = alarm.batchBegan()
    isCalling = alarm.isCalling(since: resting!)
    #expect(mustRing && isCalling, "nobody looks any more, and who listens hears it")
  }
}
