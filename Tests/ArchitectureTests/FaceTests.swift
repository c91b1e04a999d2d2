// SPDX-License-Identifier: Apache-2.0

import Testing

extension ArchitectureTests.PublicAPI {
  /// How many types a newcomer meets after `import CPUIsolation`: others stand in their owners.
  private static let limit = 45

  @Test func hasFewTypesAtItsTopLevel() throws {
    let types = try SourceTree.library().filter {
      // The checking build's own.
      $0.floor != "Scenarios" && !$0.path.hasSuffix("+Model.swift")
    }
    .flatMap { Declaration.all(in: $0, publicTypes: []) }
    .filter { $0.kind == .type && $0.owner.isEmpty && $0.name != nil && !$0.isForwarding }
    .compactMap(\.name)
    #expect(types.contains("Coordinator") && types.contains("TranslationKey"))
    #expect(!types.contains("SendReport"))
    #expect(types.count <= Self.limit, "\(types.count): \(types.sorted())")
  }
}
