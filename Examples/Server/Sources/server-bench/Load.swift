// SPDX-License-Identifier: Apache-2.0

import CMachine
import Glibc

/// Clients of a server, all on one thread. Requests are sent when they are due, whether or not the last ones were
/// answered, and their time is counted from when they were due: a server that stands still is not spared.
struct Load {
  private struct Connection {
    let socket: Int32
    /// When the requests that are not answered yet were due, first to last.
    var due: [Int64] = []
    var answered = 0
  }

  private var connections: [Connection] = []
  private let requests: [[UInt8]]
  private let interval: Int64

  init(_ port: Int, _ options: Options) throws {
    requests = (0..<options.keys).map { Array("GET key\($0)\n".utf8) }
    interval = 1_000_000_000 / Int64(options.requests)
    for _ in 0..<options.connections {
      connections.append(Connection(socket: try Self.connect(port)))
    }
  }

  func close() { for connection in connections { Glibc.close(connection.socket) } }

  private static func connect(_ port: Int) throws -> Int32 {
    let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(UInt16(port).bigEndian)
    address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
    let error = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    if error != 0 { throw LoadFailure(sentence: "no connection: errno \(errno)") }
    var yes: Int32 = 1
    setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, 4)
    return socket
  }

  /// Loads the server for so long, and until all is answered.
  ///
  /// - Returns: the time of each request, in microseconds.
  mutating func run(seconds: Double) throws -> [Double] {
    var times: [Double] = []
    times.reserveCapacity(Int(seconds * 1e9) / Int(interval) + 1)
    let start = Machine.now
    let count = Int(seconds * 1e9) / Int(interval)
    var sent = 0
    while times.count < count {
      while sent < count, start + Int64(sent) * interval <= Machine.now {
        try send(sent, due: start + Int64(sent) * interval)
        sent += 1
      }
      let next = sent < count ? start + Int64(sent) * interval : Machine.now + 1_000_000_000
      try receive(until: next, &times)
      if Machine.now > start + Int64(seconds * 1e9) + 120_000_000_000 {
        throw LoadFailure(sentence: "\(count - times.count) requests were not answered in 120 s")
      }
    }
    return times
  }

  private mutating func send(_ number: Int, due: Int64) throws {
    let index = number % connections.count
    let request = requests[number % requests.count]
    guard
      Glibc.send(connections[index].socket, request, request.count, Int32(MSG_NOSIGNAL))
        == request.count
    else { throw LoadFailure(sentence: "the server takes no requests: errno \(errno)") }
    connections[index].due.append(due)
  }

  private mutating func receive(until next: Int64, _ times: inout [Double]) throws {
    var files = connections.map { pollfd(fd: $0.socket, events: Int16(POLLIN), revents: 0) }
    let left = max(0, next - Machine.now)
    guard machine_poll(&files, Int32(files.count), left) > 0 else { return }
    for (index, file) in files.enumerated() where file.revents != 0 {
      var bytes = [UInt8](repeating: 0, count: 1 << 14)
      let count = recv(file.fd, &bytes, bytes.count, Int32(MSG_DONTWAIT))
      if count <= 0 { throw LoadFailure(sentence: "the server has closed a connection") }
      let now = Machine.now
      for byte in bytes[..<count] where byte == UInt8(ascii: "\n") {
        let answered = connections[index].answered
        times.append(Double(now - connections[index].due[answered]) / 1000)
        connections[index].answered = answered + 1
      }
    }
  }
}
