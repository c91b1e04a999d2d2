// SPDX-License-Identifier: Apache-2.0

/// The names of functions and where they are.
///
/// ```swift
/// let symbols = SymbolTable([
///   .init("flush", 0x1000..<0x1040), .init("refresh", 0x1040..<0x1100),
/// ])
/// symbols["flush"]              // 4096..<4160
/// symbols.symbol(at: 0x1042)    // refresh
/// ```
///
/// Filters ask it for `callback.function == flush`. The addresses are those in the records: real
/// ones, or numbers that stand for names.
///
/// - Source: `kallsyms_lookup_name`, `kallsyms_lookup_size_offset` (kernel/kallsyms.c, Linux).
/// - Progress: wait-free
/// - Context: any thread
/// - Allocates: the table, when it is made
public struct SymbolTable: Sendable {
  /// A function: its name and the addresses of its text.
  ///
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public struct Symbol: Hashable, Sendable {
    /// The name of the function.
    public let name: String
    /// Where its text is.
    public let addresses: Range<UInt64>

    /// Makes a symbol.
    ///
    /// `SymbolTable.Symbol("flush", 0x1000..<0x1040)`
    ///
    /// - Parameters:
    ///   - name: what filters and traces call it.
    ///   - addresses: its text: from its first byte up to the one after its last.
    /// - Progress: wait-free
    /// - Context: any thread
    /// - Allocates: never
    public init(_ name: String, _ addresses: Range<UInt64>) {
      self.name = name
      self.addresses = addresses
    }
  }

  /// Ordered by their first addresses.
  private let symbols: [Symbol]
  /// The first symbol of each name.
  private let indices: [String: Int]

  /// Makes a table. Of symbols with one name, the first in the order of addresses is found by it.
  ///
  /// - Parameter symbols: in any order.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: the table
  public init(_ symbols: some Sequence<Symbol> = []) {
    let ordered = symbols.sorted {
      ($0.addresses.lowerBound, $0.name) < ($1.addresses.lowerBound, $1.name)
    }
    self.symbols = ordered
    indices = Dictionary(ordered.indices.map { (ordered[$0].name, $0) }) { first, _ in first }
  }

  /// Returns where a function's text is, or `nil`.
  ///
  /// - Parameter name: the symbol's whole name.
  /// - Returns: its addresses.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public subscript(name: String) -> Range<UInt64>? {
    indices[name].map { symbols[$0].addresses }
  }

  /// Returns the function whose text an address is in, or `nil`.
  ///
  /// - Parameter address: any address.
  /// - Returns: the symbol; the first in order where several have the address.
  /// - Complexity: logarithmic in the number of symbols.
  /// - Progress: wait-free
  /// - Context: any thread
  /// - Allocates: never
  public func symbol(at address: UInt64) -> Symbol? {
    var low = 0
    var high = symbols.count
    while low < high {
      let middle = (low + high) / 2
      if symbols[middle].addresses.lowerBound <= address { low = middle + 1 } else { high = middle }
    }
    guard low > 0, symbols[low - 1].addresses.contains(address) else { return nil }
    return symbols[low - 1]
  }
}
