// SPDX-License-Identifier: Apache-2.0

extension IsolationError.Code {
  /// No point has the name, or matches the pattern.
  public static let noSuchProbePoint = Self("noSuchProbePoint")
  /// A probe asked for an argument that its point does not have, or has a filter that is wrong.
  public static let invalidProbe = Self("invalidProbe")
  /// All numbers for probes are in use.
  public static let tooManyProbes = Self("tooManyProbes")
}
