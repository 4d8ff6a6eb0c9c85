// See output_place.h.
#include "reports/output/output_place.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

namespace keel {
namespace {

constexpr int kMostLinks = 40;  // as the kernel: include/linux/namei.h, MAXSYMLINKS

Error unwritable(int error) { return Error{std::string("cannot be written: ") + std::strerror(error)}; }

// A path as folder and last name: "a/b" -> "a", "b"; "b" -> ".", "b"; "/b" -> "/", "b".
struct Parts {
  std::string folder;
  std::string name;
};

Parts parts_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

// The folder without links in its path.
Result<std::string> real_folder(const std::string& folder) {
  char* const real = realpath(folder.c_str(), nullptr);
  if (real == nullptr) {
    if (errno == ENOENT || errno == ENOTDIR) return Error{"cannot be written: no folder '" + folder + "'"};
    return unwritable(errno);
  }
  std::string text = real;
  std::free(real);
  struct stat there {};
  if (stat(text.c_str(), &there) != 0 || !S_ISDIR(there.st_mode))
    return Error{"cannot be written: no folder '" + folder + "'"};
  return text;
}

// /proc/PID/fd and /proc/PID/task/TID/fd of this process, whichever way they were reached.
bool holds_own_descriptors(const std::string& folder) {
  const std::string process = "/proc/" + std::to_string(getpid());
  if (folder == process + "/fd") return true;
  return folder.starts_with(process + "/task/") && folder.ends_with("/fd");
}

bool is_in_proc(const std::string& folder) {
  struct statfs system {};
  return statfs(folder.c_str(), &system) == 0 && system.f_type == PROC_SUPER_MAGIC;
}

// A file that was mounted on its own, as containers are given one: nothing can be renamed over it.
bool is_mount_point(const std::string& path) {
#ifdef STATX_ATTR_MOUNT_ROOT
  struct statx more {};
  return statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &more) == 0 &&
         (more.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
#else
  static_cast<void>(path);
  return false;
#endif
}

Result<OutputPlace> descriptor_place(int descriptor, const std::string& path) {
  OutputPlace place;
  place.kind = OutputPlace::Kind::kDescriptor;
  place.path = path;
  place.descriptor = descriptor;
  const int flags = fcntl(descriptor, F_GETFL);
  if (flags < 0 || fstat(descriptor, &place.file) != 0) return unwritable(errno);
  if (S_ISDIR(place.file.st_mode)) return Error{"is a folder"};
  if ((flags & O_ACCMODE) == O_RDONLY || (flags & O_PATH) != 0)
    return Error{"cannot be written: descriptor " + std::to_string(descriptor) + " is not open for writing"};
  return place;
}

// A number as /proc/self/fd has it: -1 for anything else.
int descriptor_number(const std::string& name) {
  if (name.empty() || name.size() > 9 || name.find_first_not_of("0123456789") != std::string::npos) return -1;
  return std::atoi(name.c_str());
}

Result<bool> check_writable(const std::string& path, int how) {
  if (faccessat(AT_FDCWD, path.c_str(), how, AT_EACCESS) == 0) return true;
  return unwritable(errno);
}

Result<bool> check_folder(const std::string& folder) {
  if (check_writable(folder, W_OK | X_OK)) return true;
  return Error{"cannot be written: no file can be put into the folder '" + folder +
               "': " + std::strerror(errno)};
}

// What is written as it is. `place.file` is of it.
Result<OutputPlace> place_through(OutputPlace place) {
  if (S_ISDIR(place.file.st_mode)) return Error{"is a folder"};
  if (S_ISSOCK(place.file.st_mode)) return Error{"cannot be written: it is a socket"};
  if (const Result<bool> may = check_writable(place.path, W_OK); !may) return Error{may.error()};
  place.kind = OutputPlace::Kind::kThrough;
  return place;
}

// What lies at the end of the links.
Result<OutputPlace> place_at_end(OutputPlace place, const std::string& folder) {
  Result<OutputPlace> found = place_through(std::move(place));
  if (!found || !S_ISREG(found.value().file.st_mode) || is_mount_point(found.value().path)) return found;
  if (const Result<bool> may = check_folder(folder); !may) return Error{may.error()};
  found.value().kind = OutputPlace::Kind::kRegular;
  return found;
}

}  // namespace

Result<OutputPlace> find_output_place(const std::string& path) {
  if (path == "-") return descriptor_place(STDOUT_FILENO, path);
  if (path.empty()) return Error{"is not a file"};
  OutputPlace place;
  std::string at = path;
  for (int links = 0; links <= kMostLinks; ++links) {
    const auto [folder_name, name] = parts_of(at);
    const Result<std::string> folder = real_folder(folder_name);
    if (!folder) return Error{folder.error()};
    if (name.empty() || name == "." || name == "..") return Error{"is a folder"};
    if (holds_own_descriptors(folder.value())) {
      const int number = descriptor_number(name);
      return number < 0 ? Result<OutputPlace>(unwritable(ENOENT)) : descriptor_place(number, path);
    }
    place.path = (folder.value() == "/" ? "" : folder.value()) + "/" + name;
    if (lstat(place.path.c_str(), &place.file) != 0) {
      if (errno != ENOENT) return unwritable(errno);
      if (const Result<bool> may = check_folder(folder.value()); !may) return Error{may.error()};
      if (stat(folder.value().c_str(), &place.file) != 0) return unwritable(errno);
      return place;
    }
    if (!S_ISLNK(place.file.st_mode)) return place_at_end(std::move(place), folder.value());
    if (is_in_proc(folder.value())) {
      // Not a path but a door: what lies behind it may have no name, or one elsewhere.
      if (stat(place.path.c_str(), &place.file) != 0) return unwritable(errno);
      return place_through(std::move(place));
    }
    char target[PATH_MAX];
    const ssize_t length = readlink(place.path.c_str(), target, sizeof target);
    if (length < 0) return unwritable(errno);
    const std::string text(target, static_cast<size_t>(length));
    at = text.starts_with('/') ? text : folder.value() + "/" + text;
  }
  return unwritable(ELOOP);
}

bool is_same_output(const OutputPlace& a, const OutputPlace& b) {
  using Kind = OutputPlace::Kind;
  if (a.file.st_dev != b.file.st_dev || a.file.st_ino != b.file.st_ino) return false;
  if (a.kind == Kind::kNew || b.kind == Kind::kNew) return a.kind == b.kind && a.path == b.path;
  return !S_ISCHR(a.file.st_mode);
}

}  // namespace keel
