// SPDX-License-Identifier: Apache-2.0

import Testing

/// One after the other: the handler of SIGTRAP is the process's.
@Suite(.serialized, .timeLimit(.minutes(5))) struct TextPatchingTests {}
