// See event_log.h.
#include "reports/recorder/event_log.h"

#include <pthread.h>

#include <algorithm>

#include "allocator/base/clock.h"
#include "allocator/base/units.h"

namespace keel {
namespace {

// So much is written without a flush(): what a pipe holds, pipe(7).
constexpr size_t kEnoughBytes = size_t{1} << 16;
constexpr int64_t kLookNs = 50 * kMillisecond;

uint64_t lines_in(std::string_view text) {
  return static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace

EventLog::EventLog(std::unique_ptr<OutputFile> file)
    : file_(std::move(file)), writer_([this] { write_loop(); }) {}

EventLog::~EventLog() {
  if (writer_.joinable()) finish();
}

void EventLog::add(const std::string& line) {
  const bool drops = file_->may_wait();
  MutexLock lock(mu_);
  while (!drops && !failed_ && queue_.size() >= kMostBytes) {
    more_.notify_one();
    room_.wait(mu_);
  }
  if (failed_ || closing_ || (drops && queue_.size() + line.size() >= kMostBytes)) {
    ++dropped_;
    return;
  }
  queue_ += line;
  queue_ += '\n';
  if (queue_.size() >= kEnoughBytes) more_.notify_one();
}

void EventLog::flush() {
  MutexLock lock(mu_);
  if (!queue_.empty()) more_.notify_one();
}

void EventLog::write_loop() {
  pthread_setname_np(pthread_self(), "keel-events");
  std::string batch;
  for (;;) {
    {
      MutexLock lock(mu_);
      while (queue_.empty() && !closing_) more_.wait(mu_);
      batch.clear();
      batch.swap(queue_);
      room_.notify_all();
      if (batch.empty()) {
        done_ = true;
        return;
      }
    }
    const uint64_t lost = write(batch);
    MutexLock lock(mu_);
    dropped_ += lost;
    if (lost == 0) continue;
    failed_ = true;
    dropped_ += lines_in(queue_);
    queue_.clear();
    room_.notify_all();
  }
}

uint64_t EventLog::write(const std::string& batch) {
  const uint64_t before = file_->bytes_taken();
  file_->stream() << batch;
  if (file_->flush()) return 0;
  const auto taken = static_cast<size_t>(file_->bytes_taken() - before);
  return lines_in(std::string_view(batch).substr(std::min(taken, batch.size())));
}

EventLog::Ended EventLog::finish() {
  {
    MutexLock lock(mu_);
    closing_ = true;
    more_.notify_one();
    uint64_t taken = file_->bytes_taken();
    int64_t since = now_ns();
    while (!done_) {
      room_.wait_for(mu_, kLookNs);
      if (file_->bytes_taken() != taken) {
        taken = file_->bytes_taken();
        since = now_ns();
      } else if (now_ns() - since >= kPatienceNs) {
        file_->give_up();
      }
    }
  }
  writer_.join();
  const Result<bool> finished = file_->finish();
  MutexLock lock(mu_);
  return {finished ? "" : finished.error(), dropped_};
}

}  // namespace keel
