// swift-tools-version: 6.3
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

// Warnings are errors in CI only: a newer compiler with a new warning must still build the package for its users.
let warningsAreErrors = Context.environment["CPUISOLATION_CI"] != nil
// ThreadSanitizer does not model fences: this compiles the one send path that rests on a fence to a read-modify-write.
let sanitizesThreads = Context.environment["CPUISOLATION_THREAD_SANITIZER"] != nil

// Not MemberImportVisibility (SE-0444): the ModelChecking trait changes which module the members of the
// library's atomics come from.
var settings: [SwiftSetting] = [
  .strictMemorySafety(),
  .enableUpcomingFeature("ExistentialAny"),  // SE-0335
  .enableUpcomingFeature("InternalImportsByDefault"),  // SE-0409
]
if warningsAreErrors { settings.append(.treatAllWarnings(as: .error)) }
if sanitizesThreads { settings.append(.define("CPUISOLATION_THREAD_SANITIZER")) }

let package = Package(
  name: "CPUIsolation",
  products: [
    .library(name: "CPUIsolation", targets: ["CPUIsolation"]),
    .library(name: "CPUIsolationTesting", targets: ["CPUIsolationTesting"]),
    .library(name: "CPUIsolationTextPatching", targets: ["CPUIsolationTextPatching"]),
    .library(name: "CPUIsolationTrace", targets: ["CPUIsolationTrace"]),
    .executable(name: "isolation-demo", targets: ["IsolationDemo"]),
    .executable(name: "isolation-trace", targets: ["IsolationTrace"]),
    .executable(name: "isolation-audit", targets: ["IsolationAudit"]),
  ],
  traits: [
    .trait(
      name: "ModelChecking",
      description: "Simulates the library's atomics, for model tests; not for programs that run.")
  ],
  targets: [
    .target(name: "CPlatform"),
    .target(
      name: "CPUIsolation",
      dependencies: [
        "CPlatform", .target(name: "ModelEngine", condition: .when(traits: ["ModelChecking"])),
      ], swiftSettings: settings),
    .target(
      name: "CPUIsolationTesting",
      dependencies: [
        "CPUIsolation", "CPlatform", "CHandlerWitness",
        .target(name: "ModelEngine", condition: .when(traits: ["ModelChecking"])),
      ], swiftSettings: settings),
    .target(name: "CHandlerWitness"),
    .target(name: "CTextPatching"),
    .target(
      name: "CPUIsolationTextPatching",
      dependencies: ["CPUIsolation", "CPlatform", "CTextPatching"],
      swiftSettings: settings),
    .target(
      name: "CPUIsolationTrace", dependencies: ["CPUIsolation"], swiftSettings: settings),
    .target(name: "CFiber"),
    .target(name: "ModelEngine", dependencies: ["CFiber"], swiftSettings: settings),
    .executableTarget(
      name: "IsolationDemo",
      dependencies: ["CPUIsolation", "CPUIsolationTextPatching", "CPUIsolationTrace"],
      path: "Examples/IsolationDemo", swiftSettings: settings),
    .executableTarget(
      name: "QuickStart", dependencies: ["CPUIsolation"], path: "Examples/QuickStart",
      swiftSettings: settings),
    .executableTarget(
      name: "buffer-pool", dependencies: ["CPUIsolation"], path: "Examples/BufferPool",
      swiftSettings: settings),
    .executableTarget(
      name: "probed-server", dependencies: ["CPUIsolation"], path: "Examples/ProbedServer",
      swiftSettings: settings),
    .target(name: "CBenchmarkPeers", path: "Tests/Support/CBenchmarkPeers"),
    .executableTarget(
      name: "isolation-bench",
      dependencies: ["CPUIsolation", "CPUIsolationTextPatching", "CBenchmarkPeers"],
      path: "Tests/IsolationBench", swiftSettings: settings),
    .executableTarget(
      name: "isolation-mutants",
      dependencies: [
        "CPUIsolation", .target(name: "ModelEngine", condition: .when(traits: ["ModelChecking"])),
      ], path: "Tests/IsolationMutants", swiftSettings: settings),
    .target(name: "CTorture", path: "Tests/Support/CTorture"),
    .executableTarget(
      name: "isolation-torture", dependencies: ["CPUIsolation", "CTorture"],
      path: "Tests/IsolationTorture", swiftSettings: settings),

    .executableTarget(
      name: "IsolationTrace", dependencies: ["CPUIsolation", "CPUIsolationTrace"],
      swiftSettings: settings),

    .executableTarget(
      name: "IsolationAudit", dependencies: ["CPUIsolation"], swiftSettings: settings),

    .target(name: "CCounters", path: "Tests/Support/CCounters"),
    .target(name: "CForks", path: "Tests/Support/CForks"),
    .testTarget(
      name: "CPUIsolationTests", dependencies: ["CPUIsolation", "CForks"],
      exclude: ["Tracing/KernelVerdicts.txt"], swiftSettings: settings),
    .testTarget(
      name: "TestingTests", dependencies: ["CPUIsolationTesting"], swiftSettings: settings),
    .testTarget(
      name: "MisuseTests", dependencies: ["CPUIsolation"], exclude: ["Fixtures"],
      swiftSettings: settings),
    .testTarget(
      name: "StressTests", dependencies: ["CPUIsolation", "CPUIsolationTesting", "CForks"],
      swiftSettings: settings),
    .testTarget(
      name: "HotPathTests", dependencies: ["CPUIsolation", "CCounters"], swiftSettings: settings),
    .testTarget(
      name: "ModelTests",
      dependencies: [
        "CPUIsolation", "isolation-mutants",
        .target(name: "ModelEngine", condition: .when(traits: ["ModelChecking"])),
      ], exclude: ["Patches", "Tables"], swiftSettings: settings),
    .target(name: "CRefusals", path: "Tests/Support/CRefusals"),
    .executableTarget(
      name: "refusing", dependencies: ["CRefusals"], path: "Tests/Support/Refusing"),
    .testTarget(
      name: "TextPatchingTests",
      dependencies: ["CPUIsolationTextPatching", "CPUIsolationTesting", "CForks", "CRefusals"],
      swiftSettings: settings),
    .executableTarget(
      name: "TraceLoad", dependencies: ["CPUIsolation", "CPUIsolationTrace"],
      path: "Tests/Support/TraceLoad", swiftSettings: settings),
    .testTarget(
      name: "TraceTests",
      dependencies: ["CPUIsolation", "CPUIsolationTrace", "IsolationTrace", "TraceLoad"],
      exclude: ["Fixtures"], swiftSettings: settings),
    .testTarget(
      name: "ArchitectureTests", exclude: ["PublicAPI.txt"], swiftSettings: settings),
    .testTarget(
      name: "ToolTests",
      dependencies: [
        "buffer-pool", "IsolationAudit", "IsolationDemo", "isolation-bench", "IsolationTrace",
        "probed-server", "CRefusals",
      ],
      swiftSettings: settings),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .c11
)

// CI runs some tests in builds of their own, and compiles no others for them.
if let named = Context.environment["CPUISOLATION_TESTS"]?.split(separator: " ").map(String.init) {
  package.targets.removeAll { $0.type == .test && !named.contains($0.name) }
}
