// See file_calls.h.
#include "reports/output/file_calls.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "allocator/base/system_calls.h"

namespace keel::file_calls {
namespace {

template <typename Call>
auto uninterrupted(Call&& call) {
  for (;;) {
    const auto result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

ssize_t write_once(int descriptor, const char* bytes, size_t size) {
  const int error = planned_error(SystemCall::kWrite);
  if (error > 0) {
    errno = error;
    return -1;
  }
  return ::write(descriptor, bytes, error == kShortWrite ? (size + 1) / 2 : size);
}

}  // namespace

int open(const char* path, int flags, mode_t mode) {
  return uninterrupted(
      [&] { return system_call(SystemCall::kOpen, -1, [&] { return ::open(path, flags, mode); }); });
}

int duplicate(int descriptor) {
  return uninterrupted([&] { return ::fcntl(descriptor, F_DUPFD_CLOEXEC, 0); });
}

ssize_t write(int descriptor, const char* bytes, size_t size) {
  for (;;) {
    const ssize_t taken = uninterrupted([&] { return write_once(descriptor, bytes, size); });
    if (taken >= 0 || errno != EAGAIN) return taken;
    // Somebody on the other side made the pipe one that does not wait; here it is waited for.
    pollfd room{descriptor, POLLOUT, 0};
    if (uninterrupted([&] { return ::poll(&room, 1, -1); }) < 0) return -1;
  }
}

bool sync(int descriptor) {
  return uninterrupted(
             [&] { return system_call(SystemCall::kSync, -1, [&] { return ::fsync(descriptor); }); }) == 0 ||
         errno == EINVAL || errno == ENOTSUP || errno == EROFS;
}

int close(int descriptor) {
  const int error = planned_error(SystemCall::kClose);
  const int rc = ::close(descriptor);  // Linux closes it whatever it says
  if (error == 0) return rc;
  errno = error;
  return -1;
}

int rename(const char* from, const char* to) {
  return system_call(SystemCall::kRename, -1, [&] { return ::rename(from, to); });
}

int remove(const char* path) { return ::unlink(path); }

int change_mode(int descriptor, mode_t mode) {
  return uninterrupted([&] { return ::fchmod(descriptor, mode); });
}

int change_owner(int descriptor, uid_t owner, gid_t group) {
  return uninterrupted([&] { return ::fchown(descriptor, owner, group); });
}

}  // namespace keel::file_calls
