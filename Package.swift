// swift-tools-version: 6.3
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

// Warnings are errors in CI only (`CPUISOLATION_CI=1`): a newer compiler with a new warning must
// still build the package for its users.
let warningsAreErrors = Context.environment["CPUISOLATION_CI"] != nil

var settings: [SwiftSetting] = [
  .strictMemorySafety(),
  .enableUpcomingFeature("ExistentialAny"),  // SE-0335
  .enableUpcomingFeature("InternalImportsByDefault"),  // SE-0409
  .enableUpcomingFeature("MemberImportVisibility"),  // SE-0444
]
if warningsAreErrors { settings.append(.treatAllWarnings(as: .error)) }

let package = Package(
  name: "CPUIsolation",
  products: [
    .library(name: "CPUIsolation", targets: ["CPUIsolation"])
  ],
  targets: [
    .target(name: "CPlatform"),
    .target(name: "CPUIsolation", dependencies: ["CPlatform"], swiftSettings: settings),
    .testTarget(
      name: "CPUIsolationTests", dependencies: ["CPUIsolation"], swiftSettings: settings),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .c11
)
