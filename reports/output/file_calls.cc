// See file_calls.h.
#include "reports/output/file_calls.h"

#include <fcntl.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "allocator/base/clock.h"
#include "allocator/base/system_calls.h"
#include "allocator/base/units.h"

namespace keel::file_calls {
namespace {

// How often who waits looks up, and how long a reader that lives may need for its next piece.
constexpr int kLookMs = 20;
constexpr timespec kLook{0, kLookMs* kMillisecond};
constexpr int64_t kPatienceNs = 200 * kMillisecond;

// relaxed [output.give_up]: a time, at which whoever waits looks again and again; it comes with nothing else.
std::atomic<int64_t> g_give_up_ns{INT64_MAX};

bool is_given_up(int64_t since_ns, const std::atomic<bool>* given_up) {
  if (given_up != nullptr && given_up->load(std::memory_order_relaxed)) return true;
  return is_giving_up() && now_ns() - since_ns >= kPatienceNs;
}

template <typename Call>
auto uninterrupted(Call&& call) {
  for (;;) {
    const auto result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

// Standard error is not made to fail: what is said there is what a failure is judged by.
ssize_t write_once(int descriptor, const char* bytes, size_t size) {
  const int error = descriptor == STDERR_FILENO ? 0 : planned_error(SystemCall::kWrite);
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

// A FIFO that is opened to be waited for cannot be left again: so it is asked again and again.
int open_fifo(const char* path, int flags) {
  const int64_t since = now_ns();
  for (;;) {
    const int fifo = open(path, flags | O_NONBLOCK, 0);
    if (fifo >= 0 || errno != ENXIO) return fifo;
    if (is_given_up(since, nullptr)) {
      errno = ECANCELED;
      return -1;
    }
    nanosleep(&kLook, nullptr);
  }
}

int duplicate(int descriptor) {
  return uninterrupted([&] { return ::fcntl(descriptor, F_DUPFD_CLOEXEC, 0); });
}

ssize_t write(int descriptor, const char* bytes, size_t size, const std::atomic<bool>& given_up) {
  for (;;) {
    const ssize_t taken = uninterrupted([&] { return write_once(descriptor, bytes, size); });
    if (taken >= 0 || errno != EAGAIN) return taken;
    if (!wait_for_room(descriptor, given_up)) return -1;
  }
}

bool wait_for_room(int descriptor, const std::atomic<bool>& given_up) {
  const int64_t since = now_ns();
  for (;;) {
    pollfd room{descriptor, POLLOUT, 0};
    const int ready = uninterrupted([&] { return ::poll(&room, 1, kLookMs); });
    if (ready != 0) return ready > 0;
    if (is_given_up(since, &given_up)) {
      errno = ECANCELED;
      return false;
    }
  }
}

void give_up_from(int64_t at_ns) { g_give_up_ns.store(at_ns, std::memory_order_relaxed); }

bool is_giving_up() { return now_ns() >= g_give_up_ns.load(std::memory_order_relaxed); }

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
