// SPDX-License-Identifier: Apache-2.0

// Earlier names of a report's masks: see FormerNames.swift.

extension Report where Outcome == SendOutcome {
  @available(*, deprecated, message: "write report[.deferred]")
  public var deferred: CPUMask { self[.deferred] }

  @available(*, deprecated, message: "write report[.merged]")
  public var merged: CPUMask { self[.merged] }

  @available(*, deprecated, message: "write report[.queued]")
  public var queued: CPUMask { self[.queued] }

  @available(*, deprecated, message: "write report[.interrupted]")
  public var interrupted: CPUMask { self[.interrupted] }

  @available(*, deprecated, message: "write report[.ranInline]")
  public var ranInline: CPUMask { self[.ranInline] }

  @available(*, deprecated, message: "write report[.ranOnBehalf]")
  public var ranOnBehalf: CPUMask { self[.ranOnBehalf] }

  @available(*, deprecated, message: "write report[.skipped]")
  public var skipped: CPUMask { self[.skipped] }

  @available(*, deprecated, message: "write report[.gone]")
  public var gone: CPUMask { self[.gone] }

  @available(*, deprecated, renamed: "refusal")
  public var rejection: SendOutcome.Rejection? {
    guard case .rejected(let reason)? = refusal else { return nil }
    return reason
  }
}

extension Report where Outcome == CallOutcome {
  @available(*, deprecated, message: "write report[.executed]")
  public var executed: CPUMask { self[.executed] }

  @available(*, deprecated, message: "write report[.queued]")
  public var queued: CPUMask { self[.queued] }

  @available(*, deprecated, message: "write report[.ranInline]")
  public var ranInline: CPUMask { self[.ranInline] }

  @available(*, deprecated, message: "write report[.timedOut]")
  public var timedOut: CPUMask { self[.timedOut] }

  @available(*, deprecated, message: "write report[.busy]")
  public var busy: CPUMask { self[.busy] }

  @available(*, deprecated, message: "write report[.skipped]")
  public var skipped: CPUMask { self[.skipped] }

  @available(*, deprecated, message: "write report[.gone]")
  public var gone: CPUMask { self[.gone] }

  @available(*, deprecated, message: "write report.refusal == .closed")
  public var isClosed: Bool { refusal != nil }
}
