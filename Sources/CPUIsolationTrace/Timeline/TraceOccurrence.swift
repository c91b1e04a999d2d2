// SPDX-License-Identifier: Apache-2.0

/// One thing that a record tells of, together with those before it.
enum TraceOccurrence {
  /// An interrupt was sent to one CPU.
  case sent(TraceInterrupt)
  /// A call was put into a CPU's queue.
  case queued(TraceCall)
  case began(TraceSpan)
  case ended(TraceSpan)
  /// Something that has no beginning of its own in the recording.
  case happened(TraceSpan)
  case deferred(TraceDeferral)
  case merged(TraceDeferral, by: TraceOrigin)
  /// The deferral has ended, or was pending when the recording ended.
  case drained(TraceDeferral)
  case counted(name: String, cpu: Int, time: UInt64, value: UInt64)
  case lost(cpu: Int, time: UInt64, TraceLoss)
  /// An event that means nothing to a timeline.
  case other(TraceRecord)
}

/// Who did something, where and when. Names are numbers of `TraceNames`.
struct TraceOrigin {
  var cpu: Int
  var time: UInt64
  var thread: Int32
  /// nil where the recording does not say.
  var callsite: Int32?
}

struct TraceInterrupt {
  var origin: TraceOrigin
  var target: Int
  var callback: Int32
  /// How many CPUs the same event interrupts.
  var targets: Int
  /// Joins both ends of an arrow.
  var flow: UInt64
}

struct TraceCall {
  var origin: TraceOrigin
  var target: Int
  var function: Int32
  var flow: UInt64
}

/// A time that a CPU spent with something.
struct TraceSpan {
  var activity: TraceActivity
  var cpu: Int
  var name: Int32
  /// The thread that was interrupted, or that did it.
  var thread: Int32
  var start: UInt64
  /// nil: it goes on at the end of the recording, or the recording does not say.
  var end: UInt64?
  /// Its end was not recorded: it lasted at least until then.
  var isCut = false
  /// The longest of several that are told together.
  var longest: UInt64?
  /// Who asked for it.
  var origin: TraceOrigin?
  var flow: UInt64 = 0

  var duration: UInt64? { end.map { $0 - start } }
}

/// Work that was left for a CPU, until the CPU ran it.
struct TraceDeferral {
  var work: Int32
  var target: Int
  var start: UInt64
  /// nil: it is still pending.
  var end: UInt64?
  var merges = 0
  /// nil if the recording has not the event that set it.
  var origin: TraceOrigin?
  var flow: UInt64 = 0
  /// How much is pending for the target now.
  var pending = 0

  var wait: UInt64? { end.map { $0 - start } }
}
