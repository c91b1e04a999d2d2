// SPDX-License-Identifier: Apache-2.0

/// The left side of a predicate: a field of the record, or something that every record has without
/// carrying it.
struct FilterField: Equatable {
  enum Kind: Equatable {
    case record(TraceEventFormat.Field.Kind)
    /// The CPU that records.
    case cpu
    /// The name of the thread that records.
    case taskName
    /// The kernel's own; it can be named and never matches.
    case stackTrace
  }

  var name: String
  var kind: Kind
  var offset: Int
  var size: Int
  var isSigned: Bool

  /// An event's own field goes before a generic one of the same name.
  ///
  /// A generic field has no bytes in the record, so that nothing that goes by size applies to it.
  static func find(_ name: String, in event: TraceEventFormat) -> FilterField? {
    let common = TraceEventFormat.commonFields.count
    if let field = event.fields.dropFirst(common).first(where: { $0.name == name }) {
      return FilterField(field)
    }
    switch name {
    case "CPU", "cpu", "common_cpu":
      return FilterField(name: name, kind: .cpu, offset: 0, size: 0, isSigned: true)
    case "COMM", "comm":
      return FilterField(name: name, kind: .taskName, offset: 0, size: 0, isSigned: false)
    case "STACKTRACE", "stacktrace":
      return FilterField(name: name, kind: .stackTrace, offset: 0, size: 0, isSigned: false)
    default: return event.field(named: name).map(FilterField.init)
    }
  }

  private init(_ field: TraceEventFormat.Field) {
    self.init(
      name: field.name, kind: .record(field.kind), offset: field.offset, size: field.size,
      isSigned: field.isSigned)
  }

  private init(name: String, kind: Kind, offset: Int, size: Int, isSigned: Bool) {
    (self.name, self.kind) = (name, kind)
    (self.offset, self.size, self.isSigned) = (offset, size, isSigned)
  }

  var isText: Bool {
    switch kind {
    case .taskName: true
    case .record(let kind):
      switch kind {
      case .text, .dynamicText, .relativeText, .textPointer: true
      case .number, .cpuMask: false
      }
    case .cpu, .stackTrace: false
    }
  }

  /// Whether it can be compared with `CPUS{…}`.
  var takesCPUs: Bool { kind == .cpu || kind == .record(.cpuMask) || kind == .record(.number) }
}
