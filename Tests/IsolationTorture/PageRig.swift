// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation
internal import Glibc

/// An address space whose frames are used again as soon as the library gives them back.
final class PageRig: Sendable {
  private static let pages: UInt64 = 256
  /// Pages that are never unmapped, each with two frames that stay good.
  private static let lasting: Range<UInt64> = 256..<264
  private static let lazy: Range<UInt64> = 512..<1024
  let space: AddressSpace
  private let torture: Torture
  private let frames: FrameList
  private let unmapper: AddressSpace.LazyUnmapper

  init(_ coordinator: Coordinator, _ torture: Torture) throws(IsolationError) {
    self.torture = torture
    space = try AddressSpace(
      coordinator,
      .init(pages: 1024, cacheEntries: 64, loggedRanges: 8, flushCeiling: 4, delivery: .catchUp))
    let frames = FrameList(lasting: Self.lasting.count * 2)
    self.frames = frames
    unmapper = AddressSpace.LazyUnmapper(space, pages: Self.lazy, maximumPending: 64) { _, frame in
      frames.give(frame)
    }
    for page in Self.lasting {
      let first = (page - Self.lasting.lowerBound) * 2
      for frame in first...first + 1 { frames.own(frame, page) }
      _ = try space.map(page, to: first)
    }
  }

  // MARK: Changing

  /// Changes what is mapped, by a thread that is no CPU.
  func change(_ turn: inout Turn) {
    do throws(IsolationError) {
      switch turn.random.below(8) {
      case 0..<3:
        for _ in 0..<8 { try map(UInt64(turn.random.below(Int(Self.pages))), &turn) }
      case 3, 4: unmap(&turn)
      case 5: replace(&turn)
      case 6: changeLasting(&turn)
      default: try mapLazily(&turn)
      }
      turn.count(.mapping)
    } catch {
      turn.check(false, "pages were not changed: \(error)")
    }
  }

  private func map(_ page: UInt64, _ turn: inout Turn) throws(IsolationError) {
    guard let frame = frames.take(for: page) else { return }
    if try space.map(page, to: frame) != .mapped { frames.give(frame) }
  }

  private func unmap(_ turn: inout Turn) {
    let first = UInt64(turn.random.below(Int(Self.pages) - 8))
    let range = first..<first + 1 + UInt64(turn.random.below(8))
    if turn.bug == .earlyReuse {
      for page in range {
        if let frame = space.table.frame(of: page) { frames.disown(frame) }
      }
      usleep(200)
    }
    wait(space.unmap(range), &turn)
  }

  private func replace(_ turn: inout Turn) {
    let page = UInt64(turn.random.below(Int(Self.pages)))
    guard let frame = frames.take(for: page) else { return }
    guard let retirement = space.replace(page, with: frame) else { return frames.give(frame) }
    wait(retirement, &turn)
  }

  private func wait(_ retirement: consuming AddressSpace.Retirement, _ turn: inout Turn) {
    turn.reach(.beforeReuse)
    var retirement = retirement
    if turn.random.oneIn(2) {
      for _ in 0..<100 {
        if retirement.poll({ _, frame in frames.give(frame) }) { return }
        usleep(50)
      }
    }
    let outcome = retirement.wait(timeout: Torture.generous) { _, frame in frames.give(frame) }
    turn.check(outcome == .settled, "the frames of a range came back as \(outcome)")
  }

  private func changeLasting(_ turn: inout Turn) {
    let page = Self.lasting.lowerBound + UInt64(turn.random.below(Self.lasting.count))
    let first = (page - Self.lasting.lowerBound) * 2
    let change = space.change(page, to: first + UInt64(turn.random.below(2)))
    turn.check(
      change.map { first...first + 1 ~= $0.previous } == true,
      "page \(page) was changed from \(String(describing: change?.previous))")
    if turn.random.oneIn(16) { space.flushAll() }
  }

  /// Maps a range out of the unmapper, and gives it back.
  private func mapLazily(_ turn: inout Turn) throws(IsolationError) {
    guard let range = unmapper.reserve(1 + UInt64(turn.random.below(8))) else {
      _ = unmapper.purge(timeout: Torture.generous)
      return
    }
    for page in range {
      guard let frame = frames.take(for: page) else { break }
      let outcome = try space.map(page, to: frame)
      turn.check(outcome == .mapped, "page \(page), reserved, was \(outcome)")
    }
    turn.spin()
    while unmapper.unmap(range) == .full { _ = unmapper.purge(timeout: Torture.generous) }
    if turn.random.oneIn(8) { _ = unmapper.poll() }
  }

  // MARK: Looking

  func look(
    _ translations: borrowing AddressSpace.LocalTranslations, _ cpu: borrowing LocalCPU,
    _ turn: inout Turn
  ) {
    let page = page(&turn)
    check(page, translations.lookUp(page, on: cpu), &turn)
  }

  func look(asCPU cpu: Int, _ turn: inout Turn) {
    let page = page(&turn)
    check(page, space.lookUp(page, asCPU: cpu), &turn)
  }

  private func page(_ turn: inout Turn) -> UInt64 {
    switch turn.random.below(8) {
    case 0: Self.lasting.lowerBound + UInt64(turn.random.below(Self.lasting.count))
    case 1: Self.lazy.lowerBound + UInt64(turn.random.below(Self.lazy.count))
    default: UInt64(turn.random.below(Int(Self.pages)))
    }
  }

  private func check(_ page: UInt64, _ frame: UInt64?, _ turn: inout Turn) {
    turn.count(.translation)
    guard let frame else {
      return turn.check(!Self.lasting.contains(page), "page \(page) is not mapped")
    }
    turn.check(
      frames.isOwn(frame, page), "page \(page) leads to frame \(frame), which was given up")
    turn.reach(.inKernel)
    turn.spin(100)
    turn.check(
      frames.isOwn(frame, page),
      "frame \(frame) was given up while a CPU in kernel used page \(page)")
  }

  func finish() {
    let purged = unmapper.purge(timeout: Torture.generous)
    let outcome = space.close(timeout: Torture.generous)
    torture.violations.check(
      purged == .settled && outcome == .settled && unmapper.pendingPages == 0,
      "an address space ends as \(purged) and \(outcome)")
  }
}
