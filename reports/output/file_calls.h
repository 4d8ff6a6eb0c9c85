// The system calls that put a report on a disk or into a pipe: every one of them is made here, so that there
// is one place in which a test can let them fail.
//
// Each is the call of that name, done again when a signal interrupted it; -1 and errno otherwise. Threads:
// any.
//
// A pipe that nobody reads makes its writer wait, for ever if need be. Whoever waits here looks up several
// times a second whether the output is given up: its owner says so, or the program was asked to end
// (give_up_from()). Then the call fails with ECANCELED.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace keel::file_calls {

int open(const char* path, int flags, mode_t mode);
/// Waits for a reader.
int open_fifo(const char* path, int flags);
/// Of a copy of `descriptor` that a program started from here does not inherit.
int duplicate(int descriptor);
/// How many bytes were taken: at least one, often fewer than `size`. Waits where the descriptor would not,
/// until `given_up`.
ssize_t write(int descriptor, const char* bytes, size_t size, const std::atomic<bool>& given_up);
/// Until something can be written, or the other side is gone; false and errno otherwise.
bool wait_for_room(int descriptor, const std::atomic<bool>& given_up);
/// From `at_ns` (now_ns()) on, an output of which nothing has been taken for 200 ms is given up.
void give_up_from(int64_t at_ns);
/// That time has come.
bool is_giving_up();
/// True also where the file system has nothing to do for it (EINVAL, ENOTSUP, EROFS).
bool sync(int descriptor);
/// Not repeated: Linux has closed the descriptor whatever it answers.
int close(int descriptor);
int rename(const char* from, const char* to);
int remove(const char* path);
int change_mode(int descriptor, mode_t mode);
int change_owner(int descriptor, uid_t owner, gid_t group);

}  // namespace keel::file_calls
