// SPDX-License-Identifier: Apache-2.0

/// What a thread of a run has with it: its random stream, its row of counts, its number as a writer.
struct Turn {
  let torture: Torture
  let row: Int
  var random: SeededGenerator

  init(_ torture: Torture, stream: Int) {
    self.torture = torture
    row = stream
    random = SeededGenerator(seed: torture.options.seed, stream: stream)
  }

  var bug: SeededBug? { torture.options.bug }

  func count(_ operation: Operation, _ number: Int = 1) {
    torture.counts.add(operation, row: row, UInt64(number))
  }

  @inline(__always)
  mutating func reach(_ point: FaultPoint) { torture.faults.reach(point, &random) }

  func check(_ condition: Bool, _ text: @autoclosure () -> String) {
    torture.violations.check(condition, text())
  }

  /// Passes some time, up to a few microseconds mostly.
  mutating func spin(_ longest: Int = 400) {
    for _ in 0..<random.below(longest) where torture.isOver { return }
  }
}
