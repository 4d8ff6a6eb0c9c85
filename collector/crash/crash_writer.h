// Lines to two file descriptors at once, without allocating: what a dying thread may do.
//
// vsnprintf with integers and strings allocates nothing in glibc; a line is at most 1 KiB.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstddef>
#include <cstdio>

namespace keel {

class CrashWriter {
 public:
  /// -1 for none.
  CrashWriter(int first, int second) : descriptors_{first, second} {}

  void line(const char* format, ...) __attribute__((format(printf, 2, 3))) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    const int wanted = std::vsnprintf(text, sizeof text - 1, format, arguments);
    va_end(arguments);
    if (wanted < 0) return;
    const size_t bytes = std::min(static_cast<size_t>(wanted), sizeof text - 2);
    text[bytes] = '\n';
    write_all(text, bytes + 1);
  }
  void write_all(const char* text, size_t bytes) {
    for (const int descriptor : descriptors_) {
      size_t done = 0;
      while (descriptor >= 0 && done < bytes) {
        const ssize_t n = ::write(descriptor, text + done, bytes - done);
        if (n <= 0) break;
        done += static_cast<size_t>(n);
      }
    }
  }

 private:
  const int descriptors_[2];
};

}  // namespace keel
