// The descriptor experiment: why a finalizer needs keep-alive, on real files.
//
// An object owns a file descriptor and its finalizer closes it. A function copies the descriptor out of the
// object, and reads after a collection. The compiler ended the object's life at its last use, before the
// read: without keep_alive() the read fails with EBADF, or, if somebody has opened another file meanwhile,
// reads that one, which is worse. Origin: the documentation of Go's runtime.SetFinalizer and KeepAlive. With
// precise roots the hazard is not there: a Local keeps its object to the end of its scope, whatever the
// compiler does.
//
// Then: how fast finalizers run and how long one waits, and what a finalizer, a cleanup and a weak pointer
// cost an object against none.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <vector>

#include "allocator/base/clock.h"
#include "reports/api/log_histogram.h"
#include "workloads/backends/keel_backend.h"
#include "workloads/common/options.h"
#include "workloads/common/session.h"

namespace {

using namespace keel;

constexpr int64_t kPatienceNs = 60'000'000'000;

struct File {
  int descriptor;
  uint64_t number;
};

struct Settings {
  uint64_t tries = 10000;
  uint64_t objects = 100000;
  bool keep_alive = false;
};

struct Reads {
  uint64_t good = 0;
  uint64_t bad = 0;         // EBADF
  uint64_t wrong_file = 0;  // somebody else's content
};

/// Two files in a folder of their own, gone with this object.
class Files {
 public:
  Files() {
    std::string pattern = (std::filesystem::temp_directory_path() / "keel-finalizers-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) {
      exit_bad_input("finalizers", "temporary folder '" + pattern + "': " + std::strerror(errno));
    }
    folder_ = pattern;
    write("right", 'r');
    write("wrong", 'w');
  }
  ~Files() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  Files(const Files&) = delete;
  Files& operator=(const Files&) = delete;
  [[nodiscard]] int open(const char* name) const {
    return ::open((folder_ / name).c_str(), O_RDONLY | O_CLOEXEC);
  }

 private:
  void write(const char* name, char content) const {
    std::FILE* file = std::fopen((folder_ / name).c_str(), "w");
    if (file == nullptr || std::fputc(content, file) == EOF || std::fclose(file) != 0) {
      exit_bad_input("finalizers", "file '" + (folder_ / name).string() + "': " + std::strerror(errno));
    }
  }
  std::filesystem::path folder_;
};

template <typename B>
__attribute__((noinline)) File* open_file(const Files& files, uint64_t number) {
  typename B::template Local<File> file = B::template make<File>();
  file->descriptor = files.open("right");
  file->number = number;
  set_finalizer(static_cast<File*>(file), [](File* f) { ::close(f->descriptor); });
  return file;
}

/// Overwrites what calls that have returned left on the stack: a stale copy would keep the object, by chance.
__attribute__((noinline)) void wipe_stack() {
  std::array<volatile unsigned char, 16384> old;
  for (auto& byte : old) byte = 0;
  asm volatile("" : : "r"(old.data()) : "memory");
}

template <typename B, bool kKeepAlive>
__attribute__((noinline)) void try_once(Heap& heap, const Files& files, uint64_t number, Reads& reads) {
  typename B::template Local<File> file = open_file<B>(files, number);
  const int descriptor = file->descriptor;
  wipe_stack();
  heap.collect();
  heap.run_finalizers(kPatienceNs);
  // Every other time somebody opens a file, and gets the lowest free descriptor.
  const int other = number % 2 != 0 ? files.open("wrong") : -1;
  char content = 0;
  const ssize_t got = ::pread(descriptor, &content, 1, 0);
  if constexpr (kKeepAlive) keep_alive(static_cast<File*>(file));
  if (got == 1 && content == 'r') {
    ++reads.good;
  } else if (got == 1) {
    ++reads.wrong_file;
  } else {
    ++reads.bad;
  }
  if (other >= 0) ::close(other);
}

/// Objects that become unreachable together: how many finalizers run a second, and from the collection that
/// found one unreachable to its run.
template <typename B>
nlohmann::json throughput(Heap& heap, uint64_t objects) {
  LogHistogram waits;  // the finalizer thread's until run_finalizers() has returned
  int64_t begin = 0;
  for (uint64_t i = 0; i < objects; ++i) {
    typename B::template Local<File> file = B::template make<File>();
    set_finalizer(static_cast<File*>(file), [&waits, &begin](File*) { waits.record(now_ns() - begin); });
  }
  begin = now_ns();
  heap.collect();
  heap.run_finalizers(kPatienceNs);
  const int64_t took = now_ns() - begin;
  return {{"objects", waits.count()},
          {"per_second",
           static_cast<uint64_t>(static_cast<double>(waits.count()) * 1e9 / static_cast<double>(took))},
          {"wait", latency_json(waits)}};
}

/// Nanoseconds an object, from its allocation to the end of its last collection.
template <typename B, typename Attach>
double cost_ns(Heap& heap, uint64_t objects, Attach&& attach) {
  const int64_t begin = now_ns();
  for (uint64_t i = 0; i < objects; ++i) {
    typename B::template Local<File> file = B::template make<File>();
    attach(static_cast<File*>(file), i);
  }
  for (int i = 0; i < 2; ++i) {
    heap.collect();
    heap.run_finalizers(kPatienceNs);
  }
  return static_cast<double>(now_ns() - begin) / static_cast<double>(objects);
}

template <typename B>
nlohmann::json costs(Heap& heap, uint64_t objects) {
  std::vector<Weak<File>> weak(objects);
  nlohmann::json cost;
  cost["none"] = cost_ns<B>(heap, objects, [](File*, uint64_t) {});
  cost["finalizer"] = cost_ns<B>(heap, objects, [](File* f, uint64_t) { set_finalizer(f, [](File*) {}); });
  cost["cleanup"] = cost_ns<B>(heap, objects, [](File* f, uint64_t) {
    add_cleanup(
        f, [](int) {}, 0);
  });
  cost["weak"] = cost_ns<B>(heap, objects, [&](File* f, uint64_t i) { weak[i] = Weak<File>(f); });
  return cost;
}

template <typename B>
int run_on(const CommonOptions& options, const Settings& settings) {
  Session session("finalizers", options);
  typename B::Runtime runtime(options, session.recorder());
  const Result<bool> started = session.recorder().start([&] { return runtime.sample(); });
  if (!started) exit_bad_input("finalizers", started.error());
  Files files;
  Reads reads;
  nlohmann::json rates;
  nlohmann::json cost;
  {
    typename B::Thread scope(runtime, "main");
    session.recorder().note_rss_start();
    session.recorder().begin_measured();
    for (uint64_t i = 0; i < settings.tries && !session.stop_requested(); ++i) {
      settings.keep_alive ? try_once<B, true>(runtime.heap(), files, i, reads)
                          : try_once<B, false>(runtime.heap(), files, i, reads);
    }
    if (!session.stop_requested()) rates = throughput<B>(runtime.heap(), settings.objects);
    if (!session.stop_requested()) cost = costs<B>(runtime.heap(), settings.objects);
    session.recorder().end_measured();
    wipe_stack();
    runtime.collect();
    runtime.heap().run_finalizers(kPatienceNs);
  }
  const bool precise = options.heap.roots == Roots::kPrecise;
  const uint64_t hazards = reads.bad + reads.wrong_file;
  session.set_self_check(hazards == 0 || (!settings.keep_alive && !precise),
                         std::to_string(reads.good) + " good reads, " + std::to_string(reads.bad) +
                             " of a closed descriptor, " + std::to_string(reads.wrong_file) +
                             " of another file");
  if (!options.quiet && options.report_path != "-") {
    std::printf(
        "finalizers: keep-alive %s: %llu good reads, %llu of a closed descriptor (EBADF), %llu of another "
        "file\n",
        settings.keep_alive ? "on" : "off", static_cast<unsigned long long>(reads.good),
        static_cast<unsigned long long>(reads.bad), static_cast<unsigned long long>(reads.wrong_file));
    if (precise && !settings.keep_alive) {
      std::printf(
          "finalizers: precise roots: a Local keeps its object to the end of its scope, so the hazard is not "
          "here\n");
    }
  }
  return session.finish([&](nlohmann::json& out) {
    runtime.sections(out);
    out["results"] = {{"tries", reads.good + hazards},
                      {"good_reads", reads.good},
                      {"bad_reads", reads.bad},
                      {"wrong_file_reads", reads.wrong_file},
                      {"keep_alive", settings.keep_alive}};
    if (!rates.is_null()) out["results"]["finalizers"] = rates;
    if (!cost.is_null()) out["results"]["cost_ns"] = cost;
    out["run"]["operations"] = reads.good + hazards;
  });
}

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  OptionParser parser(
      "finalizers",
      "A descriptor read after its owner's finalizer may have closed it, with and without keep-alive.");
  parser.toggle("--keep-alive", settings.keep_alive, "keep the owner alive up to the read");
  parser.count("--tries", settings.tries, 0, 100000000, "reads");
  parser.count("--objects", settings.objects, 1, 10000000, "objects for throughput and cost");
  const CommonOptions options = parser.parse(argc, argv);
  if (options.collector != Collector::kKeel) {
    exit_bad_input("finalizers", std::string("option --collector: ") + to_string(options.collector) +
                                     " has no Keel finalizers; this workload runs on keel only, so far");
  }
  if (options.ballast_bytes != 0)
    exit_bad_input("finalizers", "option --ballast does not apply to finalizers");
  if (options.heap.roots == Roots::kPrecise) return run_on<KeelBackend<true>>(options, settings);
  return run_on<KeelBackend<false>>(options, settings);
}
