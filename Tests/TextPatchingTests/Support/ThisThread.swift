// SPDX-License-Identifier: Apache-2.0

/// Runs the body where it is: an exit test is an asynchronous function, in which no thread is a CPU.
func onThisThread(_ body: () throws -> Void) throws { try body() }
