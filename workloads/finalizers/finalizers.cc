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
// cost an object against none. On Keel and on Boehm, there with finalizers in order and in none.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <new>
#include <system_error>
#include <vector>

#include "allocator/base/clock.h"
#include "reports/api/log_histogram.h"
#include "workloads/common/options.h"
#include "workloads/common/session.h"
#include "workloads/common/set_up.h"
#include "workloads/common/wipe_stack.h"
#ifdef KEEL_FOR_BOEHM
#include "workloads/finalizers/boehm_ends.h"
#else
#include "workloads/common/boehm_start.h"
#include "workloads/finalizers/keel_ends.h"
#endif

namespace {

using namespace keel;

constexpr int64_t kPatienceNs = 60'000'000'000;
// About what an object with a finalizer takes beside itself.
constexpr uint64_t kRecordBytes = 48;

struct File {
  [[maybe_unused]] static constexpr bool kNoPointers = true;  // for Boehm
  int descriptor;
  uint64_t number;
};

struct Settings {
  uint64_t tries = 10000;
  uint64_t objects = 100000;
  uint64_t rounds = 5;
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

template <typename Ends>
__attribute__((noinline)) File* open_file(const Files& files, uint64_t number) {
  using B = typename Ends::Backend;
  typename B::template Local<File> file = B::template make<File>();
  file->descriptor = files.open("right");
  file->number = number;
  Ends::template set_finalizer<File>(
      Ends::kFinalizers.back(), file, [](File* f, void*) { ::close(f->descriptor); }, nullptr);
  return file;
}

template <typename Ends, bool kKeepAlive>
__attribute__((noinline)) void try_once(typename Ends::Runtime& runtime, const Files& files, uint64_t number,
                                        Reads& reads) {
  using B = typename Ends::Backend;
  typename B::template Local<File> file = open_file<Ends>(files, number);
  const int descriptor = file->descriptor;
  wipe_stack();
  runtime.collect();
  Ends::run_finalizers(runtime, kPatienceNs);
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

template <typename B>
struct FileSlot {
  typename B::template Field<File> file;
};

struct Waits {
  LogHistogram histogram;  // the finalizer thread's until run_finalizers() has returned
  int64_t begin_ns = 0;
};

/// Objects that become unreachable together: how many finalizers run a second, and from the collection that
/// found one unreachable to its run.
/// Null if the run was to stop meanwhile.
template <typename Ends>
nlohmann::json throughput(Session& session, typename Ends::Runtime& runtime, uint64_t objects,
                          const char* kind, Waits& waits) {
  using B = typename Ends::Backend;
  SetUp set_up(session, 1);
  // Each has its record beside it.
  set_up.expect(
      {objects * (B::slot_bytes(sizeof(File)) + sizeof(FileSlot<B>)), "--objects", objects * kRecordBytes});
  // Held until all are there: a collection on the way would finalize some before the clock runs.
  typename B::template Root<FileSlot<B>> held;
  held.reset(B::template make_array<FileSlot<B>>(objects));
  for (uint64_t i = 0; i < objects && set_up.next_alone(i, objects); ++i) {
    typename B::template Local<File> file = B::template make<File>();
    held.get()[i].file = static_cast<File*>(file);
    Ends::template set_finalizer<File>(
        kind, file,
        [](File*, void* context) {
          auto* w = static_cast<Waits*>(context);
          w->histogram.record(now_ns() - w->begin_ns);
        },
        &waits);
  }
  held.reset();
  wipe_stack();
  if (set_up.stopped()) return {};
  waits.begin_ns = now_ns();
  runtime.collect();
  Ends::run_finalizers(runtime, kPatienceNs);
  const int64_t took = now_ns() - waits.begin_ns;
  const uint64_t count = waits.histogram.count();
  return {{"objects", count},
          {"per_second", static_cast<uint64_t>(static_cast<double>(count) * 1e9 / static_cast<double>(took))},
          {"wait", latency_json(waits.histogram)}};
}

/// Nanoseconds an object, from its allocation to the end of its last collection.
template <typename Ends, typename Attach>
double cost_ns(const Session& session, typename Ends::Runtime& runtime, uint64_t objects, Attach&& attach) {
  using B = typename Ends::Backend;
  const int64_t begin = now_ns();
  for (uint64_t i = 0; i < objects && !session.stop_requested(); ++i) {
    typename B::template Local<File> file = B::template make<File>();
    attach(static_cast<File*>(file));
  }
  for (int i = 0; i < 2 && !session.stop_requested(); ++i) {
    runtime.collect();
    Ends::run_finalizers(runtime, kPatienceNs);
  }
  return static_cast<double>(now_ns() - begin) / static_cast<double>(objects);
}

/// Round after round, each kind once a round, so that drift hits all alike: every figure, in its order. Null
/// if the run was to stop meanwhile.
template <typename Ends>
nlohmann::json costs(const Session& session, typename Ends::Runtime& runtime, const Settings& settings) {
  nlohmann::json cost;
  for (uint64_t round = 0; round < settings.rounds && !session.stop_requested(); ++round) {
    cost["none"].push_back(cost_ns<Ends>(session, runtime, settings.objects, [](File*) {}));
    for (const char* what : Ends::kAttachments) {
      typename Ends::template Attacher<File> attacher(what, settings.objects);
      cost[what].push_back(
          cost_ns<Ends>(session, runtime, settings.objects, [&](File* f) { attacher.attach(f); }));
    }
  }
  return session.stop_requested() ? nlohmann::json() : cost;
}

template <typename Ends>
int run_on(const CommonOptions& options, const Settings& settings) {
  Session session("finalizers", options);
  // Older than the heap: a stale word on the stack may keep an object, whose finalizer then runs late.
  std::array<Waits, Ends::kFinalizers.size()> waits;
  typename Ends::Runtime runtime(options, session.recorder());
  const Result<bool> started = session.recorder().start([&] { return runtime.sample(); });
  if (!started) exit_bad_input("finalizers", started.error());
  Files files;
  Reads reads;
  nlohmann::json rates;
  nlohmann::json cost;
  try {
    typename Ends::Backend::Thread scope(runtime, "main");
    session.recorder().note_rss_start();
    session.recorder().begin_measured();
    for (uint64_t i = 0; i < settings.tries && !session.stop_requested(); ++i) {
      settings.keep_alive ? try_once<Ends, true>(runtime, files, i, reads)
                          : try_once<Ends, false>(runtime, files, i, reads);
    }
    for (size_t i = 0; i < waits.size() && !session.stop_requested(); ++i) {
      const char* kind = Ends::kFinalizers[i];
      const nlohmann::json rate = throughput<Ends>(session, runtime, settings.objects, kind, waits[i]);
      if (!rate.is_null()) rates[kind] = rate;
    }
    if (!session.stop_requested()) cost = costs<Ends>(session, runtime, settings);
    session.recorder().end_measured();
    if (!session.stop_requested()) {
      wipe_stack();
      runtime.collect();
      Ends::run_finalizers(runtime, kPatienceNs);
    }
  } catch (const std::bad_alloc& e) {
    session.fail_out_of_memory(e.what());
  } catch (const std::system_error& e) {
    session.fail_out_of_memory("no thread for finalizers: " + e.code().message());
  }
  const bool precise = options.heap.roots == Roots::kPrecise;
  const uint64_t hazards = reads.bad + reads.wrong_file;
  if (!session.stop_requested() || reads.good + hazards != 0)
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
    for (const auto& [what, ns] : cost.items()) {
      std::vector<double> sorted = ns;
      std::sort(sorted.begin(), sorted.end());
      std::printf("finalizers: %-20s %7.0f ns an object (%.0f to %.0f, %zu rounds)\n", what.c_str(),
                  sorted[sorted.size() / 2], sorted.front(), sorted.back(), sorted.size());
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
  parser.count("--rounds", settings.rounds, 1, 1000, "measurements of each cost, interleaved");
  const CommonOptions options = parser.parse(argc, argv);
  if (options.collector == Collector::kMalloc) {
    exit_bad_input("finalizers", "option --collector: malloc has no finalizers; keel and boehm have");
  }
  if (options.ballast_bytes != 0)
    exit_bad_input("finalizers", "option --ballast does not apply to finalizers");
#ifdef KEEL_FOR_BOEHM
  return run_on<BoehmEnds>(options, settings);
#else
  if (options.collector != Collector::kKeel) start_boehm("finalizers", argv);
  if (options.heap.roots == Roots::kPrecise) return run_on<KeelEnds<true>>(options, settings);
  return run_on<KeelEnds<false>>(options, settings);
#endif
}
