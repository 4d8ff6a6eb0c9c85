// `strings`: six ways of building a string.
//
// What it presses on: garbage made by habit. A string of --pieces pieces is built by concatenating (a new
// string a piece), by formatting (the same, and the arguments boxed), with a builder (a slice that grows,
// handed out as it is), with a buffer (one that grows and is copied at the end), by joining (the length is
// known: one allocation), by appending to bytes (grown and copied). Growth follows Go's rules (append:
// runtime/slice.go growslice; bytes.Buffer: bytes/buffer.go). For each: bytes and objects allocated,
// nanoseconds, collections caused. Nothing lives on: live bytes are the pieces.
#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>

#include "allocator/base/units.h"
#include "workloads/common/dispatch.h"

namespace {

using namespace keel;

constexpr std::array<const char*, 6> kWays = {"concatenate", "format", "builder", "buffer", "join", "append"};

struct StringSettings {
  std::string way = "all";
  uint64_t pieces = 64;
  uint64_t piece_bytes = 16;
  uint64_t rounds = 5;
};

struct Allocated {
  uint64_t bytes = 0;
  uint64_t objects = 0;
};

struct WayResult {
  const char* way;
  std::vector<double> ns;  // a string, of each round
  Allocated each;          // a string
  uint64_t cycles = 0;
};

/// The interface value that a string becomes when it is passed to a formatting function: a box for its
/// header.
template <typename B>
struct BoxedString {
  typename B::template Field<char> bytes;
  uint64_t length;
};

template <typename B>
class StringRun {
 public:
  template <typename T>
  using Local = typename B::template Local<T>;

  StringRun(Session& session, const StringSettings& settings)
      : session_(session), options_(session.options()), settings_(settings) {}

  int run() {
    typename B::Runtime runtime(options_, session_.recorder());
    const Result<bool> started = session_.recorder().start([&] { return runtime.sample(); });
    if (!started) exit_bad_input("strings", started.error());
    std::vector<WayResult> results;
    {
      typename B::Thread scope(runtime, "main");
      for (const char* way : kWays) {
        if (settings_.way == "all" || settings_.way == way) results.push_back({way, {}, {}, 0});
      }
      try {
        make_pieces();
        session_.recorder().note_rss_start();
        if (!session_.stop_requested()) session_.recorder().begin_measured();
        // Round by round, each way once a round: drift of the machine hits all alike.
        for (uint64_t round = 0; round < settings_.rounds; ++round) {
          for (WayResult& result : results) measure(runtime, result);
        }
      } catch (const std::bad_alloc& e) {
        session_.fail_out_of_memory(e.what());
      }
      session_.recorder().end_measured();
      std::erase_if(results, [](const WayResult& r) { return r.ns.empty(); });
    }
    if (damaged_ || built_ != 0) {
      session_.set_self_check(
          !damaged_, damaged_ ? "a string is not what it should be" : "every way builds the same string");
    }
    if (!options_.quiet && options_.report_path != "-" && built_ != 0) print(results);
    return session_.finish([&](nlohmann::json& out) {
      runtime.sections(out);
      nlohmann::json ways = nlohmann::json::array();
      for (const WayResult& r : results) {
        ways.push_back({{"way", r.way},
                        {"ns", r.ns},
                        {"bytes", r.each.bytes},
                        {"objects", r.each.objects},
                        {"cycles", r.cycles}});
      }
      out["results"] = {{"ways", ways},
                        {"pieces", settings_.pieces},
                        {"piece_bytes", settings_.piece_bytes},
                        {"live_bytes", 0}};
      out["run"]["operations"] = built_;
    });
  }

 private:
  [[nodiscard]] uint64_t strings_a_round() const {
    return options_.operations != 0 ? options_.operations : 20'000;
  }

  void make_pieces() {
    SetUp set_up(session_, 1);
    const uint64_t bytes = settings_.pieces * settings_.piece_bytes;
    // A string and the next longer one in the heap; the pieces, and what they should add up to, outside.
    set_up.expect({2 * B::array_bytes(bytes), "--pieces or --piece-bytes", 2 * bytes});
    for (uint64_t i = 0; i < settings_.pieces && set_up.next_alone(i, settings_.pieces); ++i) {
      std::string piece;
      while (piece.size() < settings_.piece_bytes) piece += "piece-" + std::to_string(i) + " ";
      piece.resize(settings_.piece_bytes);
      expected_ += piece;
      pieces_.push_back(std::move(piece));
    }
  }

  void measure(typename B::Runtime& runtime, WayResult& result) {
    const uint32_t before = runtime.sample().num_gc.value_or(0);
    allocated_ = {};
    const uint64_t count = strings_a_round();
    const int64_t begin = now_ns();
    for (uint64_t i = 0; i < count && !session_.stop_requested(); ++i) {
      uint64_t length = 0;
      Local<char> text = build(result.way, length);
      if (i % 1024 == 0) {
        damaged_ = damaged_ || std::string_view(static_cast<char*>(text), length) != expected_;
      }
      B::release(static_cast<char*>(text));
      ++built_;
    }
    if (session_.stop_requested()) return;  // the round is not whole
    result.ns.push_back(static_cast<double>(now_ns() - begin) / static_cast<double>(count));
    result.each = {allocated_.bytes / count, allocated_.objects / count};
    result.cycles += runtime.sample().num_gc.value_or(0) - before;
  }

  char* allocate(uint64_t bytes) {
    ++allocated_.objects;
    allocated_.bytes += B::array_bytes(bytes);
    return B::template make_array<char>(bytes);
  }

  Local<char> build(std::string_view way, uint64_t& length) {
    if (way == "concatenate") return concatenate(length, false);
    if (way == "format") return concatenate(length, true);
    if (way == "builder") return grow(length, false, Growth::kAppend);
    if (way == "buffer") return grow(length, true, Growth::kBuffer);
    if (way == "append") return grow(length, true, Growth::kAppend);
    return join(length);
  }

  Local<char> concatenate(uint64_t& length, bool boxed) {
    Local<char> text = allocate(0);
    for (const std::string& piece : pieces_) {
      if (boxed) {
        box(text, length);
        box(nullptr, piece.size());
      }
      Local<char> longer = allocate(length + piece.size());
      std::memcpy(longer, static_cast<char*>(text), length);
      std::memcpy(longer + length, piece.data(), piece.size());
      length += piece.size();
      B::release(static_cast<char*>(text));
      text = static_cast<char*>(longer);
    }
    return text;
  }
  void box(char* bytes, uint64_t length) {
    Local<BoxedString<B>> boxed = B::template make<BoxedString<B>>();
    boxed->bytes = bytes;
    boxed->length = length;
    ++allocated_.objects;
    allocated_.bytes += B::slot_bytes(sizeof(BoxedString<B>));
    B::release(static_cast<BoxedString<B>*>(boxed));
  }

  enum class Growth { kAppend, kBuffer };
  static uint64_t grown(Growth growth, uint64_t capacity, uint64_t needed) {
    if (growth == Growth::kBuffer) {
      constexpr uint64_t kSmall = 64;  // smallBufferSize
      return capacity == 0 && needed <= kSmall ? kSmall : 2 * capacity + needed;
    }
    constexpr uint64_t kThreshold = 256;
    if (needed > 2 * capacity) return needed;
    if (capacity < kThreshold) return 2 * capacity;
    uint64_t next = capacity;
    while (next < needed) next += (next + 3 * kThreshold) / 4;
    return next;
  }
  Local<char> grow(uint64_t& length, bool copy_at_end, Growth growth) {
    Local<char> bytes = nullptr;
    uint64_t capacity = 0;
    for (const std::string& piece : pieces_) {
      if (length + piece.size() > capacity) {
        const uint64_t wanted =
            grown(growth, capacity,
                  growth == Growth::kBuffer && capacity != 0 ? piece.size() : length + piece.size());
        // What the size class has room for is used, as growslice rounds up.
        capacity = growth == Growth::kAppend ? B::array_bytes(wanted) - 1 : wanted;
        Local<char> larger = allocate(capacity);
        if (length != 0) std::memcpy(larger, static_cast<char*>(bytes), length);
        B::release(static_cast<char*>(bytes));
        bytes = static_cast<char*>(larger);
      }
      std::memcpy(bytes + length, piece.data(), piece.size());
      length += piece.size();
    }
    if (!copy_at_end) return bytes;
    Local<char> text = allocate(length);
    std::memcpy(text, static_cast<char*>(bytes), length);
    B::release(static_cast<char*>(bytes));
    return text;
  }

  Local<char> join(uint64_t& length) {
    uint64_t total = 0;
    for (const std::string& piece : pieces_) total += piece.size();
    Local<char> text = allocate(total);
    for (const std::string& piece : pieces_) {
      std::memcpy(text + length, piece.data(), piece.size());
      length += piece.size();
    }
    return text;
  }

  static void print(std::vector<WayResult> results) {
    auto median = [](const WayResult& r) {
      std::vector<double> ns = r.ns;
      std::sort(ns.begin(), ns.end());
      return ns.empty() ? 0.0 : ns[ns.size() / 2];
    };
    std::sort(results.begin(), results.end(),
              [&](const auto& a, const auto& b) { return median(a) < median(b); });
    std::printf("%-12s %10s %12s %10s %12s\n", "way", "ns", "bytes", "objects", "collections");
    for (const WayResult& r : results) {
      std::printf("%-12s %10.0f %12llu %10llu %12llu\n", r.way, median(r),
                  static_cast<unsigned long long>(r.each.bytes),
                  static_cast<unsigned long long>(r.each.objects), static_cast<unsigned long long>(r.cycles));
    }
  }

  Session& session_;
  const CommonOptions& options_;
  const StringSettings settings_;
  std::vector<std::string> pieces_;
  std::string expected_;
  Allocated allocated_;
  bool damaged_ = false;
  uint64_t built_ = 0;
};

template <typename B>
int run_on(const CommonOptions& options, const StringSettings& settings) {
  Session session("strings", options);
  return StringRun<B>(session, settings).run();
}

}  // namespace

int main(int argc, char** argv) {
  StringSettings settings;
  std::string ways;
  for (const char* way : kWays) ways += std::string(way) + ", ";
  OptionParser parser("strings",
                      "Six ways of building a string, and what each allocates. --operations: strings a round "
                      "and way [20000].");
  parser.text("--way", settings.way, ways + "or all [all]");
  parser.count("--pieces", settings.pieces, 1, 1'000'000, "pieces of each string");
  parser.count("--piece-bytes", settings.piece_bytes, 1, 1'000'000, "bytes of each piece");
  parser.count("--rounds", settings.rounds, 1, 1'000'000, "rounds, each way once a round");
  const CommonOptions options = parser.parse(argc, argv);
  if (settings.way != "all" && std::find(kWays.begin(), kWays.end(), settings.way) == kWays.end()) {
    exit_bad_input("strings", "option --way: '" + settings.way + "' is not one of " + ways + "all");
  }
  if (options.ballast_bytes != 0) exit_bad_input("strings", "option --ballast does not apply to strings");
  return on_backend("strings", argv, options, [&]<typename B>() { return run_on<B>(options, settings); });
}
