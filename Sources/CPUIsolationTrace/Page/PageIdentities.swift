// SPDX-License-Identifier: Apache-2.0

/// What marks have in common: what happened, and who had it happen.
struct PageIdentity: Hashable {
  var activity: TraceActivity
  var name: Int32
  var sender: Int32?
  var senderCPU: Int?
  var callsite: Int32?
}

struct PageIdentities {
  private(set) var all: [PageIdentity] = []
  private var numbers: [PageIdentity: Int32] = [:]

  /// So many fit on a page. What comes later is told without its sender, then without its name.
  private static let most = 8_000

  mutating func number(of identity: PageIdentity, else name: Int32) -> Int32 {
    if let known = numbers[identity] { return known }
    var identity = identity
    if all.count >= Self.most {
      (identity.sender, identity.senderCPU, identity.callsite) = (nil, nil, nil)
      if all.count >= 2 * Self.most { identity.name = name }
      if let known = numbers[identity] { return known }
    }
    let number = Int32(all.count)
    all.append(identity)
    numbers[identity] = number
    return number
  }
}
