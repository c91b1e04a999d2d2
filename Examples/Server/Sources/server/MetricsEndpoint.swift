// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CPUIsolationNIO
import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import ServiceLifecycle

/// `GET /metrics`, for Prometheus: the statistics of the coordinator; and `GET /interrupts`. Served by a loop that is none of
/// its CPUs.
struct MetricsEndpoint: Service {
  let coordinator: Coordinator
  let account: InterruptAccount?
  let port: Int

  func run() async throws {
    let (coordinator, account) = (coordinator, account)
    let channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { child in
        child.eventLoop.makeCompletedFuture {
          try child.pipeline.syncOperations.configureHTTPServerPipeline()
          try child.pipeline.syncOperations.addHandler(
            MetricsHandler(coordinator: coordinator, account: account))
        }
      }
      .bind(host: "127.0.0.1", port: port).get()
    print("metrics on port \(channel.localAddress?.port ?? 0)")
    fflush(nil)  // a pipe would keep it
    try? await gracefulShutdown()
    try await channel.close()
  }
}

/// Answers one request, and closes.
private final class MetricsHandler: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private let coordinator: Coordinator
  private let account: InterruptAccount?
  private var path: String? = nil

  init(coordinator: Coordinator, account: InterruptAccount?) {
    self.coordinator = coordinator
    self.account = account
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head): path = head.method == .GET ? head.uri : nil
    case .body: break
    case .end: answer(context)
    }
  }

  private func answer(_ context: ChannelHandlerContext) {
    let found: String? =
      switch path {
      case "/metrics": coordinator.statistics().prometheusText()
      case "/interrupts": account?.text() ?? "not counted: start it with --interrupts\n"
      default: nil
      }
    let text = found ?? "there are /metrics and /interrupts\n"
    let headers: HTTPHeaders = [
      "content-type": "text/plain; version=0.0.4", "content-length": "\(text.utf8.count)",
      "connection": "close",
    ]
    let head = HTTPResponseHead(
      version: .http1_1, status: found != nil ? .ok : .notFound, headers: headers)
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: text)))), promise: nil)
    let end = context.writeAndFlush(wrapOutboundOut(.end(nil)))
    let channel = context.channel
    end.whenComplete { _ in channel.close(promise: nil) }
  }
}
