// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation
internal import CPlatform
internal import CTextPatching
internal import Synchronization

/// The memory of a patcher's sites: their text, mapped twice, and the words beside it.
///
///     text   a slot per site, written at one address and executed at another
///     words  line 0: how many traps; a line per CPU: its admission; a word per site: where a
///            thread goes on that met its breakpoint
///
/// It lives as long as the patcher or one of its sites, so a call that is under way keeps the text
/// that it executes.
// Sendable: constant addresses; the words are atomic, and the text is written by whoever has the
// patcher's turn.
@safe
final class TextMemory: @unchecked Sendable {
  let capacity: Int
  let layout: SlotLayout
  let cpuCount: Int
  private let text: ctp_text
  private let textBytes: Int
  private let words: UnsafeMutablePointer<Atomic<UInt64>>
  private let wordBytes: Int
  private let watch: OpaquePointer
  private let forks = cpi_fork_generation()

  private static let wordsPerLine = 16

  init(capacity: Int, cpuCount: Int, layout: SlotLayout) throws(IsolationError) {
    let page = 4096 * 16  // the largest that arm64 has
    let bytes = (capacity * SlotLayout.stride + page - 1) / page * page
    var text = unsafe ctp_text()
    let error = unsafe ctp_map(bytes, &text)
    if error != 0 { throw unsafe Self.refusal(text.refused, error) }
    let lines = (1 + cpuCount) * Self.wordsPerLine
    wordBytes = (lines + capacity) * 8
    guard let words = unsafe cpi_map_zeroed(wordBytes) else {
      unsafe ctp_unmap(&text, bytes)
      throw IsolationError(.outOfMemory, errno: 12, "cannot map \(wordBytes) bytes")
    }
    let base = unsafe words.bindMemory(to: UInt64.self, capacity: wordBytes / 8)
    var failure: Int32 = 0
    let watch = unsafe ctp_watch_text(
      text.executable!, capacity * SlotLayout.stride, SlotLayout.stride, layout.siteOffset,
      ctp_words(
        resume: base + lines, traps: base, admissions: base + Self.wordsPerLine,
        admission_count: cpuCount, admission_stride: Self.wordsPerLine), &failure)
    guard let watch = unsafe watch else {
      unsafe cpi_unmap(words, wordBytes)
      unsafe ctp_unmap(&text, bytes)
      throw IsolationError(
        failure == 16 ? .signalTaken : .textPatchingRefused, errno: failure,
        failure == 16
          ? "another handler of SIGTRAP was installed over the library's"
          : "cannot install the handler of SIGTRAP")
    }
    self.capacity = capacity
    self.layout = layout
    self.cpuCount = cpuCount
    unsafe self.text = unsafe text
    textBytes = bytes
    unsafe self.words = unsafe UnsafeMutableRawPointer(base).assumingMemoryBound(
      to: Atomic<UInt64>.self)
    unsafe self.watch = unsafe watch
  }

  deinit {
    unsafe ctp_unwatch_text(watch)
    // The text is not in the child of a fork: something else may be at these addresses.
    if cpi_fork_generation() == forks { unsafe ctp_unmap([text], textBytes) }
    unsafe cpi_unmap(words, wordBytes)
  }

  private static func refusal(_ step: ctp_step, _ error: Int32) -> IsolationError {
    let reason =
      switch step {
      case ctp_step_shadow_stack: "shadow stacks are in use, which patched calls do not keep"
      case ctp_step_memfd where error == 13: "vm.memfd_noexec forbids executable memory files"
      case ctp_step_memfd: "the system refuses a memory file"
      case ctp_step_executable where error == 13 || error == 1:
        "a security policy forbids executable memory"
      case ctp_step_executable: "the system refuses executable memory"
      default: "the system refuses the memory"
      }
    return IsolationError(
      .textPatchingRefused, errno: error, "machine code cannot be patched here: \(reason)")
  }

  // MARK: Words

  /// The attachment in which a CPU may execute sites; 0 for none. A line of its own: its thread
  /// reads it in every call.
  func admission(of cpu: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
    unsafe words + (1 + cpu) * Self.wordsPerLine
  }

  private func resume(of index: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
    unsafe words + (1 + cpuCount) * Self.wordsPerLine + index
  }

  var traps: UInt64 { unsafe words.pointee.load(ordering: .relaxed) }

  /// Lets the calling thread, which has this CPU, execute sites.
  ///
  /// The argument, against `text:F`/`text:M`. A patch writes a site and then reads the admissions;
  /// we write ours, synchronize, and then fetch the site.
  /// - If our exchange comes before the patch's look, the patch sends to this CPU, and waits or
  ///   defers.
  /// - Else the patch's bytes were written before our exchange, and since we synchronize after it,
  ///   we fetch them, or later ones.
  func admit(_ cpu: Int, attachment: UInt64) {
    ctp_unblock_traps()
    // Sequentially consistent — text:A. Before the synchronization. Dekker with text:F/text:M.
    // Pairs with text:M.
    _ = unsafe admission(of: cpu).pointee.exchange(attachment, ordering: .sequentiallyConsistent)
    ctp_synchronize_core(nil, cpu)
  }

  /// The CPUs of whose threads one has been admitted.
  func admitted() -> CPUMask {
    // Sequentially consistent fence — text:F. After the bytes of a phase. Pairs with text:A.
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    var mask = CPUMask()
    for cpu in 0..<cpuCount {
      // Sequentially consistent — text:M. After the fence. Pairs with text:A.
      let word = unsafe admission(of: cpu).pointee.load(ordering: .sequentiallyConsistent)
      if word != 0 { mask.insert(cpu) }
    }
    return mask
  }

  /// Makes every CPU ask again before it executes a site.
  func expel() {
    for cpu in 0..<cpuCount {
      // Sequentially consistent — text:E. Before what is pending is withdrawn. Pairs with entry:W.
      unsafe admission(of: cpu).pointee.store(0, ordering: .sequentiallyConsistent)
    }
  }

  // MARK: Text

  private func writable(_ index: Int, _ offset: Int) -> UnsafeMutablePointer<UInt8> {
    unsafe text.writable! + index * SlotLayout.stride + offset
  }

  /// The address that threads execute.
  func address(_ index: Int, _ offset: Int) -> UInt64 {
    unsafe UInt64(UInt(bitPattern: text.executable!)) + UInt64(index * SlotLayout.stride + offset)
  }

  func entry(of index: Int) -> PatchFunction {
    let address = UInt(address(index, layout.entry))
    return unsafe unsafeBitCast(
      UnsafeRawPointer(bitPattern: address).unsafelyUnwrapped, to: PatchFunction.self)
  }

  /// The bytes of a slot as threads see them.
  func bytes(of index: Int) -> [UInt8] {
    let base = unsafe text.executable! + index * SlotLayout.stride
    return (0..<SlotLayout.stride).map { unsafe base[$0] }
  }

  /// Writes a whole slot, which nobody executes.
  func make(_ index: Int, original: UInt64) {
    var slot = SlotBytes(base: address(index, 0), layout: layout, fill: NativeCode.fill)
    slot.put(address: original, at: SlotLayout.original)
    NativeCode.write(&slot, original: original)
    for (offset, byte) in slot.bytes.enumerated() {
      unsafe ctp_write_byte(writable(index, offset), byte)
    }
    publish(index, 0, SlotLayout.stride)
    setResume(index, address(index, layout.siteOffset + NativeCode.siteLength))
  }

  /// Writes the address of an arm that no thread uses.
  func setTarget(_ index: Int, arm: Int, _ target: UInt64) {
    unsafe UnsafeMutableRawPointer(writable(index, SlotLayout.arms[arm]))
      .storeBytes(of: target, as: UInt64.self)
  }

  /// Says where a thread goes on that meets the breakpoint.
  func setResume(_ index: Int, _ address: UInt64) {
    // Release — text:R. Before the breakpoint is written; the arm's address comes before it. Pairs
    // with the trap handler's acquire, in C.
    unsafe resume(of: index).pointee.store(address, ordering: .releasing)
  }

  /// Holds the bytes that are written next after the words.
  func orderWords() {
    // Sequentially consistent fence — text:B. The words of `text:R` before the breakpoints, for the
    // compiler too.
    atomicMemoryFence(ordering: .sequentiallyConsistent)
  }

  /// Writes what a phase writes of an instruction.
  func write(_ index: Int, _ phase: PatchPhase, _ code: [UInt8]) {
    let site = unsafe writable(index, layout.siteOffset)
    switch phase {
    case .breakpoint:
      #if !arch(arm64)
        unsafe ctp_write_byte(site, X86Code.breakpoint)
      #endif
    case .tail:
      for offset in 1..<code.count { unsafe ctp_write_byte(site + offset, code[offset]) }
    case .first where code.count == 4:
      let word = (0..<4).reduce(UInt32(0)) { $0 | UInt32(code[$1]) << (8 * $1) }
      unsafe ctp_write_word(site, word)
    case .first:
      unsafe ctp_write_byte(site, code[0])
    }
    publish(index, layout.siteOffset, code.count)
  }

  private func publish(_ index: Int, _ offset: Int, _ count: Int) {
    #if arch(arm64)
      unsafe ctp_publish_code(text.executable! + index * SlotLayout.stride + offset, count)
    #endif
  }
}
