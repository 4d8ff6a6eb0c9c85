// See file_calls.h.
#include "reports/output/file_calls.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace keel::file_calls {
namespace {

template <typename Call>
auto uninterrupted(Call&& call) {
  for (;;) {
    const auto result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

}  // namespace

int open(const char* path, int flags, mode_t mode) {
  return uninterrupted([&] { return ::open(path, flags, mode); });
}

int duplicate(int descriptor) {
  return uninterrupted([&] { return ::fcntl(descriptor, F_DUPFD_CLOEXEC, 0); });
}

ssize_t write(int descriptor, const char* bytes, size_t size) {
  for (;;) {
    const ssize_t taken = uninterrupted([&] { return ::write(descriptor, bytes, size); });
    if (taken >= 0 || errno != EAGAIN) return taken;
    // Somebody on the other side made the pipe one that does not wait; here it is waited for.
    pollfd room{descriptor, POLLOUT, 0};
    if (uninterrupted([&] { return ::poll(&room, 1, -1); }) < 0) return -1;
  }
}

bool sync(int descriptor) {
  return uninterrupted([&] { return ::fsync(descriptor); }) == 0 || errno == EINVAL || errno == ENOTSUP ||
         errno == EROFS;
}

int close(int descriptor) { return ::close(descriptor); }

int rename(const char* from, const char* to) { return ::rename(from, to); }

int remove(const char* path) { return ::unlink(path); }

int change_mode(int descriptor, mode_t mode) {
  return uninterrupted([&] { return ::fchmod(descriptor, mode); });
}

int change_owner(int descriptor, uid_t owner, gid_t group) {
  return uninterrupted([&] { return ::fchown(descriptor, owner, group); });
}

}  // namespace keel::file_calls
