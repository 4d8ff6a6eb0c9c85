// See progress.h.
#include "reports/tool/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

#include "allocator/base/units.h"

namespace keel {
namespace {

constexpr size_t kChunkBytes = size_t{1} << 20;
constexpr auto kInterval = std::chrono::seconds(1);

}  // namespace

ReadProgress::ReadProgress(std::istream& source, std::string name, uint64_t bytes)
    : source_(source),
      name_(std::move(name)),
      bytes_(bytes),
      shown_(isatty(STDERR_FILENO) != 0),
      next_(std::chrono::steady_clock::now() + kInterval),
      chunk_(kChunkBytes) {}

ReadProgress::~ReadProgress() {
  if (drawn_) std::fputs("\r\033[K", stderr);
}

ReadProgress::int_type ReadProgress::underflow() {
  source_.read(chunk_.data(), static_cast<std::streamsize>(chunk_.size()));
  const std::streamsize count = source_.gcount();
  if (count <= 0) return traits_type::eof();
  read_ += static_cast<uint64_t>(count);
  if (shown_ && std::chrono::steady_clock::now() >= next_) draw();
  setg(chunk_.data(), chunk_.data(), chunk_.data() + count);
  return traits_type::to_int_type(chunk_[0]);
}

void ReadProgress::draw() {
  const std::string far = bytes_ == 0 ? human_size(static_cast<double>(read_))
                                      : fmt::format("{:3} % of {}", read_ * 100 / bytes_,
                                                    human_size(static_cast<double>(bytes_)));
  fmt::print(stderr, "\r{}: {}\033[K", name_, far);
  std::fflush(stderr);
  drawn_ = true;
  next_ = std::chrono::steady_clock::now() + kInterval;
}

}  // namespace keel
