// `channels`: objects on their way between threads.
//
// What it presses on: the hidden object. Producers make objects and send them through one bounded channel;
// consumers check and drop them. An element is in a frame, in the ring, or in a waiter's box, and moves
// between these while marking goes on: the case a barrier exists for. Then the same number of objects through
// a std::deque of raw pointers with a std::mutex and two condition variables, from malloc: what a channel
// costs above the least. Origin: Go's channels, and every pipeline. Live bytes: the ring and what is in it.
#include <condition_variable>
#include <deque>
#include <thread>

#include "allocator/base/units.h"
#include "workloads/channels/channel.h"
#include "workloads/common/dispatch.h"

namespace {

using namespace keel;

struct ChannelSettings {
  uint64_t capacity = 64;
  uint64_t producers = 1;
  uint64_t consumers = 1;
  uint64_t object_bytes = 96;
};

template <typename B>
struct Parcel {
  typename B::template Field<Parcel> inner;
  uint64_t producer;
  uint64_t number;
  int64_t sent_ns;
};

// What the consumers found, together.
struct Tally {
  std::atomic<uint64_t> sent{0};  // relaxed [session.stop]: sums; joins order them
  std::atomic<uint64_t> received{0};
  std::atomic<uint64_t> sum_sent{0};
  std::atomic<uint64_t> sum_received{0};
  std::atomic<bool> damaged{false};
};

/// A bounded queue as a C++ program without a collector has it.
class MutexQueue {
 public:
  explicit MutexQueue(uint64_t capacity) : capacity_(std::max<uint64_t>(1, capacity)) {}
  void send(void* element) {
    std::unique_lock lock(mu_);
    room_.wait(lock, [&] { return elements_.size() < capacity_; });
    elements_.push_back(element);
    filled_.notify_one();
  }
  void* receive() {
    std::unique_lock lock(mu_);
    filled_.wait(lock, [&] { return !elements_.empty() || closed_; });
    if (elements_.empty()) return nullptr;
    void* element = elements_.front();
    elements_.pop_front();
    room_.notify_one();
    return element;
  }
  void close() {
    std::lock_guard lock(mu_);
    closed_ = true;
    filled_.notify_all();
  }

 private:
  const uint64_t capacity_;
  std::mutex mu_;
  std::condition_variable room_;
  std::condition_variable filled_;
  std::deque<void*> elements_;
  bool closed_ = false;
};

template <typename B>
class ChannelRun {
 public:
  ChannelRun(Session& session, const ChannelSettings& settings)
      : session_(session), options_(session.options()), settings_(settings) {}

  int run() {
    typename B::Runtime runtime(options_, session_.recorder());
    const Result<bool> started = session_.recorder().start([&] { return runtime.sample(); });
    if (!started) exit_bad_input("channels", started.error());
    {
      typename B::Thread scope(runtime, "main");
      typename B::template Root<unsigned char> ballast;
      try {
        if (options_.ballast_bytes != 0)
          ballast.reset(static_cast<unsigned char*>(B::make_bytes(options_.ballast_bytes)));
        const uint64_t element = 2 * B::slot_bytes(settings_.object_bytes) + sizeof(void*);
        SetUp(session_, 1).expect({settings_.capacity * element, "--capacity or --object-bytes"});
        Channel<B, Parcel<B>> channel(settings_.capacity);
        session_.recorder().note_rss_start();
        session_.recorder().begin_measured();
        channel_ns_ = timed([&] { through_channel(runtime, channel); });
        session_.recorder().end_measured();
      } catch (const std::bad_alloc& e) {
        session_.fail_out_of_memory(e.what());
      }
      if (!session_.stop_requested()) queue_ns_ = timed([&] { B::blocking([&] { through_queue(); }); });
      ballast.reset();
    }
    session_.recorder().add_latency(latency_);
    conclude();
    return session_.finish([&](nlohmann::json& out) {
      runtime.sections(out);
      out["results"] = results();
      out["run"]["operations"] = tally_.received.load(std::memory_order_relaxed);
    });
  }

 private:
  template <typename F>
  static int64_t timed(F&& f) {
    const int64_t begin = now_ns();
    f();
    return now_ns() - begin;
  }
  [[nodiscard]] uint64_t quota(uint64_t p) const {
    return options_.operations / settings_.producers +
           (p < options_.operations % settings_.producers ? 1 : 0);
  }

  void through_channel(typename B::Runtime& runtime, Channel<B, Parcel<B>>& channel) {
    std::vector<std::thread> producers;
    std::vector<std::thread> consumers;
    std::vector<LogHistogram> waits(settings_.consumers);
    const int64_t end = now_ns() + options_.duration_ns;
    for (uint64_t p = 0; p < settings_.producers; ++p) {
      producers.emplace_back([&, p] { guarded([&] { produce(runtime, channel, p, end); }); });
    }
    for (uint64_t c = 0; c < settings_.consumers; ++c) {
      consumers.emplace_back([&, c] { guarded([&] { consume(runtime, channel, waits[c]); }); });
    }
    B::blocking([&] {
      for (std::thread& producer : producers) producer.join();
    });
    channel.close();
    B::blocking([&] {
      for (std::thread& consumer : consumers) consumer.join();
    });
    for (const LogHistogram& wait : waits) latency_.merge(wait);
  }
  template <typename F>
  void guarded(F&& f) {
    try {
      f();
    } catch (const std::bad_alloc& e) {
      session_.fail_out_of_memory(e.what());
    }
  }

  void produce(typename B::Runtime& runtime, Channel<B, Parcel<B>>& channel, uint64_t p, int64_t end) {
    typename B::Thread scope(runtime, "producer-" + std::to_string(p));
    const uint64_t most = options_.operations != 0 ? quota(p) : ~uint64_t{0};
    const size_t tail = settings_.object_bytes - sizeof(Parcel<B>);
    uint64_t sum = 0;
    uint64_t n = 0;
    for (; n < most && !session_.stop_requested() && (options_.operations != 0 || now_ns() < end); ++n) {
      typename B::template Local<Parcel<B>> parcel = B::template make_with_tail<Parcel<B>>(tail);
      parcel->producer = p;
      parcel->number = n;
      // A second object hangs on the first only: lost with it, found through it.
      typename B::template Local<Parcel<B>> inner = B::template make_with_tail<Parcel<B>>(tail);
      inner->number = ~n;
      parcel->inner = static_cast<Parcel<B>*>(inner);
      parcel->sent_ns = now_ns();
      sum += n;
      channel.send(parcel);
    }
    tally_.sent.fetch_add(n, std::memory_order_relaxed);
    tally_.sum_sent.fetch_add(sum, std::memory_order_relaxed);
    session_.recorder().add_thread(thread_use(scope.id(), "producer-" + std::to_string(p), "mutator"));
  }

  void consume(typename B::Runtime& runtime, Channel<B, Parcel<B>>& channel, LogHistogram& waits) {
    typename B::Thread scope(runtime, "consumer");
    std::vector<uint64_t> next(settings_.producers, 0);
    uint64_t received = 0;
    uint64_t sum = 0;
    for (;;) {
      typename B::template Local<Parcel<B>> parcel = channel.receive();
      if (static_cast<Parcel<B>*>(parcel) == nullptr) break;
      waits.record(now_ns() - parcel->sent_ns);
      const Parcel<B>* inner = parcel->inner.get();
      // From each producer in order: with one consumer without a gap.
      uint64_t& expected = next[parcel->producer];
      const bool in_order =
          settings_.consumers == 1 ? parcel->number == expected : parcel->number >= expected;
      if (inner == nullptr || inner->number != ~parcel->number || !in_order) {
        tally_.damaged.store(true, std::memory_order_relaxed);
      }
      expected = parcel->number + 1;
      sum += parcel->number;
      ++received;
      B::release(parcel->inner.get());
      B::release(static_cast<Parcel<B>*>(parcel));
    }
    tally_.received.fetch_add(received, std::memory_order_relaxed);
    tally_.sum_received.fetch_add(sum, std::memory_order_relaxed);
  }

  // As many objects, from malloc, freed by who receives them.
  void through_queue() {
    const uint64_t total = tally_.sent.load(std::memory_order_relaxed);
    MutexQueue queue(settings_.capacity);
    std::vector<std::thread> producers;
    std::vector<std::thread> consumers;
    for (uint64_t p = 0; p < settings_.producers; ++p) {
      producers.emplace_back([&, p] {
        for (uint64_t n = p; n < total; n += settings_.producers) {
          auto** parcel = static_cast<void**>(std::calloc(1, settings_.object_bytes));
          *parcel = std::calloc(1, settings_.object_bytes);
          queue.send(parcel);
        }
      });
    }
    for (uint64_t c = 0; c < settings_.consumers; ++c) {
      consumers.emplace_back([&] {
        while (auto** parcel = static_cast<void**>(queue.receive())) {
          std::free(*parcel);
          std::free(parcel);
        }
      });
    }
    for (std::thread& producer : producers) producer.join();
    queue.close();
    for (std::thread& consumer : consumers) consumer.join();
  }

  void conclude() {
    const uint64_t sent = tally_.sent.load(std::memory_order_relaxed);
    const uint64_t received = tally_.received.load(std::memory_order_relaxed);
    const bool passed = sent == received && !tally_.damaged.load(std::memory_order_relaxed) &&
                        tally_.sum_sent.load(std::memory_order_relaxed) ==
                            tally_.sum_received.load(std::memory_order_relaxed);
    session_.set_self_check(passed, std::to_string(received) + " of " + std::to_string(sent) +
                                        " objects arrived whole and in order");
    if (options_.quiet || options_.report_path == "-" || queue_ns_ == 0) return;
    std::printf(
        "channels: %.2f million objects a second; a mutex and a deque of raw pointers: %.2f (%.2f times as "
        "many)\n",
        rate(channel_ns_) / 1e6, rate(queue_ns_) / 1e6, rate(queue_ns_) / rate(channel_ns_));
  }
  [[nodiscard]] double rate(int64_t ns) const {
    return static_cast<double>(tally_.received.load(std::memory_order_relaxed)) * 1e9 /
           static_cast<double>(ns);
  }
  [[nodiscard]] nlohmann::json results() const {
    nlohmann::json out{
        {"sent", tally_.sent.load(std::memory_order_relaxed)},
        {"received", tally_.received.load(std::memory_order_relaxed)},
        {"capacity", settings_.capacity},
        {"producers", settings_.producers},
        {"consumers", settings_.consumers},
        {"live_bytes", B::array_bytes(std::max<uint64_t>(1, settings_.capacity) * sizeof(void*))}};
    if (channel_ns_ != 0) out["channel_per_second"] = rate(channel_ns_);
    if (queue_ns_ != 0) out["mutex_queue_per_second"] = rate(queue_ns_);
    return out;
  }

  Session& session_;
  const CommonOptions& options_;
  const ChannelSettings settings_;
  Tally tally_;
  LogHistogram latency_;
  int64_t channel_ns_ = 0;
  int64_t queue_ns_ = 0;
};

template <typename B>
int run_on(const CommonOptions& options, const ChannelSettings& settings) {
  Session session("channels", options);
  return ChannelRun<B>(session, settings).run();
}

}  // namespace

int main(int argc, char** argv) {
  ChannelSettings settings;
  OptionParser parser("channels", "Objects sent between threads through a bounded channel, as Go has it.");
  parser.count("--capacity", settings.capacity, 0, 100'000'000, "elements the channel holds; 0: unbuffered");
  parser.count("--producers", settings.producers, 1, 1024, "threads that send");
  parser.count("--consumers", settings.consumers, 1, 1024, "threads that receive");
  parser.count("--object-bytes", settings.object_bytes, 32, 32768, "bytes of each object, two an element");
  const CommonOptions options = parser.parse(argc, argv);
  return on_backend("channels", argv, options, [&]<typename B>() { return run_on<B>(options, settings); });
}
