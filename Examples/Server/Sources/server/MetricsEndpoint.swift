// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CPUIsolationNIO
import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import ServiceLifecycle

/// `GET /metrics`, for Prometheus: the statistics of the coordinator. Served by a loop that is none of its CPUs.
struct MetricsEndpoint: Service {
  let coordinator: Coordinator
  let port: Int

  func run() async throws {
    let coordinator = coordinator
    let channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { child in
        child.eventLoop.makeCompletedFuture {
          try child.pipeline.syncOperations.configureHTTPServerPipeline()
          try child.pipeline.syncOperations.addHandler(MetricsHandler(coordinator: coordinator))
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
  private var isFound = false

  init(coordinator: Coordinator) { self.coordinator = coordinator }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head): isFound = head.method == .GET && head.uri == "/metrics"
    case .body: break
    case .end: answer(context)
    }
  }

  private func answer(_ context: ChannelHandlerContext) {
    let text = isFound ? coordinator.statistics().prometheusText() : "there is /metrics\n"
    let headers: HTTPHeaders = [
      "content-type": "text/plain; version=0.0.4", "content-length": "\(text.utf8.count)",
      "connection": "close",
    ]
    let head = HTTPResponseHead(
      version: .http1_1, status: isFound ? .ok : .notFound, headers: headers)
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: text)))), promise: nil)
    let end = context.writeAndFlush(wrapOutboundOut(.end(nil)))
    let channel = context.channel
    end.whenComplete { _ in channel.close(promise: nil) }
  }
}
