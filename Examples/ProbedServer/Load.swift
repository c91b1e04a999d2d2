// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// A client that asks all workers in turn, on a thread of its own.
// Sendable: constants, and the thread, which the console alone joins.
@safe
final class Load: @unchecked Sendable {
  private let count: Int
  private let server: Server
  private var thread = pthread_t()

  init(_ count: Int, of server: Server) {
    self.count = count
    self.server = server
    // Safety: one reference, which the thread takes over.
    let error = unsafe pthread_create(
      &thread, nil,
      { address in
        // Safety: the reference of the creator.
        unsafe Unmanaged<Load>.fromOpaque(address.unsafelyUnwrapped).takeRetainedValue().run()
        return nil
      }, Unmanaged.passRetained(self).toOpaque())
    if error != 0 { fatalError("no thread: error \(error)") }
  }

  /// Returns when every request has been served.
  func wait() {
    let error = pthread_join(thread, nil)
    if error != 0 { fatalError("the thread cannot be joined: error \(error)") }
  }

  private func run() {
    var key: UInt64 = 0
    var rest = count
    while rest > 0 {
      let round = server.channels.prefix(rest)
      for channel in round {
        channel.send(key % 1000)
        key += 1
      }
      for channel in round where channel.receive() == nil { fatalError("a worker has gone") }
      server.count(round.count)
      rest -= round.count
    }
  }
}
