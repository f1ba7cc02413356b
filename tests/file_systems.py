"""File systems that are not as a laptop's: for other processes, by a small library between them and the system."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# SQLite's processes share memory over a file that ends in -shm: it cannot be mapped, or not be made.
_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
static int is(const char *what) { const char *said = getenv("REFUSED"); return said && !strcmp(said, what); }
static int ends(const char *path) { size_t n = strlen(path); return n > 4 && !strcmp(path + n - 4, "-shm"); }
static int shared(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  long n = readlink(link, path, sizeof path - 1);
  return n > 0 && (path[n] = 0, ends(path));
}
void *mmap64(void *at, size_t size, int way, int flags, int fd, off_t from) {
  static void *(*real)(void *, size_t, int, int, int, off_t);
  if (!real) real = dlsym(RTLD_NEXT, "mmap64");
  if (is("map") && fd >= 0 && shared(fd)) { errno = ENODEV; return MAP_FAILED; }
  return real(at, size, way, flags, fd, from);
}
void *mmap(void *at, size_t size, int way, int flags, int fd, off_t from) {
  return mmap64(at, size, way, flags, fd, from);
}
int open64(const char *path, int flags, ...) {
  static int (*real)(const char *, int, ...);
  va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest);
  if (!real) real = dlsym(RTLD_NEXT, "open64");
  if (is("make") && ends(path)) { errno = EPERM; return -1; }
  return real(path, flags, mode);
}
int open(const char *path, int flags, ...) {
  va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest);
  return open64(path, flags, mode);
}
"""


def without_shared_memory(folder: Path, refused: str) -> dict[str, str]:
    """The environment of a process that can share no memory; skips the test where that cannot be had.

    Args:
        folder: Where the library is built.
        refused: What does not work: to ``map`` the shared file, or to ``make`` it.
    """
    if sys.platform != "linux" or shutil.which("gcc") is None:
        pytest.skip("needs Linux and gcc")
    source, library = folder / "refusing.c", folder / "refusing.so"
    source.write_text(_SOURCE)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, capture_output=True)
    return {**os.environ, "LD_PRELOAD": str(library), "REFUSED": refused}


def bound_by_permissions() -> list[str]:
    """How a command begins that heeds the permissions of files; skips the test where that cannot be had."""
    if os.name != "posix":
        pytest.skip("permissions of POSIX")
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root may write anywhere")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
