// SPDX-License-Identifier: Apache-2.0

/// What events are printed with: names of addresses, texts of `trace_printk`, the recorder's clock.
struct PrintEnvironment: Sendable {
  let symbols: TraceSymbols
  let printkTexts: [UInt64: [UInt8]]
  /// How many ticks of the recording kernel are in a second: 1000 makes `jiffies_to_msecs` print
  /// ticks.
  var ticksPerSecond: UInt64 = 1000

  /// The symbols of addresses that were looked up lately.
  private var cache: [(address: UInt64, place: TraceSymbols.Place?)]
  private static let cacheSize = 1024

  init(symbols: TraceSymbols, printkTexts: [UInt64: [UInt8]]) {
    self.symbols = symbols
    self.printkTexts = printkTexts
    cache = Array(repeating: (0, symbols.place(of: 0)), count: Self.cacheSize)
  }

  /// The symbol that an address lies in.
  @inline(__always)
  mutating func place(of address: UInt64) -> TraceSymbols.Place? {
    // The low bits of the starts of functions are zeros.
    let slot =
      Int(truncatingIfNeeded: (address ^ address >> 10) &* 0x9e37_79b9 >> 20) & (Self.cacheSize - 1)
    if cache[slot].address == address { return cache[slot].place }
    let place = symbols.place(of: address)
    cache[slot] = (address, place)
    return place
  }

  /// The name of the function at an address, as `%ps`, `%pS` and `%pB` print it.
  mutating func appendFunction(
    _ address: UInt64, showsOffset: Bool, isReturn: Bool = false, showsModule: Bool,
    to line: inout [UInt8]
  ) {
    // A call may be the last thing that a function does: then the next one begins where it returns.
    guard let place = place(of: isReturn && address > 0 ? address &- 1 : address) else {
      line.append("0x")
      line.appendHexadecimal(address)
      return
    }
    let text = symbols.text
    line.append(text, place.name)
    if showsOffset {
      line.append("+0x")
      line.appendHexadecimal(place.offset &+ (isReturn ? 1 : 0))
    }
    if showsModule, let module = place.module {
      line.append(" ")
      line.append(text, module)
    }
  }

  /// The name of a function without its module, or its address without `0x`.
  mutating func appendName(_ address: UInt64, to line: inout [UInt8]) {
    if let place = place(of: address) {
      line.append(symbols.text, place.name)
    } else {
      line.appendHexadecimal(address)
    }
  }
}
