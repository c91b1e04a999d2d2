// swift-tools-version: 6.3
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

// A package of its own, because it needs LTTng-UST (Debian's liblttng-ust-dev). `./run` measures, in
// a tracing session too where lttng-tools is installed.
let package = Package(
  name: "Benchmarks",
  dependencies: [.package(name: "CPUIsolation", path: "../..")],
  targets: [
    .target(
      name: "CLTTngPeer",
      // LTTng's own headers include the provider's.
      cSettings: [.headerSearchPath(".")],
      linkerSettings: [.linkedLibrary("lttng-ust"), .linkedLibrary("dl")]),
    .executableTarget(
      name: "TracepointPeers",
      dependencies: ["CLTTngPeer", .product(name: "CPUIsolation", package: "CPUIsolation")]),
    // Needs nothing but the library: `swift run -c release interruptions`, as root for the kernel's trace.
    .executableTarget(
      name: "interruptions",
      dependencies: [
        "BenchmarkMachine", .product(name: "CPUIsolation", package: "CPUIsolation"),
      ],
      path: "Sources/Interruptions"),
    // As root as well: `swift run -c release noise-causes`.
    .executableTarget(
      name: "noise-causes",
      dependencies: [
        "BenchmarkMachine", "CKernelView",
        .product(name: "CPUIsolation", package: "CPUIsolation"),
      ],
      path: "Sources/NoiseCauses"),
    .target(name: "BenchmarkMachine"),
    .target(name: "CKernelView"),
  ],
  swiftLanguageModes: [.v6]
)
