// SPDX-License-Identifier: Apache-2.0

#include "CPlatform.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

struct known_error {
  int number;
  const char *name;
  const char *text;
};

// What the system calls of this library can answer. The words are POSIX's, without its capitals, and do not
// depend on the locale, as `strerror` does.
static const struct known_error known_errors[] = {
    {EPERM, "EPERM", "operation not permitted"},
    {ENOENT, "ENOENT", "no such file or directory"},
    {ESRCH, "ESRCH", "no such process"},
    {EINTR, "EINTR", "interrupted"},
    {EIO, "EIO", "input or output failed"},
    {EBADF, "EBADF", "not an open file"},
    {EAGAIN, "EAGAIN", "not enough of a resource now"},
    {ENOMEM, "ENOMEM", "out of memory"},
    {EACCES, "EACCES", "permission denied"},
    {EFAULT, "EFAULT", "bad address"},
    {EBUSY, "EBUSY", "in use"},
    {EEXIST, "EEXIST", "exists already"},
    {ENODEV, "ENODEV", "no such device"},
    {ENOTDIR, "ENOTDIR", "not a directory"},
    {EISDIR, "EISDIR", "is a directory"},
    {EINVAL, "EINVAL", "invalid argument"},
    {ENFILE, "ENFILE", "too many open files in the system"},
    {EMFILE, "EMFILE", "too many open files"},
    {EFBIG, "EFBIG", "file too large"},
    {ENOSPC, "ENOSPC", "no space left on the device"},
    {EROFS, "EROFS", "read-only file system"},
    {EPIPE, "EPIPE", "nobody reads from the pipe"},
    {ERANGE, "ERANGE", "out of range"},
    {EDEADLK, "EDEADLK", "would wait for itself"},
    {ENAMETOOLONG, "ENAMETOOLONG", "name too long"},
    {ENOSYS, "ENOSYS", "not offered by this system"},
    {EOVERFLOW, "EOVERFLOW", "too large for its type"},
    {EOPNOTSUPP, "EOPNOTSUPP", "not supported"},
    {ETIMEDOUT, "ETIMEDOUT", "timed out"},
    {EDQUOT, "EDQUOT", "quota exceeded"},
};

static const struct known_error *find(int32_t error) {
  for (size_t i = 0; i < sizeof known_errors / sizeof *known_errors; i++)
    if (known_errors[i].number == error) return &known_errors[i];
  return NULL;
}

const char *cpi_error_name(int32_t error) {
  const struct known_error *found = find(error);
  return found ? found->name : NULL;
}

const char *cpi_error_text(int32_t error) {
  const struct known_error *found = find(error);
  return found ? found->text : NULL;
}

bool cpi_signal_is_fault(int32_t signal) {
  return signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE || signal == SIGTRAP;
}

int32_t cpi_configured_processors(void) {
  long count = sysconf(_SC_NPROCESSORS_CONF);
  return count > 0 ? (int32_t)count : 1;
}
