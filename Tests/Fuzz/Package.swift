// swift-tools-version: 6.3
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

// A package of its own, because the fuzzer's runtime brings the main function. Run with
// `swift run --sanitize fuzzer FilterFuzzer -max_total_time=60`.
let package = Package(
  name: "Fuzz",
  dependencies: [.package(name: "CPUIsolation", path: "../..")],
  targets: [
    "FilterFuzzer", "CPUListFuzzer", "TraceFileFuzzer", "TraceChunkFuzzer", "EventPrinterFuzzer",
    "CoordinatorFuzzer",
  ].map { name in
    .executableTarget(
      name: name,
      dependencies: [
        .product(name: "CPUIsolation", package: "CPUIsolation"),
        .product(name: "CPUIsolationTesting", package: "CPUIsolation"),
        .product(name: "CPUIsolationTrace", package: "CPUIsolation"),
      ],
      swiftSettings: [.unsafeFlags(["-parse-as-library"])])
  },
  swiftLanguageModes: [.v6]
)
