// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

extension KeyTable {
  /// What is to be added to one key's count, and what became of it.
  struct Turn {
    let table: KeyTable
    let key: Int
    let users: Int
    private(set) var result = Result.counted
    private var isFirst = false

    enum Result {
      case flipped, counted, overflowed, tooFew, enabling
    }

    init(table: KeyTable, key: Int, users: Int) {
      self.table = table
      self.key = key
      self.users = users
    }

    /// Changes the count, and the master where that turns the key.
    mutating func begin() {
      if users == 0 { return }
      if users < 0 {
        switch table.decrement(key, by: UInt64(-users), isClaimer: true) {
        case .counted: result = .counted
        case .last:
          table.write([0], at: key)
          result = .flipped
        case .tooFew: result = .tooFew
        case .enabling: result = .enabling
        }
        return
      }
      switch table.incrementIfOn(key, by: UInt64(users)) {
      case .overflowed?: result = .overflowed
      case .some: result = .counted
      case nil where UInt64(users) > KeyTable.countLimit: result = .overflowed
      case nil:
        // Relaxed: nobody but the claimer moves a count from 0.
        table.count(key).value.store(KeyTable.enabling, ordering: .relaxed)
        table.write([1], at: key)
        isFirst = true
        result = .flipped
      }
    }

    /// Says of a key that was turned on that every CPU has been reached.
    func finish() {
      if !isFirst { return }
      // Release — key:P. Every CPU was reached before anyone reads a positive count. Pairs with
      // key:I.
      table.count(key).value.store(UInt64(users), ordering: .releasing)
    }
  }

  /// The words of a call to be, and whether they are others than before.
  struct Exchange {
    let index: Int
    let words: [UInt64]
    private(set) var isNew = false

    init(index: Int, words: [UInt64]) {
      self.index = index
      self.words = words
    }

    mutating func begin(_ table: KeyTable) {
      isNew = words.indices.contains { table.master(index + $0) != words[$0] }
      if isNew { table.write(words, at: index) }
    }
  }

  /// Makes changes, one caller at a time: first the masters, then every CPU is reached, and then
  /// alone a key that had no user says that it has.
  ///
  /// A caller that is a CPU serves its own work while it waits for its turn: the one whose turn it
  /// is may be waiting for it.
  func change(
    _ turns: inout [Turn], _ exchanges: inout [Exchange], reach: ([Turn], [Exchange]) -> Void
  ) {
    var backoff = Backoff()
    while !claim() {
      CurrentThread.serveOwnCPU()
      backoff.wait()
    }
    for index in turns.indices { turns[index].begin() }
    for index in exchanges.indices { exchanges[index].begin(self) }
    reach(turns, exchanges)
    for turn in turns { turn.finish() }
    unclaim()
  }
}
