#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# MALLOC_TRIM_THRESHOLD_ (or mallopt with M_TRIM_THRESHOLD) is the usual advice against a heap that is given back and
# taken again. glibc 2.36 does what it is told, and turns off something else: the threshold above which a block has a
# mapping of its own no longer follows the sizes that are freed, and stays at 128 KiB. Each larger block is an mmap, a
# munmap and new page faults then, where it was none of them, and in a process with other threads each munmap interrupts
# their processors. The value does not matter: setting the very number that is the default has the same effect.
# Seen, with 1000 blocks of 1 MiB from Python 3.11: 46 munmap without the variable, 1045 with 131072, which is the default,
# and 1045 with the highest value; 43 with MALLOC_MMAP_MAX_=0 besides.
set -euo pipefail
version=$(getconf GNU_LIBC_VERSION)
[[ $version == "glibc 2.36" ]] || { echo "this is about glibc 2.36, and here is $version" >&2; exit 2; }
command -v strace >/dev/null && command -v python3 >/dev/null || { echo "strace and python3 are needed" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# How often a program that takes 1000 blocks, one after the other, calls munmap.
unmapped() {
  env "$@" strace -f -c -e trace=munmap -o "$work/calls" python3 -c 'for _ in range(1000): bytes(1 << 20)'
  awk '$NF == "munmap" { print $4 }' "$work/calls"
}

usual=$(unmapped PYTHONMALLOC=malloc)
default=$(unmapped PYTHONMALLOC=malloc MALLOC_TRIM_THRESHOLD_=131072)
highest=$(unmapped PYTHONMALLOC=malloc MALLOC_TRIM_THRESHOLD_=9223372036854775807)
both=$(unmapped PYTHONMALLOC=malloc MALLOC_TRIM_THRESHOLD_=9223372036854775807 MALLOC_MMAP_MAX_=0)
echo "$version, munmap for 1000 blocks of 1 MiB: $usual as it is, $default with the trim threshold set to its default," \
  "$highest to its highest value, $both with no mappings besides"
((usual < 500 && default >= 1000 && highest >= 1000 && both < 500)) || { echo "that has changed" >&2; exit 1; }
