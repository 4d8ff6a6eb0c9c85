// `maps`: why a map without pointers is free to collect.
//
// What it presses on: what the marker must look at. The same number of entries as seven kinds of map; with
// pointer-free keys and values the buckets are noscan and a full collection does not depend on the map's
// size; with pointers every slot is visited. A value of 129 B is stored behind a pointer and turns a
// pointer-free map into a pointer-bearing one: the cliff. Origin: Go issue 9477 (maps without pointers, fixed
// in 1.5), and every cache that was rewritten around it. For each form: what it takes (in closed form, from
// the map's structure), build, lookup, and full collections timed from outside.
#include <algorithm>
#include <numeric>
#include <vector>

#include "allocator/base/check.h"
#include "allocator/base/clock.h"
#include "allocator/base/rng.h"
#include "allocator/base/units.h"
#include "workloads/common/dispatch.h"
#include "workloads/common/wipe_stack.h"
#include "workloads/maps/forms.h"
#include "workloads/maps/go_map.h"
#include "workloads/maps/swiss_map.h"

namespace {

using namespace keel;

struct Settings {
  std::string form = "all";
  std::string map = "go";
  uint64_t entries = 1'000'000;
  uint64_t collections = 20;
  uint64_t passes = 5;
  bool compare = false;
  std::string keys_file;
};

struct FormResult {
  std::string form;
  MapFootprint footprint;  // entries' own objects included
  int64_t build_ns = 0;
  std::vector<double> lookup_ns;  // a pass each
  std::vector<int64_t> collection_ns;
  std::vector<int64_t> collection_cpu_ns;
  uint32_t first_cycle = 0;  // of the timed collections
  uint32_t last_cycle = 0;
  bool intact = false;
};

template <typename T>
T median(std::vector<T> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

template <typename B, typename Map, typename K, typename V>
class FormRun {
 public:
  FormRun(Session& session, typename B::Runtime& runtime, const Settings& settings, const KeyList& keys)
      : session_(session), runtime_(runtime), settings_(settings), keys_(keys) {}

  /// About: by the usual lengths of keys and values; and the keys that look_up() holds beside the heap.
  static Footprint footprint(uint64_t entries) {
    const uint64_t each = MapKey<B, K>::objects() * B::array_bytes(20) +
                          MapValue<B, V>::kObjects * B::array_bytes(13) +
                          (sizeof(V) > MapCell<B, V>::kMostInline ? B::array_bytes(sizeof(V)) : 0);
    return {Map::expected_bytes(entries) + entries * each, "--entries", entries * sizeof(K)};
  }

  FormResult run(const char* form) {
    FormResult result;
    result.form = form;
    build(result);
    if (!session_.stop_requested()) {
      measure_footprint(result);
      look_up(result);
      collect(result);
    }
    result.intact = check();
    drop();
    return result;
  }

 private:
  // Each step has a frame of its own, below which the stack is wiped: a stale word would keep the last form's
  // map.
  typename Map::Header* header() const {
    auto* h = map_.get();
    KEEL_CHECK(h != nullptr, "maps: no map");
    return h;
  }

  __attribute__((noinline)) void build(FormResult& result) {
    SetUp set_up(session_, 1);
    set_up.expect(footprint(settings_.entries));
    const int64_t begin = now_ns();
    map_.reset(Map::make(0, session_.options().seed));
    for (uint64_t i = 0; i < settings_.entries && set_up.next_alone(i, settings_.entries); ++i) {
      MapKey<B, K>::with(keys_, i, [&](const K& key) { MapValue<B, V>::put(Map::assign(header(), key), i); });
    }
    result.build_ns = now_ns() - begin;
  }

  __attribute__((noinline)) void measure_footprint(FormResult& result) {
    result.footprint = Map::footprint(header());
    typename Map::Iterator at(header(), 1);
    while (at.next() && !session_.stop_requested()) {
      result.footprint.objects += MapKey<B, K>::objects() + MapValue<B, V>::kObjects;
      result.footprint.bytes += MapKey<B, K>::bytes(at.key()) + MapValue<B, V>::bytes(at.value());
    }
  }

  // Every key once a pass, in random order; the keys themselves are copies that share their bytes with the
  // map's.
  __attribute__((noinline)) void look_up(FormResult& result) {
    std::vector<K> order;
    order.reserve(settings_.entries);
    {
      typename Map::Iterator at(header(), 1);
      while (at.next()) order.push_back(at.key());
    }
    Rng rng(session_.options().seed);
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
    for (uint64_t pass = 0; pass < settings_.passes && !lost_ && !session_.stop_requested() && !order.empty();
         ++pass) {
      uint64_t found = 0;
      const int64_t begin = now_ns();
      for (const K& key : order) found += Map::find(header(), key) != nullptr ? 1 : 0;
      result.lookup_ns.push_back(static_cast<double>(now_ns() - begin) / static_cast<double>(order.size()));
      if (found != order.size()) lost_ = true;
    }
  }

  __attribute__((noinline)) void collect(FormResult& result) {
    if (B::kFrees) return;
    wipe_stack();
    runtime_.collect();
    result.first_cycle = runtime_.sample().num_gc.value_or(0) + 1;
    for (uint64_t i = 0; i < settings_.collections && !session_.stop_requested(); ++i) {
      const int64_t cpu = process_cpu_ns();
      const int64_t begin = now_ns();
      runtime_.collect();
      result.collection_ns.push_back(now_ns() - begin);
      result.collection_cpu_ns.push_back(process_cpu_ns() - cpu);
    }
    result.last_cycle = runtime_.sample().num_gc.value_or(0);
  }

  __attribute__((noinline)) bool check() {
    if (lost_) return false;
    if (session_.stop_requested()) return true;
    if (Map::size(header()) != settings_.entries) return false;
    for (uint64_t i = 0; i < settings_.entries && !session_.stop_requested(); ++i) {
      bool right = false;
      MapKey<B, K>::with(keys_, i, [&](const K& key) {
        const V* value = Map::find(header(), key);
        right = value != nullptr && MapValue<B, V>::is(*value, i);
        MapKey<B, K>::release(key);
      });
      if (!right) return false;
    }
    return true;
  }

  __attribute__((noinline)) void drop() {
    if constexpr (B::kFrees) {
      {
        typename Map::Iterator at(header(), 1);
        while (at.next()) {
          MapKey<B, K>::release(at.key());
          MapValue<B, V>::release(at.value());
        }
      }
      Map::destroy(header());
    }
    map_.reset();
    wipe_stack();
    if (!session_.stop_requested()) runtime_.collect();
  }

  Session& session_;
  typename B::Runtime& runtime_;
  const Settings& settings_;
  const KeyList& keys_;
  typename B::template Root<typename Map::Header> map_;
  bool lost_ = false;  // an entry was not found
};

nlohmann::json to_json(const FormResult& r) {
  nlohmann::json out{{"form", r.form},
                     {"bytes", r.footprint.bytes},
                     {"objects", r.footprint.objects},
                     {"pointer_slots", r.footprint.pointer_slots},
                     {"build_ns", r.build_ns},
                     {"lookup_ns", r.lookup_ns}};
  if (r.collection_ns.empty()) return out;
  out["collection_ns"] = r.collection_ns;
  out["collection_cpu_ns"] = r.collection_cpu_ns;
  out["cycles"] = {{"first", r.first_cycle}, {"last", r.last_cycle}};
  return out;
}

void print_table(const std::vector<FormResult>& results) {
  std::printf("%-17s %10s %10s %13s %10s %9s %26s %10s\n", "form", "bytes", "objects", "pointer slots",
              "build", "lookup", "full collection (range)", "its CPU");
  for (const FormResult& r : results) {
    std::string collection = "-";
    std::string cpu = "-";
    if (!r.collection_ns.empty()) {
      const auto [low, high] = std::minmax_element(r.collection_ns.begin(), r.collection_ns.end());
      collection = human_duration(static_cast<double>(median(r.collection_ns))) + " (" +
                   human_duration(static_cast<double>(*low)) + "-" +
                   human_duration(static_cast<double>(*high)) + ")";
      cpu = human_duration(static_cast<double>(median(r.collection_cpu_ns)));
    }
    std::printf("%-17s %10s %10llu %13llu %10s %6.1f ns %26s %10s\n", r.form.c_str(),
                human_size(static_cast<double>(r.footprint.bytes)).c_str(),
                static_cast<unsigned long long>(r.footprint.objects),
                static_cast<unsigned long long>(r.footprint.pointer_slots),
                human_duration(static_cast<double>(r.build_ns)).c_str(), median(r.lookup_ns),
                collection.c_str(), cpu.c_str());
  }
}

template <typename B, template <typename, typename, typename, typename> typename M>
void run_forms(Session& session, typename B::Runtime& runtime, const Settings& settings, const KeyList& keys,
               std::vector<FormResult>& results) {
  for (const char* form : kMapForms) {
    if ((settings.form != "all" && settings.form != form) || session.stop_requested()) continue;
    with_form<B>(form, [&]<typename K, typename V>() {
      FormResult result =
          FormRun<B, M<B, K, V, MapHash<K>>, K, V>(session, runtime, settings, keys).run(form);
      // Cut short it is not whole, unless it has found a fault.
      if (!session.stop_requested() || !result.intact) results.push_back(std::move(result));
    });
  }
}

template <typename B>
int run_on(const CommonOptions& options, const Settings& settings, const KeyList& keys) {
  Session session("maps", options);
  std::vector<FormResult> results;
  typename B::Runtime runtime(options, session.recorder());
  const Result<bool> started = session.recorder().start([&] { return runtime.sample(); });
  if (!started) exit_bad_input("maps", started.error());
  {
    typename B::Thread scope(runtime, "main");
    typename B::template Root<unsigned char> ballast;
    try {
      if (options.ballast_bytes != 0)
        ballast.reset(static_cast<unsigned char*>(B::make_bytes(options.ballast_bytes)));
      session.recorder().note_rss_start();
      session.recorder().begin_measured();
      if (settings.map == "swiss") {
        run_forms<B, SwissMap>(session, runtime, settings, keys, results);
      } else {
        run_forms<B, GoMap>(session, runtime, settings, keys, results);
      }
    } catch (const std::bad_alloc& e) {
      session.fail_out_of_memory(e.what());
    }
    session.recorder().end_measured();
    ballast.reset();
  }
  std::string damaged;
  for (const FormResult& r : results) {
    if (!r.intact) damaged += (damaged.empty() ? "" : ", ") + r.form;
  }
  if (!results.empty())
    session.set_self_check(damaged.empty(), damaged.empty() ? std::to_string(results.size()) +
                                                                  " forms, every entry found with "
                                                                  "its value after the collections"
                                                            : "entries are missing or wrong in " + damaged);
  if (!options.quiet && options.report_path != "-") print_table(results);
  return session.finish([&](nlohmann::json& out) {
    runtime.sections(out);
    nlohmann::json forms = nlohmann::json::array();
    for (const FormResult& r : results) forms.push_back(to_json(r));
    out["results"] = {{"map", settings.map},
                      {"entries", settings.entries},
                      {"forms", forms},
                      {"keys",
                       {{"source", options.anonymous && !settings.keys_file.empty() ? "file" : keys.source},
                        {"count", keys.keys.size()}}}};
    out["run"]["operations"] = results.size() * settings.entries;
  });
}

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  std::string forms;
  for (const char* form : kMapForms) forms += std::string(form) + ", ";
  OptionParser parser("maps",
                      "Seven forms of a hash map: what each costs to build, to look up in, and to collect.");
  parser.text("--form", settings.form, forms + "or all [all]");
  parser.text("--map", settings.map, "go (buckets, before Go 1.24) or swiss (since) [go]");
  parser.count("--entries", settings.entries, 1, 1'000'000'000, "entries of each map");
  parser.count("--collections", settings.collections, 0, 1'000'000, "full collections timed, each form");
  parser.count("--passes", settings.passes, 1, 1000, "times every key is looked up");
  parser.flag("--compare", settings.compare, "all forms, with the table (as --form all)");
  parser.text("--keys", settings.keys_file, "file of keys, one a line [Debian's package lists]");
  const CommonOptions options = parser.parse(argc, argv);
  if (settings.compare) settings.form = "all";
  if (settings.form != "all" &&
      std::find(kMapForms.begin(), kMapForms.end(), settings.form) == kMapForms.end()) {
    exit_bad_input("maps", "option --form: '" + settings.form + "' is not one of " + forms + "all");
  }
  if (settings.map != "go" && settings.map != "swiss") {
    exit_bad_input("maps", "option --map: '" + settings.map + "' is not one of go, swiss");
  }
  Result<KeyList> keys = load_keys(settings.keys_file, options.seed);
  if (!keys) exit_bad_input("maps", keys.error());
  keep_distinct(keys.value());
  return on_backend("maps", argv, options,
                    [&]<typename B>() { return run_on<B>(options, settings, keys.value()); });
}
