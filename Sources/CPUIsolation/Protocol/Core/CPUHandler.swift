// SPDX-License-Identifier: Apache-2.0

/// A C function and its context, as they were handed in together.
///
/// Making one is what has to be argued: the function may be run with this context, on any thread, for
/// as long as the handler is kept.
// Sendable: nobody looks into the context but the function.
@safe @usableFromInline
struct CPUHandler: @unchecked Sendable {
  private let function: CPUFunction?
  fileprivate let context: UnsafeMutableRawPointer?

  init(_ function: CPUFunction?, _ context: UnsafeMutableRawPointer?) {
    unsafe self.function = unsafe function
    unsafe self.context = unsafe context
  }

  /// What does nothing.
  // Safety: nothing runs.
  static var none: CPUHandler { unsafe CPUHandler(nil, nil) }

  @inline(__always)
  func run(on cpu: Int) {
    // Safety: as the maker has argued.
    if let function = unsafe function { unsafe function(context, cpu) }
  }
}

/// The handler of a work type, which may be told more than the CPU.
// Sendable: as CPUHandler.
@safe
struct WorkHandler: @unchecked Sendable {
  private let handler: CPUHandler
  /// What runs instead, with the same context, for a type that is told more.
  private let payloadFunction: WorkType.PayloadFunction?

  init(_ handler: CPUHandler) {
    self.handler = handler
    unsafe payloadFunction = nil
  }

  init(_ payloadFunction: WorkType.PayloadFunction, _ context: UnsafeMutableRawPointer?) {
    handler = unsafe CPUHandler(nil, context)
    unsafe self.payloadFunction = unsafe payloadFunction
  }

  static var none: WorkHandler { WorkHandler(.none) }

  /// Runs the handler of a type that tells it nothing.
  @inline(__always)
  func run(on cpu: Int) { handler.run(on: cpu) }

  /// Runs the handler, and tells it what it was sent, if it takes that.
  func run(on cpu: Int, telling argument: UInt64) {
    guard let told = unsafe payloadFunction else { return run(on: cpu) }
    // Safety: as for the handler.
    unsafe told(handler.context, cpu, argument)
  }
}
