// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

#if !DEBUG  // Unoptimised generic code of the standard library allocates.
  extension HotPathTests {
    /// What a metrics system reads.
    @Suite struct Samples {
      private static func coordinator(cpus: Int) throws -> Coordinator {
        let coordinator = try Coordinator(
          .init(housekeeping: [0], isolated: CPUMask(1..<cpus), pinning: .none))
        for number in 0..<4 {
          let work = try coordinator.register("work \(number)") { _ in }
          coordinator.send(work, to: coordinator.isolated)
        }
        return coordinator
      }

      /// How often a snapshot and a walk through its samples allocate.
      private static func allocations(_ coordinator: Coordinator, perCPU: Bool) -> Int {
        var sum = 0.0
        func scrape() {
          for sample in coordinator.statistics().samples(perCPU: perCPU) { sum += sample.value }
        }
        // Whatever is made on first use is made here.
        scrape()
        let rounds = 10
        let counts = Counting.of(rounds, scrape)
        #expect(sum > 0)
        return counts.allocations / rounds
      }

      @Test(
        "a scrape of 64 CPUs allocates for none of them", arguments: [false, true])
      func scrape(perCPU: Bool) throws {
        let few = Self.allocations(try Self.coordinator(cpus: 2), perCPU: perCPU)
        let many = Self.allocations(try Self.coordinator(cpus: 64), perCPU: perCPU)
        // Arrays that grow by doubling are allocated a few times more. One allocation for each of the 62 CPUs more would be
        // seen, and so would one for each of their cells.
        #expect(few > 0 && many < few + 62, "\(few) for 2 CPUs, \(many) for 64")
      }
    }
  }
#endif
