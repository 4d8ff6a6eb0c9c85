// KEEL_FAIL read, calls counted, failures planned; see system_calls.h.
#include "allocator/base/system_calls.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>

namespace keel {
namespace {

constexpr std::array<const char*, static_cast<size_t>(SystemCall::kCount)> kNames{
    "mmap",  "munmap", "mprotect", "madvise", "thread", "clock", "affinity", "scheduler",
    "futex", "open",   "write",    "fsync",   "rename", "close", "new"};

struct ErrorName {
  std::string_view name;
  int error;
};
constexpr ErrorName kErrors[] = {
    {"ENOMEM", ENOMEM}, {"EAGAIN", EAGAIN}, {"EINVAL", EINVAL}, {"EINTR", EINTR},      {"EPERM", EPERM},
    {"EACCES", EACCES}, {"ENOSPC", ENOSPC}, {"EIO", EIO},       {"EMFILE", EMFILE},    {"EROFS", EROFS},
    {"EDQUOT", EDQUOT}, {"EPIPE", EPIPE},   {"ENOSYS", ENOSYS}, {"short", kShortWrite}};

struct Plan {
  size_t call = 0;
  uint64_t first = 0;
  bool onwards = false;
  int error = 0;
};

[[noreturn]] void refuse(std::string_view item) {
  std::fprintf(
      stderr,
      "KEEL_FAIL: '%.*s' is not CALL:NUMBER[+]:ERROR (calls: mmap munmap mprotect madvise thread clock "
      "affinity scheduler futex open write fsync rename close new; numbers from 1)\n",
      static_cast<int>(item.size()), item.data());
  std::exit(2);
}

Plan parse(std::string_view item) {
  const size_t first = item.find(':');
  const size_t second = item.find(':', first == std::string_view::npos ? first : first + 1);
  if (second == std::string_view::npos) refuse(item);
  Plan plan;
  while (plan.call < kNames.size() && item.substr(0, first) != kNames[plan.call]) ++plan.call;
  std::string_view number = item.substr(first + 1, second - first - 1);
  if (!number.empty() && number.back() == '+') {
    plan.onwards = true;
    number.remove_suffix(1);
  }
  const auto [end, status] = std::from_chars(number.data(), number.data() + number.size(), plan.first);
  for (const ErrorName& known : kErrors) {
    if (item.substr(second + 1) == known.name) plan.error = known.error;
  }
  const bool whole = status == std::errc{} && end == number.data() + number.size() && plan.first != 0;
  if (plan.call == kNames.size() || !whole || plan.error == 0) refuse(item);
  return plan;
}

class Failures {
 public:
  Failures() {
    plan(std::getenv("KEEL_FAIL"));
    if (const char* path = std::getenv("KEEL_FAIL_LOG")) {
      log_ = ::open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
      if (log_ >= 0) std::atexit([] { instance().note_counts(); });
    }
    active_ = count_ != 0 || log_ >= 0;
  }

  void restart(const char* text) {
    count_ = 0;
    for (auto& count : counts_) count.store(0, std::memory_order_relaxed);
    plan(text);
    active_ = count_ != 0 || log_ >= 0;
  }

  static Failures& instance() {
    // Never destroyed: calls go on while the process ends. And made without operator new, which is a call
    // too.
    alignas(Failures) static unsigned char memory[sizeof(Failures)];
    static auto* failures = ::new (static_cast<void*>(memory)) Failures;
    return *failures;
  }

  int next(SystemCall call) noexcept {
    if (!active_) return 0;
    const auto kind = static_cast<size_t>(call);
    // relaxed [fail.count]: only the number matters.
    const uint64_t number = counts_[kind].fetch_add(1, std::memory_order_relaxed) + 1;
    for (size_t i = 0; i < count_; ++i) {
      const Plan& plan = plans_[i];
      if (plan.call != kind || number < plan.first || (number != plan.first && !plan.onwards)) continue;
      note("failed %s %llu\n", kNames[kind], number);
      return plan.error;
    }
    return 0;
  }

 private:
  void plan(const char* text) {
    std::string_view rest = text == nullptr ? "" : text;
    while (!rest.empty()) {
      const size_t comma = std::min(rest.find(','), rest.size());
      if (count_ == plans_.size()) {
        std::fprintf(stderr, "KEEL_FAIL: more than %zu failures\n", plans_.size());
        std::exit(2);
      }
      plans_[count_++] = parse(rest.substr(0, comma));
      rest.remove_prefix(std::min(rest.size(), comma + 1));
    }
  }
  void note(const char* format, const char* name, uint64_t number) const noexcept {
    char line[80];
    const int length =
        std::snprintf(line, sizeof line, format, name, static_cast<unsigned long long>(number));
    if (log_ >= 0) static_cast<void>(!::write(log_, line, static_cast<size_t>(length)));
  }
  void note_counts() const noexcept {
    for (size_t kind = 0; kind < kNames.size(); ++kind) {
      note("calls %s %llu\n", kNames[kind], counts_[kind].load(std::memory_order_relaxed));
    }
  }

  static constexpr size_t kMostPlans = 32;
  std::array<Plan, kMostPlans> plans_{};
  size_t count_ = 0;
  int log_ = -1;
  bool active_ = false;
  std::array<std::atomic<uint64_t>, kNames.size()> counts_{};
};

}  // namespace

namespace detail {
int planned_error_slow(SystemCall call) noexcept {
  const int saved = errno;
  const int error = Failures::instance().next(call);
  errno = saved;
  return error;
}
}  // namespace detail

void set_failures_for_testing(const char* plan) { Failures::instance().restart(plan); }

void give_up_without_clock(int clock) {
  std::fprintf(stderr, "keel: clock_gettime of clock %d: %s\n", clock, std::strerror(errno));
  std::_Exit(1);
}

}  // namespace keel
