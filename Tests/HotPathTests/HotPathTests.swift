// SPDX-License-Identifier: Apache-2.0

import CCounters
import Testing

/// What the paths that hot loops take may cost: no allocation, no reference count.
///
/// Each test counts an allocation and a retain of its own on top, to show that the counters count. Under a sanitizer,
/// which replaces the same functions, there is nothing to count with, and the tests are skipped.
@Suite(
  .serialized, .timeLimit(.minutes(5)),
  .enabled(if: ccounters_are_available(), "a sanitizer replaces the functions that are counted"))
struct HotPathTests {}
