// SPDX-License-Identifier: Apache-2.0

public import CPUIsolation
internal import Synchronization

/// A function whose first machine instruction is patched: while that is a nop, no flag is loaded
/// and no branch depends on one.
///
///     let route = try patcher.makeSite("route", original: shortestPath)
///     // on a CPU, in kernel:
///     let hop = route(on: cpu, table, destination)  // runs shortestPath
///     // on a housekeeper:
///     try patcher.patch(route, to: .jump(to: leastLoaded))
///     // the next call on any CPU, however long it stayed in user, runs leastLoaded
///
/// Sites are called in kernel alone. That is what lets a CPU in user be left in peace while a
/// site is patched: it is not executing any, and throws away what it has fetched ahead when it
/// enters. A call in user ends the process with a sentence.
///
/// Not for what changes often: a patch takes microseconds, and waits for CPUs in kernel. Not
/// where a load and a branch do: they take a quarter of a nanosecond, a call through a site takes
/// four, most of them for the check that the CPU is in kernel.
///
/// - Progress: wait-free to call
/// - Context: owner, in kernel
/// - Allocates: when it is made
public final class PatchSite: Sendable {
  /// What it is called in messages.
  public let name: String

  let memory: TextMemory
  let index: Int
  private let coordinator: Coordinator
  private let entry: PatchFunction

  init(_ name: String, _ memory: TextMemory, index: Int, of coordinator: Coordinator) {
    self.name = name
    self.memory = memory
    self.index = index
    self.coordinator = coordinator
    entry = memory.entry(of: index)
  }

  /// What the site's instruction does.
  ///
  ///     try patcher.patch(route, to: .call(countThem))
  public enum Instruction: Sendable {
    /// Nothing: the original runs.
    case nop
    /// Another function runs in place of the original.
    case jump(to: PatchFunction)
    /// A hook runs with the same arguments before the original; what it returns is dropped.
    case call(PatchFunction)
  }

  /// Calls the site.
  ///
  ///     let hop = route(on: cpu, table, destination)
  ///
  /// The arguments are handed on as they are. The functions after it must not throw or unwind: the
  /// generated code has no tables for that, and a backtrace through a hook ends at the site.
  ///
  /// - Parameters:
  ///   - cpu: the calling thread's CPU.
  ///   - first: the function's first argument.
  ///   - second: the function's second argument; 0 unless given.
  /// - Returns: what the original, or the function in its place, returned.
  /// - Progress: as the function that it runs; the first call of an attachment makes a system call
  /// - Context: owner, in kernel, outside handlers
  /// - Allocates: never
  public func callAsFunction(
    on cpu: borrowing LocalCPU, _ first: Int, _ second: Int = 0
  ) -> Int {
    let handle = cpu.handle
    if !isAdmitted(handle) { admit(handle) }
    return entry(first, second)
  }

  /// Calls the site, for code that has a CPU's handle.
  ///
  ///     let hop = route(on: handle, table, destination)
  ///
  /// It checks what the compiler checks for a `LocalCPU`: that this is the CPU's thread, and no
  /// handler.
  ///
  /// - Parameters:
  ///   - cpu: a handle of the calling thread's CPU.
  ///   - first: the function's first argument.
  ///   - second: the function's second argument; 0 unless given.
  /// - Returns: what the original, or the function in its place, returned.
  /// - Progress: as the function that it runs; the first call of an attachment makes a system call
  /// - Context: owner, in kernel, outside handlers
  /// - Allocates: never
  public func callAsFunction(on cpu: CPUHandle, _ first: Int, _ second: Int = 0) -> Int {
    if !cpu.isCallers {
      misuse("site \(name) was called on CPU \(cpu.number) by another thread")
    }
    if cpu.isInHandler {
      misuse("site \(name) was called on CPU \(cpu.number) inside a handler")
    }
    if !isAdmitted(cpu) { admit(cpu) }
    return entry(first, second)
  }

  @inline(__always)
  private func isAdmitted(_ cpu: CPUHandle) -> Bool {
    // Another coordinator may have more CPUs than ours.
    guard cpu.number < memory.cpuCount else { return false }
    // Relaxed: this CPU's thread alone makes it its attachment's.
    let admitted = unsafe memory.admission(of: cpu.number).pointee.load(ordering: .relaxed)
    return cpu.isInKernel(of: coordinator, attachment: admitted)
  }

  @inline(never)
  private func admit(_ cpu: CPUHandle) {
    guard cpu.belongs(to: coordinator) else {
      misuse("site \(name) was called on CPU \(cpu.number) of another coordinator")
    }
    guard cpu.context == .kernel else {
      misuse(
        "site \(name) was called on CPU \(cpu.number) in \(cpu.context): it has to be in kernel")
    }
    if coordinator.wasForked {
      misuse("site \(name) was called in the child of a fork, which has no patch sites")
    }
    memory.admit(cpu.number, attachment: cpu.attachment)
  }
}

/// A C function that a site runs: two words, and a result. A pointer travels as its bit pattern.
///
/// It must not throw or unwind.
public typealias PatchFunction = @Sendable @convention(c) (Int, Int) -> Int

extension PatchSite.Instruction {
  /// The function's address; 0 for none.
  var target: UInt64 {
    switch self {
    case .nop: 0
    case .jump(let function), .call(let function):
      unsafe UInt64(UInt(bitPattern: unsafeBitCast(function, to: UnsafeRawPointer.self)))
    }
  }

  func isSame(as other: Self) -> Bool {
    switch (self, other) {
    case (.nop, .nop): true
    case (.jump, .jump), (.call, .call): target == other.target
    default: false
    }
  }
}
