// SPDX-License-Identifier: Apache-2.0

/// What is wrong with a filter, while the text it is wrong in is known anyway.
struct FilterFault: Error {
  var code: TraceFilter.ParseError.Code
  var position: Int
  var hint: String?
  /// Where the kernel has its caret: after what it had read.
  var kernelPosition: Int

  init(_ code: TraceFilter.ParseError.Code, at position: Int, _ hint: String? = nil) {
    self.code = code
    self.position = position
    self.hint = hint
    kernelPosition = position
  }
}
