// SPDX-License-Identifier: Apache-2.0
//
// Runs a program to which the system refuses membarriers, as a container's system call filter may:
// `refusing EPERM PROGRAM ARGUMENT…`, or ENOSYS.

#include "CRefusals.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **words) {
  const int error = count < 3                      ? 0
                    : strcmp(words[1], "EPERM") == 0  ? EPERM
                    : strcmp(words[1], "ENOSYS") == 0 ? ENOSYS
                                                      : 0;
  if (error == 0) {
    fprintf(stderr, "usage: refusing EPERM|ENOSYS PROGRAM ARGUMENT...\n");
    return 64;
  }
  const int refusal = crf_refuse_membarriers(error);
  if (refusal != 0) {
    fprintf(stderr, "refusing: no system call filter: %s\n", strerror(refusal));
    return 71;
  }
  execvp(words[2], words + 2);
  fprintf(stderr, "refusing: %s: %s\n", words[2], strerror(errno));
  return 127;
}
