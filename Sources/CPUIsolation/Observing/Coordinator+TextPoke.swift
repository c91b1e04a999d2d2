// SPDX-License-Identifier: Apache-2.0

extension Coordinator {
  /// Records that so many bytes of text are about to change, if that is recorded.
  package func traceTextPoke(
    at address: UInt64, bytes: Int, file: StaticString, line: UInt
  ) {
    guard core.isTraced(.textPoke) else { return }
    core.trace(
      .textPoke, address, UInt64(bytes), CoordinatorCore.traceAddress(of: CallSite(file, line)))
  }
}
