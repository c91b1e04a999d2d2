// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import CPUIsolation

@Suite("IsolationError")
struct CoordinatorErrorTests {
  @Test("a system's number is part of the sentence, its absence is not")
  func description() {
    #expect(IsolationError(.cpuTaken, "CPU 3 is taken").description == "CPU 3 is taken")
    #expect(
      IsolationError(.pinningRefused, errno: 22, "no processor").description
        == "no processor: EINVAL: invalid argument")
    let error = IsolationError(
      .memoryLockRefused, errno: 1,
      hint: "locking memory needs CAP_IPC_LOCK or a higher RLIMIT_MEMLOCK",
      "cannot lock the memory for CPU 1")
    #expect(
      error.description
        == "cannot lock the memory for CPU 1: EPERM: operation not permitted; "
        + "locking memory needs CAP_IPC_LOCK or a higher RLIMIT_MEMLOCK")
    #expect(error.message == "cannot lock the memory for CPU 1")
    #expect(IsolationError(.closed, errno: 4_000, "odd").description == "odd: errno 4000")
  }

  @Test("codes are told apart, and name themselves")
  func codes() {
    let codes: [IsolationError.Code] = [
      .invalidConfiguration, .outOfMemory, .cpuTaken, .threadAlreadyAttached,
      .threadCreationFailed, .pinningRefused, .schedulingRefused, .memoryLockRefused, .signalTaken,
      .signalRefused, .tooManyWorkTypes, .unreachableMaximumAge, .watchdogRequired,
      .workTypeUnregistered, .timedOut, .closed, .forked, .fenceRefused,
    ]
    #expect(Set(codes).count == codes.count)
    #expect(Set(codes.map(\.description)).count == codes.count)
    #expect(IsolationError.Code.timedOut.description == "timedOut")
  }

  @Test("errors are caught by their code")
  func pattern() {
    func refuse() throws(IsolationError) { throw IsolationError(.closed, "closed") }
    do {
      try refuse()
      Issue.record("nothing was thrown")
    } catch let error where error.code == .closed {
      #expect(error.errno == 0)
    } catch {
      Issue.record("\(error)")
    }
  }
}
