// gcreport validate's core: every identity broken in turn and named by its place; hostile files; a report far
// longer than memory would like.
#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <sstream>
#include <streambuf>

#include "reports/analysis/identities.h"
#include "reports/document/pause_kinds.h"
#include "reports/document/report_stream.h"
#include "reports/schema/report_schema.h"

namespace {
// Live bytes of operator new and their peak. Resident memory would not do: a sanitizer keeps freed memory.
std::atomic<int64_t> g_live_bytes{0};  // seq_cst throughout: simplest, and nothing here is timed
std::atomic<int64_t> g_peak_bytes{0};
}  // namespace

void* operator new(size_t bytes) {
  void* p = std::malloc(bytes);
  if (p == nullptr) throw std::bad_alloc();
  const int64_t live = g_live_bytes += static_cast<int64_t>(malloc_usable_size(p));
  int64_t peak = g_peak_bytes;
  while (live > peak && !g_peak_bytes.compare_exchange_weak(peak, live)) {
  }
  return p;
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  try {
    return operator new(bytes);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void operator delete(void* p) noexcept {
  g_live_bytes -= static_cast<int64_t>(malloc_usable_size(p));
  std::free(p);
}
void operator delete(void* p, size_t) noexcept { operator delete(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { operator delete(p); }

namespace keel {
namespace {

using nlohmann::json;

json histogram(int64_t value, int64_t count) {
  return {{"relative_error", 0.01}, {"buckets", {{value, value + 1, count}}}};
}

json good_report() {
  json latency{{"count", 2}, {"p50_ns", 10}, {"max_ns", 20}, {"histogram", histogram(10, 2)}};
  json metered = latency;
  metered["window_ns"] = 1000;
  return {{"schema", "keel.report"},
          {"schema_version", 1},
          {"complete", true},
          {"workload", {{"name", "test"}, {"arguments", json::object()}, {"seed", 1}, {"threads", 1}}},
          {"collector", {{"name", "keel"}}},
          {"environment", json::object()},
          {"run",
           {{"started_unix_ns", 1000},
            {"wall_ns", 9000},
            {"measured", {{"begin_ns", 10}, {"end_ns", 8000}}},
            {"rss_end_bytes", 5},
            {"peak_rss_bytes", 6}}},
          {"cycles",
           {{{"number", 1},
             {"kind", "full"},
             {"trigger", "heap"},
             {"begin_ns", 100},
             {"end_ns", 200},
             {"total_alloc_bytes", 50},
             {"durations_ns", {{"sweep_termination", 10}, {"mark", 80}, {"mark_termination", 10}}},
             {"time_to_stop_ns", {{"sweep_termination", 5}, {"mark_termination", 5}}}},
            {{"number", 2},
             {"kind", "full"},
             {"trigger", "heap"},
             {"begin_ns", 300},
             {"end_ns", 400},
             {"total_alloc_bytes", 90}}}},
          {"pauses",
           {{{"kind", "sweep_termination"}, {"begin_ns", 100}, {"duration_ns", 10}, {"time_to_stop_ns", 5}},
            {{"kind", "handshake"},
             {"begin_ns", 120},
             {"duration_ns", 10},
             {"parts_ns", {{"wait", 2}, {"own_stack", 3}, {"rest", 5}}}}}},
          {"pause_totals",
           {{{"kind", "sweep_termination"},
             {"count", 1},
             {"total_ns", 10},
             {"max_ns", 10},
             {"histogram", histogram(10, 1)}}}},
          {"threads", json::array()},
          {"samples", {{{"at_ns", 1}, {"rss_bytes", 1}}, {{"at_ns", 2}, {"rss_bytes", 1}}}},
          {"latency", {{"simple", latency}, {"metered", {metered}}}},
          {"mmu", {{{"window_ns", 10}, {"utilization", 0.5}, {"bounded", 0.4}, {"without_assists", 0.6}}}},
          {"memstats",
           {{"NumGC", 2},
            {"LastGC", 1400},
            {"PauseTotalNs", 10},
            {"HeapSys", 30},
            {"HeapInuse", 10},
            {"HeapIdle", 20},
            {"HeapReleased", 20},
            {"Mallocs", 7},
            {"Frees", 3},
            {"HeapObjects", 4},
            {"Sys", 30},
            {"OtherSys", 0},
            {"BySize", {{{"Size", 8}, {"Mallocs", 7}, {"Frees", 3}}}}}},
          {"events", {{"recorded", 1}, {"dropped", 0}}}};
}

std::string fault_of(const json& report) {
  // Both ways of reading must agree.
  std::istringstream stream(report.dump());
  const std::string streamed = first_fault(stream);
  EXPECT_EQ(first_fault(report), streamed);
  return streamed;
}

TEST(Validate, NamesThePlaceOfEveryBrokenIdentity) {
  EXPECT_EQ(fault_of(good_report()), "");
  struct {
    const char* pointer;
    json value;
    const char* fault;
  } const kBroken[] = {
      {"/cycles/0/end_ns", "late", "/cycles/0/end_ns: "},
      {"/cycles/0/end_ns", 50, "/cycles/0/end_ns: ends before it begins"},
      {"/cycles/1/begin_ns", 150, "/cycles/1/begin_ns: begins before the last"},
      {"/cycles/1/number", 1, "/cycles/1/number: not above"},
      {"/cycles/1/total_alloc_bytes", 1, "/cycles/1/total_alloc_bytes: below"},
      {"/cycles/0/durations_ns/mark", 81, "/cycles/0/durations_ns: parts do not add up"},
      {"/cycles/0/durations_ns/mark", INT64_MAX, "/cycles/0/durations_ns: parts do not add up"},
      {"/cycles/0/time_to_stop_ns/mark_termination", 11, "/cycles/0/time_to_stop_ns/mark_termination: above"},
      {"/pauses/0/time_to_stop_ns", 11, "/pauses/0/time_to_stop_ns: above"},
      {"/pauses/0/kind", "siesta", "/pauses/0/kind: "},
      {"/pauses/0/duration_ns", 11, "/pauses: sum of sweep_termination"},
      {"/pauses/1/parts_ns/rest", 6, "/pauses/1/parts_ns: add up to more"},
      {"/pause_totals/0/count", 2, "/pause_totals/0/histogram/buckets: counts do not add up"},
      {"/pause_totals/0/max_ns", 11, "/pause_totals/0/max_ns: above"},
      {"/pause_totals/0/histogram/buckets/0",
       {3, 2, 1},
       "/pause_totals/0/histogram/buckets/0: buckets do not ascend"},
      {"/pause_totals/0/histogram/buckets/0", {3}, "/pause_totals/0/histogram/buckets/0: is not"},
      {"/samples/1/at_ns", 0, "/samples/1/at_ns: before"},
      {"/run/measured/end_ns", 5, "/run/measured/end_ns: before"},
      {"/run/measured/end_ns", 9001, "/run/measured/end_ns: after"},
      {"/run/wall_ns", -1, "/run/wall_ns: "},
      {"/run/rss_end_bytes", 7, "/run/peak_rss_bytes: below"},
      {"/latency/simple/p50_ns", 21, "/latency/simple/max_ns: below"},
      {"/latency/metered/0/max_ns", 19, "/latency/metered/0/max_ns: below that of"},
      {"/latency/metered/0/histogram", histogram(1, 3), "/latency/metered/0/histogram/buckets: counts"},
      {"/mmu/0/utilization", 1.5, "/mmu/0/utilization: not in"},
      {"/mmu/0/bounded", 0.7, "/mmu/0/bounded: above"},
      {"/mmu/0/without_assists", 0.2, "/mmu/0/without_assists: below"},
      {"/memstats/NumGC", 3, "/memstats/NumGC: is not the number of cycles"},
      {"/memstats/NumGC", "two", "/memstats/NumGC: is no integer"},
      {"/memstats/LastGC", 1401, "/memstats/LastGC: is not the end"},
      {"/memstats/PauseTotalNs", 11, "/memstats/PauseTotalNs: is not the sum"},
      {"/memstats/HeapSys", 31, "/memstats/HeapSys: is not HeapInuse + HeapIdle"},
      {"/memstats/HeapReleased", 21, "/memstats/HeapReleased: above"},
      {"/memstats/HeapObjects", 5, "/memstats/HeapObjects: is not"},
      {"/memstats/Sys", 31, "/memstats/Sys: is not the sum"},
      {"/memstats/BySize/0/Frees", 8, "/memstats/BySize/0/Frees: above"},
      {"/memstats/BySize/0/Mallocs", 8, "/memstats/BySize: more mallocs"},
      {"/schema_version", 2, "/schema_version: "},
      {"/surprise", 1, "/"},
  };
  for (const auto& broken : kBroken) {
    json report = good_report();
    report[json::json_pointer(broken.pointer)] = broken.value;
    const std::string fault = fault_of(report);
    EXPECT_EQ(fault.substr(0, std::string(broken.fault).size()), broken.fault)
        << broken.pointer << " = " << broken.value << ": " << fault;
  }
}

TEST(Validate, CollectionsOfOtherCollectorsMayOverlap) {
  json report = good_report();
  report["collector"]["name"] = "G1";
  report.erase("memstats");
  report["cycles"][1]["begin_ns"] = 150;
  EXPECT_EQ(fault_of(report), "");
}

TEST(Validate, EveryFieldMissingInTurnIsAFaultOrAllowed) {
  // No field's absence may crash; those that the schema demands are named.
  const json good = good_report();
  const json flat = good.flatten();
  for (const auto& [pointer, value] : flat.items()) {
    json report = good;
    const json::json_pointer at(pointer);
    json& parent = report[at.parent_pointer()];
    if (parent.is_object()) {
      parent.erase(at.back());
    } else {
      parent.erase(static_cast<size_t>(std::stoul(at.back())));
    }
    fault_of(report);
  }
}

TEST(Validate, HostileFilesAreRefusedWithOneLine) {
  std::string deep(1'000'000, '[');
  std::string deep_key;
  for (int i = 0; i < 200'000; ++i) deep_key += "{\"a\":";
  const std::string good = good_report().dump();
  const std::pair<std::string, const char*> cases[] = {
      {"", "is not JSON"},
      {" ", "is not JSON"},
      {"[]", "/: "},
      {"17", "/: "},
      {"null", "/: "},
      {"{}", "/: "},
      {deep, "nested deeper"},
      {deep_key, "nested deeper"},
      {"{\"cycles\":" + deep, "nested deeper"},
      {"{\"run\":{\"wall_ns\":99999999999999999999}}", "/run/wall_ns: "},
      {"{\"run\":{\"wall_ns\":9223372036854775808}}", "/run/wall_ns: an integer above"},
      {"{\"pauses\":[1,{\"begin_ns\":18446744073709551615}]}", "/pauses/0: "},
      {"{\"run\":{\"wall_ns\":1e999}}", "is not JSON"},
      {"{\"a\":\"\xff\xfe\"}", "is not JSON"},
      {std::string("{\"a\":\"\0\"}", 9), "is not JSON"},
      {good.substr(0, good.size() / 2), "is not JSON"},
      {good + "x", "is not JSON"},
      {"{\"run\":{\"wall_ns\":1,\"wall_ns\":2}}", "/run/wall_ns: the same name twice"},
      {"{\"cycles\":[],\"cycles\":[]}", "/cycles: the same name twice"},
      {"{\"cycles\":{\"0\":1}}", "/"},
      {"{\"cycles\":[[]]}", "/cycles/0: "},
      {"{\"pause_totals\":[{\"histogram\":{\"buckets\":[[-1,2,3]]}}]}", "/"},
  };
  for (const auto& [text, fault] : cases) {
    std::istringstream in(text);
    const std::string found = first_fault(in);
    EXPECT_NE(found.find(fault), std::string::npos) << text.substr(0, 60) << ": " << found;
    EXPECT_EQ(first_fault_in_text(text), found);
    EXPECT_LT(found.size(), 700U);
    EXPECT_EQ(found.find('\n'), std::string::npos) << found;
  }
}

// A report of `count` cycles that exists nowhere as a whole.
class LongReport final : public std::streambuf {
 public:
  explicit LongReport(int64_t count) : count_(count) {
    json rest = good_report();
    rest.erase("memstats");
    rest["run"]["wall_ns"] = INT64_MAX;
    rest.erase("cycles");
    const std::string text = rest.dump();
    text_ = text.substr(0, text.size() - 1) + ",\"cycles\":[";
  }

 protected:
  int_type underflow() override {
    if (at_ > count_ + 1) return traits_type::eof();
    if (at_ == count_ + 1) text_ = "]}";
    if (at_ != 0 && at_ <= count_) {
      json cycle = good_report()["cycles"][0];
      cycle["number"] = at_;
      cycle["begin_ns"] = at_ * 1000;
      cycle["end_ns"] = at_ * 1000 + 100;
      cycle["total_alloc_bytes"] = at_;
      text_ = (at_ == 1 ? "" : ",") + cycle.dump();
    }
    ++at_;
    setg(text_.data(), text_.data(), text_.data() + text_.size());
    return traits_type::to_int_type(text_[0]);
  }

 private:
  int64_t at_ = 0;
  const int64_t count_;
  std::string text_;
};

TEST(Validate, MemoryDoesNotGrowWithTheNumberOfCycles) {
  auto peak_bytes = [](int64_t cycles) {
    LongReport report(cycles);
    std::istream in(&report);
    g_peak_bytes = g_live_bytes.load();
    const int64_t before = g_live_bytes;
    EXPECT_EQ(first_fault(in), "");
    return g_peak_bytes - before;
  };
  const int64_t small = peak_bytes(1000);
  const int64_t large = peak_bytes(20000);
  EXPECT_GT(small, 0);
  // 19,000 more cycles of about 1 KB each; a buffer may end up one doubling larger.
  EXPECT_LT(large, small + (int64_t{64} << 10));
}

TEST(PauseKinds, TheTableIsTheSchemas) {
  const json schema = json::parse(kReportSchema);
  const json names = schema["properties"]["pauses"]["items"]["properties"]["kind"]["enum"];
  EXPECT_EQ(names.size(), pause_kinds().size());
  for (const json& name : names) EXPECT_NE(find_pause_kind(name.get<std::string>()), nullptr) << name;
}

}  // namespace
}  // namespace keel
