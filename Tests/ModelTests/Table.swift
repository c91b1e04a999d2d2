// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  @testable import isolation_mutants

  /// A table in `Tests/ModelTests/Tables`: fields between tabs, a heading first.
  struct Table {
    let rows: [[Substring]]

    init(_ name: String) throws {
      let text = SourceLabels.text(PatchMutant.root + "/Tests/ModelTests/Tables/\(name).tsv")
      if text.isEmpty { throw Missing(name: name) }
      rows = text.split(separator: "\n").dropFirst().map {
        $0.split(separator: "\t", omittingEmptySubsequences: false)
      }
    }

    struct Missing: Error { var name: String }
  }
#endif
