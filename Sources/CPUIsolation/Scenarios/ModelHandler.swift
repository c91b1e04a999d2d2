// SPDX-License-Identifier: Apache-2.0

#if ModelChecking
  /// What a scenario has run for a work type or a call: a closure that is told the machine.
  final class ModelHandler {
    private unowned let machine: ModelMachine
    private let body: (ModelMachine, Int, UInt64) -> Void

    fileprivate init(
      _ machine: ModelMachine, _ body: @escaping (ModelMachine, Int, UInt64) -> Void
    ) {
      self.machine = machine
      self.body = body
    }

    fileprivate static func run(
      _ context: UnsafeMutableRawPointer?, _ cpu: Int, _ payload: UInt64
    ) {
      // Safety: the machine keeps its handlers until the execution is over.
      let handler = unsafe Unmanaged<ModelHandler>.fromOpaque(context!).takeUnretainedValue()
      handler.body(handler.machine, cpu, payload)
    }
  }

  extension ModelMachine {
    /// A function and a context for a call.
    func handler(_ body: @escaping (ModelMachine, Int) -> Void) -> CPUHandler {
      let handler = keep(ModelHandler(self) { machine, cpu, _ in body(machine, cpu) })
      // Safety: the machine keeps it until the execution is over.
      return unsafe CPUHandler({ unsafe ModelHandler.run($0, $1, 0) }, handler.pointer)
    }

    /// A function and a context for a work type that is told a payload.
    func handler(telling body: @escaping (ModelMachine, Int, UInt64) -> Void) -> WorkHandler {
      let handler = keep(ModelHandler(self, body))
      // Safety: as above.
      return unsafe WorkHandler({ unsafe ModelHandler.run($0, $1, $2) }, handler.pointer)
    }

    private func keep(_ handler: ModelHandler) -> Address {
      handlers.append(handler)
      return unsafe Address(Unmanaged.passUnretained(handler).toOpaque())
    }
  }

  extension MappedMemory {
    /// Zeroes the memory, or its beginning.
    func clear(_ range: Range<Int>? = nil) {
      let range = range ?? 0..<byteCount
      // Safety: no body runs, and what was there is made again.
      unsafe (address + range.lowerBound).pointer.initializeMemory(
        as: UInt8.self, repeating: 0, count: range.count)
    }
  }
#endif
