// `gogc`: one load under many values of GOGC.
//
// What it presses on: the trade of memory for collection time. Requests as in `requests`, over a steady live
// set, for the same time under each percentage; with --memory-limit or --ballast under that as well. By the
// rule of proportional growth, doubling GOGC halves the collector's CPU per allocated byte and doubles the
// room above the live heap: on logarithmic axes a slope of -1 (results.slope over 50 ... 800). `off` ends
// after --off-allocates bytes. Live bytes: entries x kept x slot, and the tables.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <thread>

#include "allocator/base/rng.h"
#include "allocator/base/units.h"
#include "workloads/backends/keel_backend.h"
#include "workloads/common/chain.h"
#include "workloads/common/service.h"

namespace {

using namespace keel;

constexpr uint64_t kObjects = 208;
constexpr uint64_t kKept = 8;
constexpr uint64_t kObjectBytes = 96;

struct GogcSettings {
  std::string percents = "10,25,50,100,200,400,800,1600,3200,off";
  uint64_t live_bytes = 32 * kMiB;
  uint64_t off_bytes = kGiB;
};

struct PartResult {
  int64_t percent = 0;  // HeapConfig::kGogcOff: off
  uint64_t requests = 0;
  uint64_t allocated_bytes = 0;
  uint64_t cycles = 0;
  int64_t wall_ns = 0;
  int64_t cpu_ns = 0;     // of the process
  int64_t gc_cpu_ns = 0;  // marking, assists, stops; idle marking included
  uint64_t peak_heap_bytes = 0;
  LogHistogram latency;
};

template <bool kPrecise>
class GogcRun {
  using B = KeelBackend<kPrecise>;

 public:
  GogcRun(Session& session, const GogcSettings& settings, std::vector<int64_t> percents)
      : session_(session), options_(session.options()), settings_(settings), percents_(std::move(percents)) {
    entries_ = std::max<uint64_t>(
        1, settings.live_bytes / threads() / (kKept * B::slot_bytes(kObjectBytes) + sizeof(void*)));
  }

  int run() {
    typename B::Runtime runtime(options_, session_.recorder());
    const Result<bool> started = session_.recorder().start([&] { return runtime.sample(); });
    if (!started) exit_bad_input("gogc", started.error());
    {
      typename B::Thread scope(runtime, "main");
      typename B::template Root<unsigned char> ballast;
      Tables tables(threads());
      try {
        if (options_.ballast_bytes != 0)
          ballast.reset(static_cast<unsigned char*>(B::make_bytes(options_.ballast_bytes)));
        fill_all(tables);
        if (!session_.stop_requested()) measure_all(runtime, tables);
      } catch (const std::bad_alloc& e) {
        session_.fail_out_of_memory(e.what());
      }
    }
    if (damaged_ || !session_.stop_requested()) {
      session_.set_self_check(
          !damaged_, damaged_ ? "an entry or a response is damaged" : "every entry intact under every GOGC");
    }
    if (!options_.quiet && options_.report_path != "-") print();
    return session_.finish([&](nlohmann::json& out) {
      runtime.sections(out);
      if (!parts_.empty()) out["results"] = results();
      uint64_t requests = 0;
      for (const auto& part : parts_) requests += part->requests;
      out["run"]["operations"] = requests;
    });
  }

 private:
  using Tables = std::vector<typename B::template Root<ChainSlot<B>>>;

  void measure_all(typename B::Runtime& runtime, Tables& tables) {
    session_.recorder().note_rss_start();
    session_.recorder().begin_measured();
    for (const int64_t percent : percents_) {
      if (session_.stop_requested()) break;
      parts_.push_back(std::make_unique<PartResult>());
      run_part(runtime, percent, tables, *parts_.back());
    }
    session_.recorder().end_measured();
    for (auto& table : tables) {
      for (uint64_t i = 0; i < entries_ && !session_.stop_requested(); ++i)
        damaged_ = damaged_ || !chain_is_whole(table.get()[i].head.get(), kKept, i);
    }
  }

  [[nodiscard]] uint64_t threads() const { return static_cast<uint64_t>(options_.threads); }

  [[nodiscard]] uint64_t live_bytes() const {
    return threads() *
           (entries_ * kKept * B::slot_bytes(kObjectBytes) + B::array_bytes(entries_ * sizeof(void*)));
  }

  // What the widest of the percentages will need is what the run will need.
  void expect(const SetUp& set_up) const {
    CommonOptions widest = options_;
    widest.heap.gogc_percent = *std::max_element(percents_.begin(), percents_.end());
    const bool off = std::find(percents_.begin(), percents_.end(), HeapConfig::kGogcOff) != percents_.end();
    const Footprint footprint{live_bytes(), "--live or --percents"};
    const Footprint uncollected{live_bytes() + settings_.off_bytes, "--live or --off-allocates"};
    const bool more = off && uncollected.live_bytes > needed_bytes(widest, footprint);
    if (more) widest.heap.gogc_percent = HeapConfig::kGogcOff;
    set_up.expect(more ? uncollected : footprint, widest);
  }

  void fill_all(Tables& tables) {
    SetUp set_up(session_, 1);
    expect(set_up);
    for (size_t t = 0; t < tables.size(); ++t) fill(set_up, t, tables[t]);
  }
  void fill(SetUp& set_up, size_t t, typename B::template Root<ChainSlot<B>>& table) {
    table.reset(B::template make_array<ChainSlot<B>>(entries_));
    for (uint64_t i = 0; i < entries_ && set_up.next_alone(t * entries_ + i, threads() * entries_); ++i) {
      typename B::template Local<Link<B>> entry = make_chain<B>(kKept, kObjectBytes, i);
      table.get()[i].head = static_cast<Link<B>*>(entry);
    }
  }

  void run_part(typename B::Runtime& runtime, int64_t percent, Tables& tables, PartResult& part) {
    Heap& heap = runtime.heap();
    heap.set_gc_percent(percent);
    heap.collect();
    part.percent = percent;
    const HeapStats before = heap.stats();
    const int64_t cpu = process_cpu_ns();
    const int64_t begin = now_ns();
    std::vector<std::thread> workers;
    std::vector<LogHistogram> latencies(threads());
    std::atomic<uint64_t> requests{0};  // relaxed [stats]: added once by each thread; joins order it
    std::atomic<uint64_t> peak{0};
    for (uint64_t t = 0; t < threads(); ++t) {
      workers.emplace_back([&, t] {
        try {
          typename B::Thread scope(runtime, "mutator-" + std::to_string(t));
          requests.fetch_add(serve(heap, tables[t], t, percent, begin, before, latencies[t], peak),
                             std::memory_order_relaxed);
        } catch (const std::bad_alloc& e) {
          session_.fail_out_of_memory(e.what());
        }
      });
    }
    B::blocking([&] {
      for (std::thread& worker : workers) worker.join();
    });
    const HeapStats after = heap.stats();
    part.wall_ns = now_ns() - begin;
    part.cpu_ns = process_cpu_ns() - cpu;
    part.requests = requests.load(std::memory_order_relaxed);
    part.allocated_bytes = after.total_alloc_bytes - before.total_alloc_bytes;
    part.cycles = after.num_gc - before.num_gc;
    part.gc_cpu_ns = after.gc_cpu_ns - before.gc_cpu_ns;
    part.peak_heap_bytes = peak.load(std::memory_order_relaxed);
    for (const LogHistogram& latency : latencies) part.latency.merge(latency);
    session_.recorder().add_latency(part.latency);
  }

  uint64_t serve(Heap& heap, typename B::template Root<ChainSlot<B>>& table, uint64_t t, int64_t percent,
                 int64_t begin_ns, const HeapStats& before, LogHistogram& latency,
                 std::atomic<uint64_t>& peak) {
    Rng rng(options_.seed * 0x10001 + t);
    const uint64_t quota = options_.operations == 0 ? ~uint64_t{0} : options_.operations / threads();
    int64_t begin = now_ns();
    const int64_t end = begin_ns + options_.duration_ns;
    uint64_t n = 0;
    while (n < quota && !session_.stop_requested() && (options_.operations != 0 || begin < end)) {
      const uint64_t at = rng.below(entries_);
      typename B::template Local<Link<B>> entry = make_chain<B>(kKept, kObjectBytes, at);
      table.get()[at].head = static_cast<Link<B>*>(entry);
      typename B::template Local<Link<B>> rest = make_chain<B>(kObjects - kKept, kObjectBytes, n);
      if (!chain_is_whole(static_cast<Link<B>*>(rest), kObjects - kKept, n)) damaged_ = true;
      const int64_t now = now_ns();
      latency.record(now - begin);
      begin = now;
      if (++n % 64 != 0) continue;
      // The live estimate, ballast and garbage included: what is compared with the goal.
      const uint64_t in_heap = heap.stats().heap_live_bytes;
      uint64_t seen = peak.load(std::memory_order_relaxed);
      while (in_heap > seen && !peak.compare_exchange_weak(seen, in_heap, std::memory_order_relaxed)) {
      }
      if (percent == HeapConfig::kGogcOff &&
          heap.stats().total_alloc_bytes - before.total_alloc_bytes > settings_.off_bytes) {
        break;
      }
    }
    return n;
  }

  static double gc_per_byte(const PartResult& part) {
    return static_cast<double>(part.gc_cpu_ns) / static_cast<double>(part.allocated_bytes);
  }
  // Least squares of log(GC CPU per allocated byte) over log(GOGC), 50 ... 800.
  [[nodiscard]] std::optional<double> slope() const {
    std::vector<std::pair<double, double>> points;
    for (const auto& part : parts_) {
      if (part->percent < 50 || part->percent > 800 || part->gc_cpu_ns <= 0) continue;
      points.emplace_back(std::log(static_cast<double>(part->percent)), std::log(gc_per_byte(*part)));
    }
    if (points.size() < 2) return std::nullopt;
    double x = 0;
    double y = 0;
    for (const auto& [a, b] : points) {
      x += a / static_cast<double>(points.size());
      y += b / static_cast<double>(points.size());
    }
    double xy = 0;
    double xx = 0;
    for (const auto& [a, b] : points) {
      xy += (a - x) * (b - y);
      xx += (a - x) * (a - x);
    }
    return xx == 0 ? std::nullopt : std::optional<double>(xy / xx);
  }

  void print() const {
    std::printf("%8s %8s %10s %10s %12s %12s %10s %10s\n", "GOGC", "cycles", "GC CPU", "total CPU",
                "GC ns/KiB", "peak heap", "requests/s", "p99");
    for (const auto& p : parts_) {
      const std::string percent = p->percent == HeapConfig::kGogcOff ? "off" : std::to_string(p->percent);
      std::printf("%8s %8llu %10s %10s %12.2f %12s %10.0f %10s\n", percent.c_str(),
                  static_cast<unsigned long long>(p->cycles),
                  human_duration(static_cast<double>(p->gc_cpu_ns)).c_str(),
                  human_duration(static_cast<double>(p->cpu_ns)).c_str(), 1024 * gc_per_byte(*p),
                  human_size(static_cast<double>(p->peak_heap_bytes)).c_str(),
                  static_cast<double>(p->requests) * 1e9 / static_cast<double>(p->wall_ns),
                  human_duration(static_cast<double>(p->latency.quantile(0.99))).c_str());
    }
    if (const auto s = slope())
      std::printf("gogc: slope of log GC CPU per byte over log GOGC, 50 to 800: %.3f\n", *s);
  }

  [[nodiscard]] nlohmann::json results() const {
    nlohmann::json parts = nlohmann::json::array();
    for (const auto& p : parts_) {
      nlohmann::json part{{"requests", p->requests},
                          {"allocated_bytes", p->allocated_bytes},
                          {"cycles", p->cycles},
                          {"wall_ns", p->wall_ns},
                          {"cpu_ns", p->cpu_ns},
                          {"gc_cpu_ns", p->gc_cpu_ns},
                          {"peak_heap_bytes", p->peak_heap_bytes},
                          {"latency", latency_json(p->latency)}};
      part["gogc"] = p->percent == HeapConfig::kGogcOff ? nlohmann::json("off") : nlohmann::json(p->percent);
      parts.push_back(std::move(part));
    }
    nlohmann::json out{{"parts", parts}, {"live_bytes", live_bytes()}};
    if (const auto s = slope()) out["slope"] = *s;
    return out;
  }

  Session& session_;
  const CommonOptions& options_;
  const GogcSettings settings_;
  const std::vector<int64_t> percents_;
  uint64_t entries_ = 0;  // of each thread
  std::vector<std::unique_ptr<PartResult>> parts_;
  std::atomic<bool> damaged_{false};  // relaxed [session.stop]
};

std::vector<int64_t> parse_percents(const std::string& text) {
  std::vector<int64_t> percents;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string item = text.substr(begin, end - begin);
    begin = end + 1;
    if (item == "off") {
      percents.push_back(HeapConfig::kGogcOff);
      continue;
    }
    int64_t percent = 0;
    const auto [stop, error] = std::from_chars(item.data(), item.data() + item.size(), percent);
    if (error != std::errc() || stop != item.data() + item.size() || percent < 1 ||
        percent > HeapConfig::kMaxGogc) {
      exit_bad_input("gogc", "option --percents: '" + item + "' is outside [1, 1000000] and not off");
    }
    percents.push_back(percent);
  }
  return percents;
}

}  // namespace

int main(int argc, char** argv) {
  GogcSettings settings;
  OptionParser parser("gogc", "One load under many values of GOGC. --duration: of each; by default 3s.");
  parser.text("--percents", settings.percents,
              "values of GOGC, or off, with commas [" + settings.percents + "]");
  parser.size("--live", settings.live_bytes, "live data");
  parser.size("--off-allocates", settings.off_bytes, "where `off` ends, as nothing is collected");
  CommonOptions options = parser.parse(argc, argv);
  if (options.collector != Collector::kKeel) {
    exit_bad_input("gogc", std::string("option --collector: ") + to_string(options.collector) +
                               " has no GOGC; keel has, and gogc-go");
  }
  if (options.heap.goal != GoalRule::kGogc)
    exit_bad_input("gogc", "option --goal does not apply to gogc: it sets GOGC");
  if (settings.live_bytes == 0) exit_bad_input("gogc", "option --live: '0B' is outside [1B, 8388607TiB]");
  const std::vector<int64_t> percents = parse_percents(settings.percents);
  parser.last_by_default(options, 3 * kSecond);
  Session session("gogc", options);
  if (options.heap.roots == Roots::kPrecise) return GogcRun<true>(session, settings, percents).run();
  return GogcRun<false>(session, settings, percents).run();
}
