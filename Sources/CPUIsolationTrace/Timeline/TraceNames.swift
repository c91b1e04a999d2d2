// SPDX-License-Identifier: Apache-2.0

/// Every name of a timeline once: what happens often keeps a number.
struct TraceNames: Sendable {
  private(set) var texts: [String] = []
  private var numbers: [String: Int32] = [:]
  private var functions: [UInt64: Int32] = [:]

  subscript(number: Int32) -> String { texts[Int(number)] }

  mutating func number(of text: String) -> Int32 {
    if let known = numbers[text] { return known }
    let number = Int32(texts.count)
    texts.append(text)
    numbers[text] = number
    return number
  }

  /// The function that an address lies in, or the address.
  mutating func number(ofFunctionAt address: UInt64, _ symbols: TraceSymbols) -> Int32 {
    if let known = functions[address] { return known }
    let number = number(
      of: symbols.symbol(at: address)?.name ?? "0x" + String(address, radix: 16))
    functions[address] = number
    return number
  }
}
