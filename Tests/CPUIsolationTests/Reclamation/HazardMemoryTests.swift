// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import CPUIsolation

/// A node in memory whose use after reclamation ends the process: freed under AddressSanitizer, which
/// knows of each byte whether it may be used; else in a page of its own that may not be touched any
/// more.
private enum GuardedNode {
  private typealias Query = @convention(c) (UnsafeRawPointer) -> CInt

  private static var isPoisonedQuery: Query? {
    guard let address = unsafe dlsym(nil, "__asan_address_is_poisoned") else { return nil }
    return unsafe unsafeBitCast(address, to: Query.self)
  }

  static var isSanitized: Bool { unsafe isPoisonedQuery != nil }

  /// Whether the sanitizer would stop a use; without one, nil.
  static func isPoisoned(_ node: UnsafeMutablePointer<Witness>) -> Bool? {
    unsafe isPoisonedQuery.map { query in unsafe query(node) != 0 }
  }

  static func make(_ value: Int) -> UnsafeMutablePointer<Witness> {
    if isSanitized { return unsafe Witness.make(value) }
    let page = unsafe mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    let node = unsafe page.unsafelyUnwrapped.bindMemory(to: Witness.self, capacity: 1)
    unsafe node.initialize(to: Witness(value: value))
    return unsafe node
  }

  static func retire(_ node: UnsafeMutablePointer<Witness>, in domain: HazardDomain) {
    if isSanitized { return unsafe domain.retire(node) }
    // Not unmapped: another mapping might come to lie there.
    unsafe domain.retire(UnsafeMutableRawPointer(node)) { page, _ in
      unsafe mprotect(page, 4096, PROT_NONE)
    }
  }
}

@Suite("What is reclaimed is really gone")
struct HazardMemoryTests {
  @Test("a use after the end of the protection, and after a pass, ends the process")
  func useAfterReclaim() async {
    let result = await #expect(
      processExitsWith: .failure, observing: [\.standardErrorContent]
    ) {
      let domain = try HazardDomain(reclamation: .explicit)
      let link = unsafe HazardLink<Witness>(GuardedNode.make(1))
      var hazard = HazardPointer(in: domain)
      let node = unsafe hazard.protect(link).node.unsafelyUnwrapped
      unsafe GuardedNode.retire(link.exchange(.init(nil)).node.unsafelyUnwrapped, in: domain)
      hazard.reset()
      guard domain.reclaim() == 1 else { _exit(0) }
      // What it reads makes no difference, but a read that goes nowhere is none.
      print("the value is still \(unsafe node.pointee.value)")
      _exit(0)
    }
    if GuardedNode.isSanitized {
      let output = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
      #expect(output.contains("heap-use-after-free"))
    }
  }

  @Test("the same use while it is protected does not, however many passes there are")
  func useWhileProtected() async {
    await #expect(processExitsWith: .exitCode(17)) {
      let domain = try HazardDomain(reclamation: .explicit)
      let link = unsafe HazardLink<Witness>(GuardedNode.make(1))
      var hazard = HazardPointer(in: domain)
      let node = unsafe hazard.protect(link).node.unsafelyUnwrapped
      unsafe GuardedNode.retire(link.exchange(.init(nil)).node.unsafelyUnwrapped, in: domain)
      for _ in 0..<3 {
        guard domain.reclaim() == 0, unsafe GuardedNode.isPoisoned(node) != true else { _exit(1) }
        guard unsafe node.pointee.isSound, unsafe node.pointee.value == 1 else { _exit(2) }
      }
      hazard.reset()
      guard unsafe GuardedNode.isPoisoned(node) != true, unsafe node.pointee.isSound else {
        _exit(3)
      }
      guard domain.reclaim() == 1, unsafe GuardedNode.isPoisoned(node) != false else { _exit(4) }
      _exit(17)
    }
  }
}
