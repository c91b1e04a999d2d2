// SPDX-License-Identifier: Apache-2.0

import Glibc

/// What the figures were measured on.
public enum Machine {
  /// Processor, kernel, C library and date, as a line.
  public static var description: String {
    let processors = sysconf(Int32(_SC_NPROCESSORS_ONLN))
    var system = utsname()
    uname(&system)
    let release = withUnsafeBytes(of: &system.release) { bytes in
      String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    var name = [UInt8](repeating: 0, count: 64)
    // _CS_GNU_LIBC_VERSION, whose name is a macro.
    let length = name.withUnsafeMutableBytes { bytes in
      bytes.withMemoryRebound(to: CChar.self) { confstr(2, $0.baseAddress, $0.count) }
    }
    let library = String(decoding: name.prefix(max(0, length - 1)), as: UTF8.self)
    return "\(model), \(processors) processors, Linux \(release), \(library), \(date)"
  }

  private static var model: String {
    guard let file = fopen("/proc/cpuinfo", "r") else { return "unknown processor" }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 512)
    while fgets(&line, Int32(line.count), file) != nil {
      let text = String(
        decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      guard text.hasPrefix("model name"), let colon = text.firstIndex(of: ":") else { continue }
      return String(text[text.index(colon, offsetBy: 2)...].dropLast())
    }
    return "unknown processor"
  }

  private static var date: String {
    var now = time(nil)
    var parts = tm()
    gmtime_r(&now, &parts)
    func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return "\(1900 + parts.tm_year)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))"
  }
}
