// See output_file.h.
#include "reports/output/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>

#include "reports/output/file_calls.h"

namespace keel {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 16;  // a pipe's own: pipe(7)
constexpr int kNameAttempts = 100;

Error unwritable(const std::string& path, int error) {
  const std::string shown = path == "-" ? "standard output" : "'" + path + "'";
  const char* why = error == ECANCELED ? "nobody reads it" : std::strerror(error);
  return Error{shown + " cannot be written: " + why};
}

// A name beside `path` that no other thread or process of this machine uses at the moment.
std::string temporary_name(const std::string& path) {
  // relaxed [output.name]: only that no two are equal matters.
  static std::atomic<uint32_t> count{0};
  const std::string end = ".tmp." + std::to_string(getpid()) + "." +
                          std::to_string(count.fetch_add(1, std::memory_order_relaxed));
  const size_t slash = path.rfind('/') + 1;
  return path.substr(0, std::min(path.size(), slash + NAME_MAX - end.size())) + end;
}

// The temporary file, new and nobody else's. -1 and errno: it cannot be made.
int open_temporary(const OutputPlace& place, std::string& name) {
  // What was there may have been for its owner's eyes only.
  const mode_t mode = place.kind == OutputPlace::Kind::kRegular ? place.file.st_mode & 0777 : 0666;
  for (int attempt = 0; attempt < kNameAttempts; ++attempt) {
    name = temporary_name(place.path);
    const int file =
        file_calls::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (file >= 0 || errno != EEXIST) return file;
  }
  return -1;
}

int open_in_place(const OutputPlace& place) {
  int flags = O_WRONLY | O_NOCTTY | O_CLOEXEC;
  if (S_ISFIFO(place.file.st_mode)) return file_calls::open_fifo(place.path.c_str(), flags);
  if (place.kind == OutputPlace::Kind::kNew) flags |= O_CREAT | O_TRUNC;
  if (place.kind != OutputPlace::Kind::kNew && S_ISREG(place.file.st_mode)) flags |= O_TRUNC;
  return file_calls::open(place.path.c_str(), flags, 0666);
}

// A descriptor of one's own for what another one leads to. A pipe is opened once more: the new descriptor can
// be told not to wait, and the others that have the pipe do not notice.
int open_again(const OutputPlace& place) {
  if (S_ISFIFO(place.file.st_mode)) {
    const std::string door = "/proc/self/fd/" + std::to_string(place.descriptor);
    const int pipe = file_calls::open(door.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC, 0);
    if (pipe >= 0) return pipe;
  }
  return file_calls::duplicate(place.descriptor);
}

}  // namespace

DescriptorBuffer::DescriptorBuffer(int descriptor) : descriptor_(descriptor), bytes_(kBufferBytes) {
  struct stat file {};
  if (fstat(descriptor, &file) == 0) {
    may_wait_ = S_ISFIFO(file.st_mode) || S_ISSOCK(file.st_mode) || isatty(descriptor) != 0;
    would_block_ = may_wait_ && (fcntl(descriptor, F_GETFL) & O_NONBLOCK) == 0;
  }
  setp(bytes_.data(), bytes_.data() + bytes_.size());
}

DescriptorBuffer::int_type DescriptorBuffer::overflow(int_type c) {
  if (sync() != 0) return traits_type::eof();
  if (!traits_type::eq_int_type(c, traits_type::eof())) {
    *pptr() = traits_type::to_char_type(c);
    pbump(1);
  }
  return traits_type::not_eof(c);
}

int DescriptorBuffer::sync() {
  const char* from = pbase();
  while (failure_ == 0 && from < pptr()) {
    auto size = static_cast<size_t>(pptr() - from);
    if (would_block_) {
      // What has room at all has room for so much: pipe(7).
      size = std::min<size_t>(size, PIPE_BUF);
      if (!file_calls::wait_for_room(descriptor_, given_up_)) {
        failure_ = errno;
        break;
      }
    }
    const ssize_t taken = file_calls::write(descriptor_, from, size, given_up_);
    if (taken > 0) {
      from += taken;
      taken_.fetch_add(static_cast<uint64_t>(taken), std::memory_order_relaxed);
    } else {
      failure_ = taken < 0 ? errno : EIO;
    }
  }
  setp(bytes_.data(), bytes_.data() + bytes_.size());
  return failure_ == 0 ? 0 : -1;
}

OutputFile::OutputFile(std::string given, OutputPlace place, int descriptor, std::string temporary)
    : given_(std::move(given)),
      place_(std::move(place)),
      temporary_(std::move(temporary)),
      descriptor_(descriptor),
      buffer_(descriptor),
      stream_(&buffer_) {}

OutputFile::~OutputFile() {
  if (descriptor_ < 0) return;
  file_calls::close(descriptor_);
  if (!temporary_.empty()) file_calls::remove(temporary_.c_str());
}

Result<std::unique_ptr<OutputFile>> OutputFile::open(const std::string& path, OutputWay way) {
  Result<OutputPlace> found = find_output_place(path);
  if (!found) return Error{(path == "-" ? "standard output" : "'" + path + "'") + (" " + found.error())};
  const OutputPlace& place = found.value();
  const bool renamed = way == OutputWay::kBeside &&
                       (place.kind == OutputPlace::Kind::kNew || place.kind == OutputPlace::Kind::kRegular);
  std::string temporary;
  int descriptor = -1;
  if (place.kind == OutputPlace::Kind::kDescriptor) {
    // What was printed before comes before.
    if (place.descriptor == STDOUT_FILENO) std::fflush(stdout);
    descriptor = open_again(place);
  } else {
    descriptor = renamed ? open_temporary(place, temporary) : open_in_place(place);
  }
  if (descriptor < 0) return unwritable(path, errno);
  return std::unique_ptr<OutputFile>(
      new OutputFile(path, std::move(found).value(), descriptor, std::move(temporary)));
}

Result<bool> OutputFile::flush() {
  if (buffer_.pubsync() != 0) return unwritable(given_, buffer_.failure());
  return true;
}

// The owner as far as one may, then the mode: a change of owner takes set-user-id away.
void OutputFile::keep_owner_and_mode() const {
  struct stat now {};
  if (fstat(descriptor_, &now) != 0) return;
  mode_t mode = place_.file.st_mode & 07777;
  if (now.st_uid != place_.file.st_uid || now.st_gid != place_.file.st_gid) {
    const bool kept = file_calls::change_owner(descriptor_, place_.file.st_uid, place_.file.st_gid) == 0;
    if (!kept) mode &= 0777;
  }
  if (mode != (now.st_mode & 07777)) file_calls::change_mode(descriptor_, mode);
}

Result<bool> OutputFile::finish() {
  int error = buffer_.pubsync() == 0 ? 0 : buffer_.failure();
  if (error == 0 && !temporary_.empty()) {
    if (place_.kind == OutputPlace::Kind::kRegular) keep_owner_and_mode();
    if (!file_calls::sync(descriptor_)) error = errno;
  }
  if (file_calls::close(descriptor_) != 0 && errno != EINTR && error == 0) error = errno;
  descriptor_ = -1;
  if (!temporary_.empty()) {
    if (error == 0 && file_calls::rename(temporary_.c_str(), place_.path.c_str()) != 0) error = errno;
    if (error != 0) file_calls::remove(temporary_.c_str());
  }
  if (error != 0) return unwritable(given_, error);
  return true;
}

}  // namespace keel
