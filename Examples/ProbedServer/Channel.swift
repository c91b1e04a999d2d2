// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// One end of a pair of sockets, over which go words.
struct Channel: Sendable {
  private let file: Int32

  static func makePair() -> (Channel, Channel) {
    var files: [Int32] = [-1, -1]
    // Safety: room for two.
    let result = unsafe socketpair(
      AF_UNIX, Int32(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue), 0, &files)
    if result != 0 { fatalError("no sockets: error \(errno)") }
    return (Channel(file: files[0]), Channel(file: files[1]))
  }

  func send(_ word: UInt64) {
    var word = word
    while true {
      // Safety: as many bytes as the word has.
      let count = unsafe Glibc.send(file, &word, 8, Int32(MSG_NOSIGNAL))
      if count == 8 { return }
      if errno != EINTR { fatalError("a word was not sent: error \(errno)") }
    }
  }

  /// The next word; nil if the other end has been closed.
  func receive() -> UInt64? {
    var word: UInt64 = 0
    while true {
      // Safety: as many bytes as the word has.
      let count = unsafe recv(file, &word, 8, 0)
      if count == 8 { return word }
      if count == 0 { return nil }
      if errno != EINTR { fatalError("a word was not received: error \(errno)") }
    }
  }

  func close() {
    if Glibc.close(file) != 0 { fatalError("a socket was not closed: error \(errno)") }
  }
}
