// SPDX-License-Identifier: Apache-2.0

internal import CPUIsolation

/// The fields of an event, as arguments of a mark.
struct PerfettoArguments {
  let event: String
  private let fields: [Field]

  private struct Field {
    enum Kind { case unsigned, signed, address, text, cpus }

    var name: String
    var kind: Kind
    var bits: Int
    var reader: FieldReader
  }

  init(_ number: Int, _ format: TraceEventFormat?) {
    event = format?.name ?? "event \(number)"
    fields = (format?.fields ?? []).compactMap { field in
      guard !field.name.hasPrefix("common_") else { return nil }
      let kind: Field.Kind
      switch field.kind {
      case .text, .dynamicText, .relativeText: kind = .text
      case .cpuMask: kind = .cpus
      case .textPointer: kind = .address
      case .number:
        // Arrays of numbers have no place among arguments.
        guard [1, 2, 4, 8].contains(field.size), !field.isArray else { return nil }
        kind = field.isPointer ? .address : field.isSigned ? .signed : .unsigned
      }
      return Field(
        name: field.name, kind: kind, bits: 8 * field.size, reader: FieldReader(field))
    }
  }

  func append(
    _ record: TraceRecord, to event: inout ProtobufEncoder, _ interning: inout PerfettoInterning,
    _ names: inout TraceNames, _ symbols: TraceSymbols
  ) {
    typealias Schema = PerfettoSchema
    for field in fields {
      event.annotation(field.name, &interning) { annotation, interning in
        switch field.kind {
        case .unsigned: annotation.number(Schema.Annotation.unsigned, field.reader.number(record))
        case .signed:
          let shift = 64 - field.bits
          let value = Int64(bitPattern: field.reader.number(record) << shift) >> shift
          annotation.number(Schema.Annotation.signed, UInt64(bitPattern: value))
        case .address:
          let name = names.number(ofFunctionAt: field.reader.number(record), symbols)
          annotation.number(
            Schema.Annotation.internedText,
            interning.number(of: name, names, in: Schema.Interned.texts))
        case .text: annotation.internedText(field.reader.text(record), &interning)
        case .cpus:
          annotation.internedText(field.reader.cpus(record).cpuList, &interning)
        }
      }
    }
  }
}

extension ProtobufEncoder {
  /// A named value of an event.
  mutating func annotation(
    _ name: String, _ interning: inout PerfettoInterning,
    _ body: (_ annotation: inout ProtobufEncoder, _ interning: inout PerfettoInterning) -> Void
  ) {
    typealias Schema = PerfettoSchema
    message(Schema.Event.annotation) {
      // Names of arguments are few: they always have a number.
      if let number = interning.number(of: name, in: Schema.Interned.annotationNames) {
        $0.number(Schema.Annotation.name, number)
      }
      body(&$0, &interning)
    }
  }

  fileprivate mutating func internedText(_ text: String, _ interning: inout PerfettoInterning) {
    typealias Schema = PerfettoSchema
    if let number = interning.number(of: text, in: Schema.Interned.texts) {
      self.number(Schema.Annotation.internedText, number)
    } else {
      self.text(Schema.Annotation.text, text)
    }
  }
}
