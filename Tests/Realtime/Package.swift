// swift-tools-version: 6.3
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

// A package of its own, because the sanitizer's runtime is linked into the whole process.
let package = Package(
  name: "Realtime",
  dependencies: [.package(name: "CPUIsolation", path: "../..")],
  targets: [
    .executableTarget(
      name: "realtime",
      dependencies: [.product(name: "CPUIsolation", package: "CPUIsolation")])
  ],
  swiftLanguageModes: [.v6]
)
