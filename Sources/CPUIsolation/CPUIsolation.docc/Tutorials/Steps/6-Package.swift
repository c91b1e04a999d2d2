// swift-tools-version: 6.3
import PackageDescription

let package = Package(
  name: "router",
  dependencies: [
    .package(url: "https://github.com/…/CPUIsolation", from: "0.1.0")
  ],
  targets: [
    .target(
      name: "Routes",
      dependencies: [.product(name: "CPUIsolation", package: "CPUIsolation")]),
    .executableTarget(name: "router", dependencies: ["Routes"]),
  ]
)
