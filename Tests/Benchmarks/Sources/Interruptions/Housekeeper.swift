// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import Foundation

/// What a housekeeping thread of a server does beside an isolated loop, each a thousand times.
enum Housekeeper {
  private struct Record: Codable {
    var number: Int
    var name: String
    var values: [Double]
  }

  private static let times = 1000

  /// The CPU of the threads that it starts.
  static let cpu = 1000
  /// Whose CPU that is; set once, before the first operation.
  nonisolated(unsafe) static var coordinator: Coordinator?

  private static let records = (0..<1000).map { number in
    Record(number: number, name: "record \(number)", values: [1.5, 2.5, Double(number)])
  }

  static var operations: [Operation] {
    [
      Operation("housekeeper: array that grows to 1 MiB", times) {
        var bytes: [UInt8] = []
        while bytes.count < 1 << 20 {
          bytes.append(
            contentsOf: repeatElement(UInt8(truncatingIfNeeded: bytes.count), count: 512))
        }
        precondition(bytes.count == 1 << 20)
      },
      Operation("housekeeper: JSON of 1000 records", times) {
        let text = try? JSONEncoder().encode(records)
        precondition(text?.isEmpty == false)
      },
      Operation("housekeeper: launched thread that used 64 KiB of stack", times) {
        let thread = try? coordinator?.launch(on: cpu) { _ in UsedStack.write() }
        precondition(thread?.join() == .settled)
      },
    ]
  }
}

/// 64 KiB of the calling thread's stack.
enum UsedStack {
  @inline(never)
  static func write() {
    var bytes = [65536 of UInt8](repeating: 0)
    withUnsafeMutableBytes(of: &bytes) { memory in
      memset(memory.baseAddress!, 1, memory.count)
      Sink.keep(memory.baseAddress)
    }
    precondition(bytes[4095] == 1)
  }
}
