// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Testing

/// What Documentation/Translation.md shows: every piece of Swift on the page stands here, line by
/// line.
@Suite("The article on translations")
struct TranslationArticleTests {
  @Test("a page is mapped, looked up, and unmapped; its frame comes back")
  func page() throws {
    let coordinator = try Coordinator(.scripted())
    let cpu = try coordinator.attach(to: 1)
    let frame: UInt64 = 3
    var used: [UInt64] = []
    var freed: [UInt64] = []
    func use(_ frame: UInt64) { used.append(frame) }
    func free(_ frame: UInt64) { freed.append(frame) }

    let space = try AddressSpace(coordinator, .init(pages: 1 << 20))
    _ = try space.map(7, to: frame)

    // an isolated CPU, in kernel
    let translations = space.open(on: cpu)
    if let frame = translations.lookUp(7, on: cpu) { use(frame) }

    // a housekeeper
    var old = space.unmap(7..<8)
    old.wait { page, frame in free(frame) }

    #expect(used == [3] && freed == [3])
    #expect(translations.lookUp(7, on: cpu) == nil)
    cpu.detach()
  }
}
