// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// A plug-in that contains the library is unloaded: what the library has left behind still runs.
@Suite struct UnloadingTests {
  /// A program that opens the C part as a shared object, uses it from a thread, closes it, ends the
  /// thread and forks.
  private static let program = """
    #include <dlfcn.h>
    #include <pthread.h>
    #include <sys/wait.h>
    #include <unistd.h>
    static void *use(void *library) {
      unsigned (*take)(void) = (unsigned (*)(void))dlsym(library, "cpi_take_thread_number");
      if (!take || take() == 0) _exit(3);
      dlclose(library);
      return NULL;
    }
    int main(int count, char **arguments) {
      void *library = count > 1 ? dlopen(arguments[1], RTLD_NOW) : NULL;
      if (!library) return 2;
      pthread_t thread;
      if (pthread_create(&thread, NULL, use, library) != 0) return 2;
      pthread_join(thread, NULL);
      pid_t child = fork();
      if (child == 0) _exit(0);
      int status = 1;
      waitpid(child, &status, 0);
      return status != 0;
    }
    """

  @Test func whatIsLeftBehindStillRuns() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let source = folder.appending(path: "program.c")
    try Self.program.write(to: source, atomically: true, encoding: .utf8)
    let shim = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
      .appending(path: "Sources/CPlatform")
    let parts = try FileManager.default.contentsOfDirectory(atPath: shim.path)
      .filter { $0.hasSuffix(".c") }.map { shim.appending(path: $0).path }
    #expect(parts.count >= 4)
    let library = folder.appending(path: "plug.so").path
    let program = folder.appending(path: "program").path
    try run(
      "clang", ["-shared", "-fPIC", "-I\(shim.path)/include", "-o", library] + parts)
    try run("clang", ["-o", program, source.path, "-ldl", "-lpthread"])
    try run(program, [library])
  }

  private func run(_ program: String, _ arguments: [String]) throws {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = [program] + arguments
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationReason == .exit && process.terminationStatus == 0, "\(program)")
  }
}
