// SPDX-License-Identifier: Apache-2.0

import CPUIsolation

@testable import CPUIsolationTrace

/// Payloads of the built-in events, byte by byte.
enum TestPayload {
  static func bytes(_ value: some FixedWidthInteger) -> [UInt8] {
    (0..<value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  /// The common fields; the number of the event is put in by the recording.
  static func head(_ thread: Int32) -> [UInt8] { [0, 0, 0, 0] + bytes(thread) }

  static func sendCPU(_ cpu: UInt32, from callsite: UInt64, to callback: UInt64, thread: Int32)
    -> [UInt8]
  {
    head(thread) + bytes(cpu) + bytes(UInt32(0)) + bytes(callsite) + bytes(callback)
  }

  static func sendMask(
    _ mask: [UInt64], from callsite: UInt64, to callback: UInt64, thread: Int32
  ) -> [UInt8] {
    let place = UInt32(32) | UInt32(mask.count * 8) << 16
    return head(thread) + bytes(place) + bytes(UInt32(0)) + bytes(callsite) + bytes(callback)
      + mask.flatMap { bytes($0) }
  }

  static func queue(_ cpu: UInt32, _ function: UInt64, thread: Int32) -> [UInt8] {
    head(thread) + bytes(cpu) + bytes(UInt32(0)) + bytes(UInt64(0x2004)) + bytes(function)
      + bytes(UInt64(0xabc0))
  }

  static func function(_ function: UInt64, thread: Int32) -> [UInt8] {
    head(thread) + bytes(function) + bytes(UInt64(0))
  }

  static func deferral(_ cpu: UInt32, _ work: UInt64, thread: Int32, last: UInt64) -> [UInt8] {
    head(thread) + bytes(cpu) + bytes(UInt32(0)) + bytes(work) + bytes(last)
  }

  static func transition(_ count: UInt64, thread: Int32) -> [UInt8] { head(thread) + bytes(count) }
}

enum TestRecording {
  static func empty(cpuCount: Int) -> TraceRecording {
    var recording = TraceRecording(cpuCount: cpuCount)
    for format in TraceEventFormat.builtIn { recording.define(format) }
    recording.nameSymbol("flush", at: 0x1000)
    recording.nameSymbol("sync text", at: 0x1010)
    recording.nameSymbol("Housekeeper.run", at: 0x2000)
    recording.nameSymbol("end", at: 0x3000)
    recording.nameThread(100, "housekeeper")
    recording.nameThread(101, "router one")
    return recording
  }

  static func id(_ name: String) -> Int { TraceEventFormat.builtIn(named: name)!.id }

  /// One of everything that a report has to print: several CPUs, equal stamps, masks, losses with
  /// and without a count, unknown threads and addresses, and times far apart and backwards.
  static func manifold() -> TraceRecording {
    var recording = empty(cpuCount: 4)
    func send(_ cpu: UInt32, _ thread: Int32, _ callback: UInt64 = 0x1000) -> [UInt8] {
      TestPayload.sendCPU(cpu, from: 0x2010, to: callback, thread: thread)
    }
    let sendCPU = id("ipi_send_cpu")
    let sendMask = id("ipi_send_cpumask")
    recording.append(cpu: 1, timestamp: 5_000, event: sendCPU, payload: send(0, 101))
    recording.append(cpu: 0, timestamp: 5_000, event: sendCPU, payload: send(1, 100))
    recording.append(cpu: 0, timestamp: 5_499, event: sendCPU, payload: send(2, 0, 0x1012))
    recording.append(cpu: 0, timestamp: 5_500, event: sendCPU, payload: send(2, -1, 0))
    recording.append(cpu: 0, timestamp: 6_000, event: sendCPU, payload: send(3, 1_234_567, 0x9999))
    recording.lost(cpu: 0, count: 17)
    for (index, mask) in [[0b1101], [0, 1], [UInt64.max], [0], [1 << 63, 1, 0b110], []].enumerated()
    {
      recording.append(
        cpu: 0, timestamp: 10_000_000_000 + UInt64(index), event: sendMask,
        payload: TestPayload.sendMask(mask, from: 0x2000, to: 0x1010, thread: 100))
    }
    recording.append(
      cpu: 0, timestamp: 9_000_000_000, event: id("csd_queue_cpu"),
      payload: TestPayload.queue(3, 0x1010, thread: 100))
    recording.lost(cpu: 2, count: nil)
    recording.append(
      cpu: 2, timestamp: 11_000_000_000, event: id("csd_function_entry"),
      payload: TestPayload.function(0x1010, thread: 101))
    recording.append(
      cpu: 2, timestamp: 1 << 60, event: id("csd_function_exit"),
      payload: TestPayload.function(0x1010, thread: 101))
    return recording
  }

  /// An isolated CPU 1 in user, for which CPU 0 defers, and which it interrupts twice.
  static func interplay() -> TraceRecording {
    var recording = empty(cpuCount: 2)
    var events: [(UInt64, Int, String, [UInt8])] = []
    func add(_ time: UInt64, _ cpu: Int, _ event: String, _ payload: [UInt8]) {
      events.append((time, cpu, event, payload))
    }
    add(1_000, 1, "context_user_enter", TestPayload.transition(1, thread: 101))
    add(2_000, 0, "deferred_work_set", TestPayload.deferral(1, 0x1000, thread: 100, last: 0x2004))
    add(2_500, 0, "deferred_work_merge", TestPayload.deferral(1, 0x1000, thread: 100, last: 0x2004))
    for time in [3_000, 4_000] as [UInt64] {
      add(time, 0, "csd_queue_cpu", TestPayload.queue(1, 0x1010, thread: 100))
      add(
        time + 10, 0, "ipi_send_cpu",
        TestPayload.sendCPU(1, from: 0x2008, to: 0x1010, thread: 100))
      add(time + 100, 1, "csd_function_entry", TestPayload.function(0x1010, thread: 101))
      add(time + 200, 1, "csd_function_exit", TestPayload.function(0x1010, thread: 101))
    }
    add(9_000, 1, "context_user_exit", TestPayload.transition(2, thread: 101))
    add(9_100, 1, "deferred_work_drain", TestPayload.deferral(1, 0x1000, thread: 101, last: 7_100))
    // Set before the recording began: only the age tells.
    add(9_200, 1, "deferred_work_drain", TestPayload.deferral(1, 0x1010, thread: 101, last: 9_000))
    add(9_500, 0, "deferred_work_set", TestPayload.deferral(1, 0x1000, thread: 100, last: 0x2004))
    for (time, cpu, event, payload) in events {
      recording.append(cpu: cpu, timestamp: time, event: id(event), payload: payload)
    }
    return recording
  }
}

extension TraceRecording {
  /// The report, line by line.
  func reportLines(
    _ style: TraceTextReport.Style = .kernel, showsLatency: Bool = true
  ) -> [String] {
    var report = TraceTextReport(self, style: style, showsLatency: showsLatency)
    var records = records()
    var text: [UInt8] = []
    while let record = records.next() {
      if report.append(record, following: records.following(record), to: &text) {
        text.append(UInt8(ascii: "\n"))
      }
    }
    return [report.heading]
      + String(decoding: text, as: UTF8.self).split(separator: "\n").map(String.init)
  }
}
