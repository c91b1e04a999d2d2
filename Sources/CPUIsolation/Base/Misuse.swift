// SPDX-License-Identifier: Apache-2.0

internal import CPlatform

/// Writes one sentence to standard error and traps, in debug and release builds alike.
///
/// `precondition` prints nothing in a release build, and a server that dies without a word at three
/// in the morning is no help to anybody. The sentence names what was called and what was wrong with
/// it.
///
/// The second line names the place in the program that made the call: whoever offers a function that
/// can end here takes `file` and `line` from its caller. Not so what is a few instructions long and
/// on hot paths (a pool's pop and push, a probe's hit, a lookup, an insertion into a mask), and what
/// runs at the end of a value: there the sentence alone says what was wrong.
///
/// The function is never inlined, so a check on a hot path costs one predicted branch.
@usableFromInline @inline(never)
package func misuse(
  _ sentence: @autoclosure () -> String, _ file: StaticString = #fileID, _ line: UInt = #line
) -> Never {
  var text = "CPUIsolation: \(sentence())\n"
  text.withUTF8 { bytes in
    // Safety: the bytes are there for the call.
    unsafe cpi_write_error(bytes.baseAddress, bytes.count)
  }
  fatalError("the call that this is about", file: file, line: line)
}
