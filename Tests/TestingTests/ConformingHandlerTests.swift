// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CPUIsolationTesting
import Testing

/// Handlers that keep to the contract pass every rule that can be watched.
@Suite struct ConformingHandlerTests {
  /// Under a sanitizer allocations are out of sight, and the report says so.
  static func expectConforming(
    _ report: ConformanceReport, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(report.isConforming, "\(report)", sourceLocation: sourceLocation)
    let unchecked = report.findings.filter { $0.verdict == .notChecked }
    #expect(
      unchecked.allSatisfy { $0.rule == .nonAllocating && $0.detail.contains("sanitizer") },
      "\(report)", sourceLocation: sourceLocation)
  }

  @Test func aCopyConforms() throws {
    let report = try conformance(of: "copy", .nonAllocating) { $0.copy($1) }
    Self.expectConforming(report)
    #expect(report.findings.map(\.rule) == ConformanceRule.allCases)
  }

  @Test func aCFunctionConforms() throws {
    let report = try HandlerConformance.check("copy", .nonAllocating) { coordinator in
      let catalogue = Catalogue()
      let context = unsafe Unmanaged.passRetained(catalogue).toOpaque()
      let work = try unsafe coordinator.register("copy", context: context) { context, cpu in
        unsafe Unmanaged<Catalogue>.fromOpaque(context!).takeUnretainedValue().copy(cpu)
      }
      return catalogue.subject(work)
    }
    Self.expectConforming(report)
  }

  /// A handler that uses its argument alone may be run by others, and is.
  @Test func aHelpedCopyConforms() throws {
    var options = WorkType.Options()
    options.mayRunOnBehalf = true
    let report = try conformance(of: "copy", .nonAllocating, registered: options) { $0.copy($1) }
    Self.expectConforming(report)
    let orders = report.findings.first { $0.rule == .drainOrder }
    #expect(orders?.detail.contains("and a run on behalf") == true)
  }

  /// A handler that does a part per run and sends itself for the rest comes to rest.
  @Test func aHandlerInPartsConforms() throws {
    let report = try HandlerConformance.check("parts") { coordinator in
      let catalogue = Catalogue()
      let own = Owned<WorkType>()
      let work = try coordinator.register("parts") { [unowned coordinator] cpu in
        let isLeft = catalogue.queues.withLock { queues in
          guard !queues[cpu].isEmpty else { return false }
          let part = queues[cpu].removeFirst()
          catalogue.copies[cpu].value.add(part, ordering: .relaxed)
          return !queues[cpu].isEmpty
        }
        if isLeft, let work = own.value { coordinator.send(work, to: cpu) }
      }
      own.value = work
      return catalogue.subject(work)
    }
    #expect(report.isConforming, "\(report)")
  }

  /// Two types that maintain one state, neither of which relies on the other.
  @Test func independentTypesConform() throws {
    let report = try HandlerConformance.check("copy") { coordinator in
      let catalogue = Catalogue()
      let work = try coordinator.register("copy") { catalogue.copy($0) }
      let other = try coordinator.register("other") { _ in }
      return catalogue.subject(work, others: [other])
    }
    #expect(report.isConforming, "\(report)")
    #expect(report[.drainOrder] == .passed)
  }

  /// A handler that reads without the publisher's lock does not wait for a publisher.
  @Test func aRunInTheMiddleOfAChangeConforms() throws {
    let report = try HandlerConformance.check("copy") { coordinator in
      let catalogue = Catalogue()
      let work = try coordinator.register("copy") { catalogue.copy($0) }
      return catalogue.subject(work) { body in catalogue.lock.withLock { _ in body() } }
    }
    #expect(report.isConforming, "\(report)")
    let waits = report.findings.first { $0.rule == .nonBlocking }
    #expect(waits?.detail.contains("in the middle of a change") == true)
  }

  /// What is not claimed is not checked, and not counted as passed.
  @Test func whatIsNotClaimedIsNotChecked() throws {
    let report = try conformance(of: "copy") { $0.copy($1) }
    #expect(report.isConforming)
    #expect(report.unchecked == [.nonAllocating])
    #expect(report[.nonAllocating] == .notChecked)
    #expect("\(report)".contains("non-allocating: not checked: the handler does not claim it"))
  }

  /// What the factory throws comes through.
  @Test func errorsOfTheSubjectAreThrown() {
    struct Broken: Error {}
    #expect(throws: Broken.self) {
      try HandlerConformance.check("broken") { _ -> HandlerSubject<Int> in throw Broken() }
    }
  }
}
