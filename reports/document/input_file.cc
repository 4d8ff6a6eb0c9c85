// See input_file.h.
#include "reports/document/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace keel {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 16;

Error unreadable(const std::string& path, int error) {
  const std::string shown = path == "-" ? "standard input" : "'" + path + "'";
  if (error == EISDIR) return Error{shown + " is a folder"};
  return Error{shown + " cannot be read: " + std::strerror(error)};
}

}  // namespace

InputBuffer::InputBuffer(int descriptor) : descriptor_(descriptor), bytes_(kBufferBytes) {}

InputBuffer::int_type InputBuffer::underflow() {
  if (gptr() < egptr()) return traits_type::to_int_type(*gptr());
  ssize_t count = -1;
  do {
    count = failure_ == 0 ? ::read(descriptor_, bytes_.data(), bytes_.size()) : 0;
  } while (count < 0 && errno == EINTR);
  if (count < 0) failure_ = errno;
  if (count <= 0) return traits_type::eof();
  setg(bytes_.data(), bytes_.data(), bytes_.data() + count);
  return traits_type::to_int_type(bytes_[0]);
}

InputFile::InputFile(std::string path, int descriptor, uint64_t bytes)
    : path_(std::move(path)),
      descriptor_(descriptor),
      bytes_(bytes),
      buffer_(descriptor),
      stream_(&buffer_) {}

InputFile::~InputFile() {
  if (descriptor_ != STDIN_FILENO) ::close(descriptor_);
}

Result<std::unique_ptr<InputFile>> InputFile::open(const std::string& path) {
  const int descriptor = path == "-" ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_NOCTTY | O_CLOEXEC);
  struct stat file {};
  if (descriptor < 0 || fstat(descriptor, &file) != 0) return unreadable(path, errno);
  std::unique_ptr<InputFile> input(
      new InputFile(path, descriptor, S_ISREG(file.st_mode) ? static_cast<uint64_t>(file.st_size) : 0));
  if (S_ISDIR(file.st_mode)) return unreadable(path, EISDIR);
  return input;
}

Result<bool> InputFile::check() const {
  if (buffer_.failure() != 0) return unreadable(path_, buffer_.failure());
  return true;
}

}  // namespace keel
