// SPDX-License-Identifier: Apache-2.0

/// The C function that a work type runs: its context and the number of the CPU whose work it is.
public typealias CPUFunction = @convention(c) (UnsafeMutableRawPointer?, Int) -> Void
