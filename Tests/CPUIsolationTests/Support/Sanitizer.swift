// SPDX-License-Identifier: Apache-2.0

import Glibc

/// The sanitizer that this process is built with, if any.
enum Sanitizer {
  /// Whether memory and its release to the system are the sanitizer's doing, and not the library's.
  static var isPresent: Bool {
    unsafe dlsym(nil, "__asan_init") != nil || dlsym(nil, "__tsan_init") != nil
  }
}
