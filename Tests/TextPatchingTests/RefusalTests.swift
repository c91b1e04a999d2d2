// SPDX-License-Identifier: Apache-2.0

import CPUIsolation
import CPUIsolationTextPatching
import CRefusals
import Glibc
import Testing

extension TextPatchingTests {
  /// Where the system forbids executable memory, it says so, and nothing is left behind.
  @Suite struct Refusals {
    /// Whether making a patcher is refused with that sentence and number.
    private static func isRefused(_ number: Int32, _ reason: String) throws -> Bool {
      let coordinator = try Coordinator.quiet()
      do throws(IsolationError) {
        _ = try TextPatcher(coordinator: coordinator)
        return false
      } catch {
        let name =
          number == EACCES ? "EACCES: permission denied" : "ENOSYS: not offered by this system"
        let text = "machine code cannot be patched here: \(reason): \(name)"
        if error.code == .textPatchingRefused, error.errno == number, "\(error)" == text {
          return true
        }
        print(error)
        return false
      }
    }

    /// What `vm.memfd_noexec=2` answers.
    @Test func memoryFilesAreNotExecutable() async {
      await #expect(processExitsWith: .exitCode(9)) {
        guard crf_refuse_memory_files(EACCES) == 0 else { _exit(2) }
        let isSaid = try Self.isRefused(
          EACCES, "vm.memfd_noexec forbids executable memory files")
        _exit(isSaid ? 9 : 1)
      }
    }

    /// What SELinux answers to a process without `execmem`.
    @Test func aPolicyForbidsExecution() async {
      await #expect(processExitsWith: .exitCode(9)) {
        guard crf_refuse_executable_mappings(EACCES) == 0 else { _exit(2) }
        let isSaid = try Self.isRefused(
          EACCES, "a security policy forbids executable memory")
        _exit(isSaid ? 9 : 1)
      }
    }

    /// A kernel without memory files.
    @Test func thereAreNoMemoryFiles() async {
      await #expect(processExitsWith: .exitCode(9)) {
        guard crf_refuse_memory_files(ENOSYS) == 0 else { _exit(2) }
        _exit(try Self.isRefused(ENOSYS, "the system refuses a memory file") ? 9 : 1)
      }
    }

    /// No file can be opened.
    @Test func thereAreTooManyFiles() async {
      await #expect(processExitsWith: .exitCode(9)) {
        let coordinator = try Coordinator.quiet()
        var limit = rlimit(rlim_cur: 0, rlim_max: 0)
        guard unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
          _exit(2)
        }
        do throws(IsolationError) {
          _ = try TextPatcher(coordinator: coordinator)
          _exit(1)
        } catch {
          _exit(error.code == .textPatchingRefused && error.errno == EMFILE ? 9 : 3)
        }
      }
    }

    /// A hardened service forbids that what is written becomes executable: here nothing does, one
    /// address is written and another executed.
    @Test func writableOrExecutableIsEnough() async {
      await #expect(processExitsWith: .exitCode(9)) {
        try onThisThread {
          let error = crf_refuse_execution_of_what_is_written()
          // A kernel before 6.3 does not know it.
          guard error == 0 else { _exit(error == EINVAL ? 9 : 2) }
          let coordinator = try Coordinator.quiet()
          let patcher = try TextPatcher(coordinator: coordinator)
          let site = try patcher.makeSite("site", original: Functions.original)
          try patcher.patch(site, to: .jump(to: Functions.replacement))
          let cpu = try coordinator.attach(to: 1)
          _exit(site(on: cpu, 1, 1) == 1_001 ? 9 : 1)
        }
      }
    }

    /// No mapping of the process may be written and executed at one address.
    @Test func noAddressIsWritableAndExecutable() throws {
      let patcher = try TextPatcher(coordinator: try Coordinator.quiet())
      let file = unsafe open("/proc/self/maps", O_RDONLY)
      defer { close(file) }
      var text: [UInt8] = []
      var chunk = [UInt8](repeating: 0, count: 1 << 16)
      while case let count = unsafe read(file, &chunk, chunk.count), count > 0 {
        text += chunk[..<count]
      }
      var views: [String] = []
      for line in String(decoding: text, as: UTF8.self).split(separator: "\n") {
        #expect(!line.contains(" rwx"), "\(line)")
        if line.contains("memfd:patch sites") {
          views.append(String(line.split(separator: " ")[1]))
        }
      }
      #expect(Set(views).isSuperset(of: ["rw-s", "r-xs"]), "\(views)")
      #expect(Set(views).count == 2)
      withExtendedLifetime(patcher) {}
    }
  }
}
