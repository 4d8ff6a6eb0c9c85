// The system calls that put a report on a disk or into a pipe: every one of them is made here, so that there
// is one place in which a test can let them fail.
//
// Each is the call of that name, done again when a signal interrupted it; -1 and errno otherwise. Threads:
// any.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>

namespace keel::file_calls {

int open(const char* path, int flags, mode_t mode);
/// Of a copy of `descriptor` that a program started from here does not inherit.
int duplicate(int descriptor);
/// How many bytes were taken: at least one, often fewer than `size`. Waits where the descriptor would not.
ssize_t write(int descriptor, const char* bytes, size_t size);
/// True also where the file system has nothing to do for it (EINVAL, ENOTSUP, EROFS).
bool sync(int descriptor);
/// Not repeated: Linux has closed the descriptor whatever it answers.
int close(int descriptor);
int rename(const char* from, const char* to);
int remove(const char* path);
int change_mode(int descriptor, mode_t mode);
int change_owner(int descriptor, uid_t owner, gid_t group);

}  // namespace keel::file_calls
