// Standard output and standard error at the end of a program; see reports/api/files.h.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "reports/api/files.h"
#include "reports/api/one_line.h"
#include "reports/output/file_calls.h"
#include "reports/output/output_file.h"

namespace keel {
namespace {

// More than any table: so the write that fails is the last one, whose reason is known.
constexpr size_t kBufferBytes = size_t{1} << 16;

const char* g_program = "";

// The reason why what was printed has not all arrived: errno, -1 if it is not known any more, 0 if it has.
int failure_of_stdout() {
  const bool before = std::ferror(stdout) != 0;
  if (std::fflush(stdout) != 0) return errno;
  if (before) return -1;
  // A file system may tell of a write only in the close, and whoever inherited the descriptor goes on using
  // it.
  const int copy = file_calls::duplicate(STDOUT_FILENO);
  if (copy >= 0 && file_calls::close(copy) != 0 && errno != EINTR) return errno;
  return 0;
}

void end_of_program(int status, void*) {
  const int failure = failure_of_stdout();
  if (failure != 0) {
    std::fprintf(stderr, "%s: standard output cannot be written%s%s\n", g_program, failure > 0 ? ": " : "",
                 failure > 0 ? std::strerror(failure) : "");
  }
  if ((failure != 0 || std::ferror(stderr) != 0) && status == 0) _exit(1);
}

// A file that is opened must not become standard output by chance; reading where one should write fails, as
// it must.
void take_closed_descriptors() {
  for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; ++descriptor) {
    if (fcntl(descriptor, F_GETFD) >= 0) continue;
    const int taken = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    if (taken > STDERR_FILENO) close(taken);
  }
}

}  // namespace

void print_error_line(const std::string& line) {
  DescriptorBuffer buffer(STDERR_FILENO);
  std::ostream(&buffer) << one_line(line) << '\n' << std::flush;
}

void guard_standard_streams(const char* program) {
  if (*g_program != 0) return;
  g_program = program;
  take_closed_descriptors();
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  static char buffer[kBufferBytes];
  if (isatty(STDOUT_FILENO) == 0) std::setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
  on_exit(end_of_program, nullptr);
}

}  // namespace keel
