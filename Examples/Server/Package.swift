// swift-tools-version: 6.3
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

// A package of its own: the library depends on nothing. `CPUIsolationNIO` is to be copied, or split off.
let package = Package(
  name: "Server",
  products: [
    .library(name: "CPUIsolationNIO", targets: ["CPUIsolationNIO"]),
    .executable(name: "server", targets: ["server"]),
    .executable(name: "server-bench", targets: ["server-bench"]),
  ],
  dependencies: [
    .package(name: "CPUIsolation", path: "../.."),
    .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
    .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
    .package(url: "https://github.com/apple/swift-metrics", exact: "2.13.0"),
    .package(url: "https://github.com/apple/swift-atomics", exact: "1.3.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", exact: "2.13.0"),
  ],
  targets: [
    .target(
      name: "CPUIsolationNIO",
      dependencies: [
        .product(name: "CPUIsolation", package: "CPUIsolation"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "Metrics", package: "swift-metrics"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      ]),
    .target(name: "KeyValue", dependencies: ["CPUIsolationNIO"]),
    .executableTarget(
      name: "server",
      dependencies: ["CMachine", "KeyValue", .product(name: "NIOHTTP1", package: "swift-nio")]),
    .target(name: "CMachine"),
    .executableTarget(
      name: "server-bench",
      dependencies: ["CMachine", "KeyValue", .product(name: "Atomics", package: "swift-atomics")]),
    .testTarget(
      name: "ServerTests",
      dependencies: [
        "CPUIsolationNIO", "server", "server-bench",
        .product(name: "MetricsTestKit", package: "swift-metrics"),
        .product(name: "InMemoryLogging", package: "swift-log"),
      ]),
  ],
  swiftLanguageModes: [.v6]
)
