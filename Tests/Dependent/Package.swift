// swift-tools-version: 6.3
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

// A package as a user of the library writes it. Its trait of the same name switches the library's
// on, for its model tests and for nothing else: `swift test --traits ModelChecking`.
let package = Package(
  name: "RouteCache",
  products: [.library(name: "RouteCache", targets: ["RouteCache"])],
  traits: [.trait(name: "ModelChecking", description: "Simulates atomics, for model tests.")],
  dependencies: [
    .package(
      name: "CPUIsolation", path: "../..",
      traits: [.trait(name: "ModelChecking", condition: .when(traits: ["ModelChecking"]))])
  ],
  targets: [
    .target(
      name: "RouteCache", dependencies: [.product(name: "CPUIsolation", package: "CPUIsolation")]),
    .executableTarget(name: "route-probe", dependencies: ["RouteCache"]),
    .testTarget(
      name: "RouteCacheTests",
      dependencies: [
        "RouteCache", .product(name: "CPUIsolationTesting", package: "CPUIsolation"),
      ]),
    .testTarget(
      name: "RouteModelTests",
      dependencies: [
        "RouteCache", .product(name: "CPUIsolationTesting", package: "CPUIsolation"),
      ]),
  ],
  swiftLanguageModes: [.v6]
)
