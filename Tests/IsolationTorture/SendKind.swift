// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// The kinds of work types that a world has, one of each.
enum SendKind: Int, CaseIterable {
  case plain, crowded, helped, aged, safe, union, hull, maximum, catchUp

  var options: WorkType.Options {
    switch self {
    case .plain: .init()
    case .crowded: .init(order: .late, expectsManySenders: true)
    case .helped: .init(order: .early, isInterruptSafe: true, mayRunOnBehalf: true)
    case .aged: .init(mayRunOnBehalf: true, maximumAge: .milliseconds(20))
    case .safe: .init(isInterruptSafe: true)
    case .union: .init(delivery: .merging(.union), isInterruptSafe: true, mayRunOnBehalf: true)
    case .hull: .init(delivery: .merging(.hull))
    case .maximum: .init(delivery: .merging(.maximum), expectsManySenders: true)
    case .catchUp: .init(delivery: .catchUp)
    }
  }

  /// Whether sends may say what they are about.
  var hasPayload: Bool { [.union, .hull, .maximum].contains(self) }
}
