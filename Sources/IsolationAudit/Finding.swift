// SPDX-License-Identifier: Apache-2.0

/// Something that disturbs a loop on the processors that are looked at.
struct Finding: Equatable {
  /// The name of the check, for scripts.
  var check: String
  /// What is so, in one sentence.
  var summary: String
  var certainty: Certainty
  /// What was read, and what it said.
  var evidence: [Evidence]
  /// What it does to a loop.
  var why: String
  var changes: [Change]

  struct Evidence: Equatable {
    var path: String
    var value: String
  }

  /// One way to change it.
  struct Change: Equatable {
    var means: Means
    var what: String
  }

  enum Means: String {
    case kernelParameter = "kernel parameter"
    case sysfs
    case sysctl
    case cgroup
    case systemd
    case tuned
    case program
    case host
  }

  /// How sure it is that it disturbs a loop there.
  enum Certainty: String, CaseIterable {
    /// What was read says so.
    case certain
    /// It does on most systems that are set like this.
    case likely
    /// It depends on what the loop and the rest of the system do.
    case possible
  }
}

/// Something that could not be looked at.
struct Unseen: Equatable {
  var check: String
  var reason: String
}
