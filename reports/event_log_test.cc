// The log of events before readers of every pace: a line arrives whole or is counted.
#include "reports/recorder/event_log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <thread>

namespace keel {
namespace {

// More than what waits, what is being written and what a pipe holds.
constexpr size_t kLineBytes = 1024;
constexpr uint64_t kLines = 3 * EventLog::kMostBytes / kLineBytes;

std::string line_of(uint64_t number) {
  std::string line = std::to_string(number) + " ";
  return line + std::string(kLineBytes - line.size(), 'x');
}

void add_lines(EventLog& log, uint64_t lines) {
  for (uint64_t number = 0; number < lines; ++number) log.add(line_of(number));
  log.flush();
}

// Lines of `text`, each whole and later than the one before; what is behind the last end of a line is in
// `rest`.
uint64_t whole_lines(const std::string& text, std::string& rest) {
  uint64_t lines = 0;
  uint64_t next = 0;
  size_t from = 0;
  for (size_t end = 0; (end = text.find('\n', from)) != std::string::npos; from = end + 1) {
    const std::string line = text.substr(from, end - from);
    const uint64_t number = std::stoull(line);
    EXPECT_GE(number, next);
    EXPECT_EQ(line, line_of(number));
    next = number + 1;
    ++lines;
  }
  rest = text.substr(from);
  return lines;
}

class Pipe {
 public:
  Pipe() { EXPECT_EQ(pipe2(ends_, O_CLOEXEC), 0); }
  ~Pipe() {
    close_writer();
    close(ends_[0]);
  }
  void close_writer() {
    if (ends_[1] >= 0) close(ends_[1]);
    ends_[1] = -1;
  }
  std::unique_ptr<OutputFile> open() {
    auto file = OutputFile::open("/dev/fd/" + std::to_string(ends_[1]), OutputWay::kInPlace);
    EXPECT_TRUE(file.ok());
    close_writer();
    return std::move(file).value();
  }
  std::string read_all() {
    std::string text;
    char block[1 << 16];
    for (ssize_t count = 0; (count = read(ends_[0], block, sizeof block)) > 0;)
      text.append(block, static_cast<size_t>(count));
    return text;
  }

 private:
  int ends_[2] = {-1, -1};
};

TEST(EventLog, AReaderThatPausesLosesWholeLinesWhichAreCounted) {
  Pipe pipe;
  EventLog log(pipe.open());
  add_lines(log, kLines);  // nobody reads yet, and add() came back
  std::string text;
  std::thread reader([&] { text = pipe.read_all(); });
  const EventLog::Ended ended = log.finish();
  reader.join();
  EXPECT_EQ(ended.error, "");
  std::string rest;
  const uint64_t lines = whole_lines(text, rest);
  EXPECT_EQ(rest, "");
  EXPECT_GT(ended.dropped, 0U);
  EXPECT_EQ(lines + ended.dropped, kLines);
}

TEST(EventLog, AReaderThatNeverReadsIsGivenUpAndEveryLineIsCounted) {
  Pipe pipe;
  EventLog log(pipe.open());
  add_lines(log, kLines);
  const EventLog::Ended ended = log.finish();
  EXPECT_NE(ended.error.find("nobody reads it"), std::string::npos) << ended.error;
  std::string rest;
  const uint64_t lines = whole_lines(pipe.read_all(), rest);
  EXPECT_LT(rest.size(), kLineBytes + 1);
  EXPECT_EQ(lines + ended.dropped, kLines);
}

TEST(EventLog, AFileLosesNoLine) {
  const std::string path = testing::TempDir() + "event_log_test_" + std::to_string(getpid());
  auto file = OutputFile::open(path, OutputWay::kInPlace);
  ASSERT_TRUE(file.ok());
  EventLog log(std::move(file).value());
  add_lines(log, kLines);
  const EventLog::Ended ended = log.finish();
  EXPECT_EQ(ended.error, "");
  EXPECT_EQ(ended.dropped, 0U);
  std::ifstream in(path);
  std::string rest;
  EXPECT_EQ(whole_lines({std::istreambuf_iterator<char>(in), {}}, rest), kLines);
  EXPECT_EQ(rest, "");
  unlink(path.c_str());
}

}  // namespace
}  // namespace keel
