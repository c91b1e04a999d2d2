// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CPUIsolationNIO
import Glibc
public import Logging
import NIOConcurrencyHelpers
public import NIOCore
import NIOPosix
public import ServiceLifecycle

/// A table that clients read and change over TCP, line by line: `GET key`, `SET key value`, `COUNT`.
public struct KeyValueServer<Table: KeyValueTable>: Service {
  private let group: any EventLoopGroup
  private let table: Table
  private let port: Int
  private let logger: Logger

  /// A server on the loops of a group.
  ///
  /// - Parameter port: where it listens; for 0 the system chooses. The server prints which.
  public init(_ group: any EventLoopGroup, table: Table, port: Int, logger: Logger) {
    self.group = group
    self.table = table
    self.port = port
    self.logger = logger
  }

  /// Serves until the service group ends, then closes the connections.
  public func run() async throws {
    let quiesce = ChannelSet()
    let table = table
    let channel = try await ServerBootstrap(group: group)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { child in
        child.eventLoop.makeCompletedFuture {
          quiesce.insert(child)
          try child.pipeline.syncOperations.addHandlers([
            ByteToMessageHandler(LineDecoder()), LineHandler(table: table),
          ])
        }
      }
      .bind(host: "127.0.0.1", port: port).get()
    print("listening on port \(channel.localAddress?.port ?? 0)")
    fflush(nil)  // a pipe would keep it
    try? await gracefulShutdown()
    logger.info("closing \(quiesce.count) connections")
    try await channel.close()
    await quiesce.close()
  }
}

/// The open connections.
private final class ChannelSet: Sendable {
  private let channels = NIOLockedValueBox<[ObjectIdentifier: any Channel]>([:])

  var count: Int { channels.withLockedValue { $0.count } }

  func insert(_ channel: any Channel) {
    channels.withLockedValue { $0[ObjectIdentifier(channel)] = channel }
    channel.closeFuture.whenComplete { [channels] _ in
      channels.withLockedValue { $0[ObjectIdentifier(channel)] = nil }
    }
  }

  func close() async {
    for channel in channels.withLockedValue({ Array($0.values) }) { try? await channel.close() }
  }
}

/// Bytes up to the end of a line.
private struct LineDecoder: ByteToMessageDecoder {
  typealias InboundOut = String

  mutating func decode(context: ChannelHandlerContext, buffer: inout ByteBuffer) -> DecodingState {
    guard let end = buffer.readableBytesView.firstIndex(of: UInt8(ascii: "\n")) else {
      return .needMoreData
    }
    let line = buffer.readString(length: end - buffer.readerIndex)!
    buffer.moveReaderIndex(forwardBy: 1)
    context.fireChannelRead(wrapInboundOut(line))
    return .continue
  }
}

/// Answers each line.
private final class LineHandler<Table: KeyValueTable>: ChannelInboundHandler, Sendable {
  typealias InboundIn = String
  typealias OutboundOut = ByteBuffer

  private let table: Table

  init(table: Table) { self.table = table }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let answer = answer(unwrapInboundIn(data))
    context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: answer + "\n")), promise: nil)
  }

  private func answer(_ line: String) -> String {
    let words = line.split(separator: " ", maxSplits: 2).map(String.init)
    switch (words.first, words.count) {
    case ("GET", 2): return table.read { $0[words[1]] }.map { "VALUE \($0)" } ?? "NONE"
    case ("COUNT", 1): return "VALUE \(table.read { $0.count })"
    case ("SET", 3):
      table.update { $0[words[1]] = words[2] }
      return "STORED"
    default: return "ERROR expected GET key, SET key value or COUNT"
    }
  }
}
