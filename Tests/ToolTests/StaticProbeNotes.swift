// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The notes of static probes in a program, as tools find them.
struct StaticProbeNotes {
  struct Probe {
    var provider = ""
    var name = ""
    /// One for each: its size in bytes, and where it is.
    var arguments: [(size: Int, register: String)] = []
    /// Offsets in the file: of the instruction, and of the half word that counts who watches.
    var instruction = 0
    var watchers = 0
    /// The instruction's first bytes.
    var code: [UInt8] = []
  }

  private(set) var probes: [Probe] = []

  private struct Section {
    let name, type, address, offset, size: Int
  }

  struct Broken: Error { let reason: String }

  /// Reads the notes of an ELF file of 64 bits.
  init(of program: URL) throws {
    let file = [UInt8](try Data(contentsOf: program, options: .alwaysMapped))
    func number(_ offset: Int, _ bytes: Int) -> Int {
      file[offset..<offset + bytes].reversed().reduce(0) { $0 << 8 | Int($1) }
    }
    func text(_ offset: Int) -> String {
      String(decoding: file[offset...].prefix { $0 != 0 }, as: UTF8.self)
    }
    guard file.prefix(5) == [0x7f, 0x45, 0x4c, 0x46, 2] else { throw Broken(reason: "no ELF") }
    let table = number(0x28, 8)
    let sections = (0..<number(0x3c, 2)).map { index in
      let header = table + index * number(0x3a, 2)
      return Section(
        name: number(header, 4), type: number(header + 4, 4), address: number(header + 16, 8),
        offset: number(header + 24, 8), size: number(header + 32, 8))
    }
    let names = sections[number(0x3e, 2)].offset
    func section(_ name: String) throws -> Section {
      guard let found = sections.first(where: { text(names + $0.name) == name }) else {
        throw Broken(reason: "no section \(name)")
      }
      return found
    }
    /// Where in the file what will be at an address is.
    func place(_ address: Int) throws -> Int {
      // What stands in the file, and at an address: neither a section of zeroes nor a note.
      guard
        let found = sections.first(where: {
          $0.type != 8 && $0.address != 0 && ($0.address..<$0.address + $0.size).contains(address)
        })
      else { throw Broken(reason: "nothing is at \(address)") }
      return address - found.address + found.offset
    }
    let notes = try section(".note.stapsdt")
    let base = try section(".stapsdt.base").address
    func padded(_ size: Int) -> Int { (size + 3) / 4 * 4 }
    var note = notes.offset
    while note < notes.offset + notes.size {
      let (owner, content) = (number(note, 4), number(note + 4, 4))
      guard number(note + 8, 4) == 3, text(note + 12) == "stapsdt" else {
        throw Broken(reason: "a note of another kind")
      }
      let words = note + 12 + padded(owner)
      note = words + padded(content)
      guard number(words + 8, 8) == base else { throw Broken(reason: "a base that is elsewhere") }
      var probe = Probe()
      probe.instruction = try place(number(words, 8))
      probe.watchers = try place(number(words + 16, 8))
      probe.code = Array(file[probe.instruction..<probe.instruction + 4])
      probe.provider = text(words + 24)
      probe.name = text(words + 24 + probe.provider.utf8.count + 1)
      let arguments = text(
        words + 24 + probe.provider.utf8.count + 1 + probe.name.utf8.count + 1)
      for argument in arguments.split(separator: " ") {
        let parts = argument.split(separator: "@")
        guard parts.count == 2, let size = Int(parts[0]) else {
          throw Broken(reason: "the argument \(argument)")
        }
        probe.arguments.append((size, String(parts[1])))
      }
      probes.append(probe)
    }
  }
}
