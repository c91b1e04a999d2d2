// SPDX-License-Identifier: Apache-2.0

extension StaticKeys {
  /// Several changes that are made together: one send to every CPU.
  ///
  /// - Progress: wait-free
  /// - Context: one thread
  /// - Allocates: as they become more
  public struct Changes {
    struct Users {
      var key: StaticKey
      /// What is added to the count.
      var users: Int
    }
    struct Exchange {
      var call: StaticCall
      var words: [UInt64]
    }
    var keys: [Users] = []
    var calls: [Exchange] = []

    init() {}

    mutating func add(_ users: Int, to key: StaticKey) {
      if let known = keys.firstIndex(where: { $0.key == key }) {
        keys[known].users += users
      } else {
        keys.append(Users(key: key, users: users))
      }
    }

    /// One user more. Changes of one key are added up: a key that is enabled and disabled stays as
    /// it is.
    ///
    /// - Parameter key: a key of these keys; one of another coordinator ends the process with a
    ///   sentence.
    /// - Progress: wait-free
    /// - Context: one thread
    /// - Allocates: as they become more
    public mutating func enable(_ key: StaticKey) { add(1, to: key) }

    /// One user less.
    ///
    /// - Parameter key: a key of these keys; one of another coordinator ends the process with a
    ///   sentence.
    /// - Progress: wait-free
    /// - Context: one thread
    /// - Allocates: as they become more
    public mutating func disable(_ key: StaticKey) { add(-1, to: key) }

    /// Another function. Of several for one call the last one counts.
    ///
    /// - Parameters:
    ///   - call: a call of these keys; one of another coordinator ends the process with a sentence.
    ///   - context: handed on to the function; see `StaticCall` for how long it has to live.
    ///   - function: what is called from then on; nil is nothing, and the call returns 0.
    /// - Progress: wait-free
    /// - Context: one thread
    /// - Allocates: as they become more
    public mutating func exchange(
      _ call: StaticCall, to context: UnsafeMutableRawPointer?, _ function: StaticCall.Function?
    ) {
      // Safety: a function as a number, which a call turns back.
      let address = unsafe unsafeBitCast(function, to: UInt.self)
      let words = [UInt64(address), UInt64(UInt(bitPattern: context))]
      calls.removeAll { $0.call == call }
      calls.append(Exchange(call: call, words: words))
    }
  }

  /// What became of several changes.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public struct Report: Hashable, Sendable {
    /// The keys that were turned.
    public internal(set) var flipped: Set<StaticKey> = []
    /// The keys whose count has changed, and nothing else.
    public internal(set) var counted: Set<StaticKey> = []
    /// The keys that could not have more users: their count is as before.
    public internal(set) var overflowed: Set<StaticKey> = []
    /// The calls that have another function.
    public internal(set) var exchanged: Set<StaticCall> = []

    func outcome(of key: StaticKey) -> StaticKey.Outcome {
      overflowed.contains(key) ? .overflowed : flipped.contains(key) ? .flipped : .counted
    }
  }
}
