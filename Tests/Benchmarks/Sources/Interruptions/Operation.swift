// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Something that a thread does, so often.
struct Operation: Sendable {
  let name: String
  let count: Int
  let run: @Sendable (_ count: Int) -> Void

  init(_ name: String, _ count: Int, _ body: @escaping @Sendable () -> Void) {
    self.name = name
    self.count = count
    run = { count in for _ in 0..<count { body() } }
  }

  init(_ name: String, _ count: Int, each run: @escaping @Sendable (_ count: Int) -> Void) {
    self.name = name
    self.count = count
    self.run = run
  }

  static let all: [Operation] = allocator + mappings + processes + collections

  private static let page = 4096
  private static let kibibyte = 1024

  // MARK: The allocator

  private static let allocator = [
    Operation("malloc and free, 1 MiB", 1000) { take(1024 * kibibyte) },
    Operation("malloc and free, 40 MiB", 100) { take(40 * 1024 * kibibyte) },
    batches(of: 4), batches(of: 64),
    Operation("realloc, doubling to 16 MiB", 100) {
      var block = malloc(kibibyte)
      var bytes = kibibyte
      while bytes < 16 * 1024 * kibibyte {
        bytes *= 2
        block = realloc(block, bytes)
        memset(block!, 1, bytes)
        Sink.keep(block)
      }
      free(block)
    },
  ]

  private static func take(_ bytes: Int) {
    let block = malloc(bytes)
    memset(block!, 1, bytes)
    Sink.keep(block)
    free(block)
  }

  private static func batches(of size: Int) -> Operation {
    Operation("block of \(size) KiB, 64 freed in reverse", 6400) { count in
      for _ in 0..<max(1, count / 64) {
        var blocks: [UnsafeMutableRawPointer?] = []
        for _ in 0..<64 {
          blocks.append(malloc(size * kibibyte))
          memset(blocks.last!!, 1, size * kibibyte)
          Sink.keep(blocks.last!)
        }
        for block in blocks.reversed() { free(block) }
      }
    }
  }

  // MARK: Mappings

  private static let mappings = [
    Operation("mmap, write, munmap", 1000) {
      let memory = map(page)
      memset(memory, 1, page)
      munmap(memory, page)
    },
    onPage("mprotect of a written page") { mprotect($0, page, PROT_READ) },
    onPage("madvise DONTNEED of a written page") { madvise($0, page, 4) },
    Operation("first write to a page never touched", 1000) { count in
      let memory = map(count * page)
      for index in 0..<count { memset(memory + index * page, 1, 1) }
    },
    Operation("first write to a page read before", 1000) { count in
      let memory = map(count * page)
      var sum = 0
      for index in 0..<count {
        sum += Int(memory.load(fromByteOffset: index * page, as: UInt8.self))
      }
      for index in 0..<count { memset(memory + index * page, 1 + Int32(sum), 1) }
    },
    Operation("msync of 16 dirty pages of a file", 100) { count in
      onFile { file in
        let memory = mmap(nil, 16 * page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)!
        for _ in 0..<count {
          memset(memory, 1, 16 * page)
          msync(memory, 16 * page, Int32(MS_SYNC))
        }
        munmap(memory, 16 * page)
      }
    },
    Operation("pwrite of 16 pages and fdatasync", 100) { count in
      onFile { file in
        let bytes = [UInt8](repeating: 1, count: 16 * page)
        for _ in 0..<count {
          _ = pwrite(file, bytes, bytes.count, 0)
          fdatasync(file)
        }
      }
    },
  ]

  private static func map(_ bytes: Int) -> UnsafeMutableRawPointer {
    let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)!
    // A huge page would be one page for all.
    madvise(memory, bytes, 15)
    return memory
  }

  private static func onPage(
    _ name: String, _ body: @escaping @Sendable (UnsafeMutableRawPointer) -> Int32
  ) -> Operation {
    Operation(name, 1000) { count in
      let memory = map(page)
      for _ in 0..<count {
        mprotect(memory, page, PROT_READ | PROT_WRITE)
        memset(memory, 1, page)
        _ = body(memory)
      }
    }
  }

  private static func onFile(_ body: (Int32) -> Void) {
    guard let stream = tmpfile() else { return }
    let file = fileno(stream)
    ftruncate(file, off_t(16 * page))
    body(file)
    fclose(stream)
  }

  // MARK: Threads and processes

  private static let processes = [
    Operation("thread, made and joined", 1000) { thread { _ in nil } },
    Operation("thread that used 64 KiB of stack", 1000) {
      thread { _ in
        UsedStack.write()
        return nil
      }
    },
    Operation("posix_spawn and waitpid", 100) {
      var child: pid_t = 0
      let name = strdup("true")
      var arguments: [UnsafeMutablePointer<CChar>?] = [name, nil]
      if posix_spawnp(&child, "true", nil, nil, &arguments, environ) == 0 {
        var status: Int32 = 0
        waitpid(child, &status, 0)
      }
      free(name)
    },
    Operation("getrusage", 1000) {
      var usage = rusage()
      getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    },
  ]

  private static func thread(
    _ body: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer?
  ) {
    var thread = pthread_t()
    if pthread_create(&thread, nil, body, nil) == 0 { pthread_join(thread, nil) }
  }

  // MARK: Collections

  private static let collections = [
    Operation("array that grows to 128 KiB", 1000) { grow(128 * kibibyte) },
    Operation("array that grows to 1 MiB", 1000) { grow(1024 * kibibyte) },
    Operation("dictionary of 100 000", 20) {
      var numbers: [Int: Int] = [:]
      for number in 0..<100_000 { numbers[number] = number }
      precondition(numbers.count == 100_000)
    },
  ]

  private static func grow(_ bytes: Int) {
    var numbers: [UInt64] = []
    for number in 0..<bytes / 8 { numbers.append(UInt64(number)) }
    precondition(numbers.count == bytes / 8)
  }
}
