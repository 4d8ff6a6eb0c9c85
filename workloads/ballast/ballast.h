// `ballast`: a service in miniature, with or without a huge untouched object on its heap.
//
// What it presses on: pacing and assists. Requests make garbage at a steady rate over a steady live set, so
// the number of cycles follows from the heap goal alone: with live bytes L and a ballast of B bytes, cycles
// fall as L / (L + B). Origin: the heap ballast of Twitch's front end (R. Engers, 2019). See docs/ballast.md
// for the law and the figures.
//
// A request: look a key up, build a response out of many small objects that point to the entry, walk it, drop
// it; now and then replace the entry. Each mutator owns a shard of the store.
#pragma once

#include <algorithm>
#include <atomic>
#include <latch>
#include <memory>
#include <system_error>

#include "allocator/base/clock.h"
#include "allocator/base/machine.h"
#include "allocator/base/thread.h"
#include "allocator/base/units.h"
#include "reports/api/log_histogram.h"
#include "workloads/backends/heap_backend.h"
#include "workloads/ballast/store.h"
#include "workloads/common/keys.h"
#include "workloads/common/session.h"
#include "workloads/common/set_up.h"

namespace keel {

struct BallastSettings {
  uint64_t live_bytes = 64 * kMiB;
  uint64_t objects = 64;  // per request
  uint64_t object_bytes = 96;
  double replace_percent = 1;
  uint64_t stack_bytes = 0;  // each mutator serves from below so much stack
  uint64_t collections = 0;  // forced, spread over the run
  uint64_t rate = 0;         // requests per second of all threads; 0: closed loop
  std::string keys_file;
};

/// One object of a response.
template <typename B>
struct Part {
  typename B::template Field<Part> next;
  typename B::template Field<Entry<B>> source;
  uint64_t sequence;
};

template <typename B>
class BallastWorkload {
 public:
  using Runtime = typename B::Runtime;
  template <typename T>
  using Local = typename B::template Local<T>;

  BallastWorkload(Session& session, const BallastSettings& settings, KeyList keys)
      : session_(session),
        options_(session.options()),
        settings_(settings),
        keys_(std::move(keys)),
        ready_(options_.threads),
        workers_(static_cast<size_t>(options_.threads)) {}

  int run() {
    RunRecorder& recorder = session_.recorder();
    auto runtime = std::make_unique<Runtime>(options_, recorder);
    const Result<bool> started = recorder.start([&] { return runtime->sample(); });
    if (!started) exit_bad_input("ballast", started.error());
    {
      typename B::Thread main_thread(*runtime, "main");
      operate(*runtime);
    }
    const int status = session_.finish([&](nlohmann::json& out) {
      runtime->sections(out);
      if (!cut_short_) out["results"] = results();
      out["run"]["operations"] = total_requests();
    });
    return status;
  }

 private:
  struct Worker {
    std::unique_ptr<Store<B>> store;
    LogHistogram latency;
    IntervalLog* request_log = nullptr;
    std::string scratch;                // for keys past the end of the list
    std::atomic<uint64_t> requests{0};  // relaxed [stats]: written by its thread, read for the progress bar
    uint64_t measured_requests = 0;
    uint64_t replaced = 0;
    ::keel::Thread thread;
  };

  void operate(Runtime& runtime) {
    typename B::template Root<unsigned char> ballast;
    try {
      if (options_.ballast_bytes != 0) {
        ballast.reset(static_cast<unsigned char*>(B::make_bytes(options_.ballast_bytes)));
      }
    } catch (const std::bad_alloc& e) {
      session_.fail_out_of_memory(std::string("ballast of ") + format_size(options_.ballast_bytes) + ": " +
                                  e.what());
      return;
    }
    try {
      for (auto& worker : workers_) {
        worker = std::make_unique<Worker>();
        worker->request_log = &session_.recorder().request_log();
      }
    } catch (const std::bad_alloc& e) {
      session_.fail_out_of_memory(e.what());
      return;
    }
    SetUp set_up(session_, workers_.size());
    set_up.expect({settings_.live_bytes, "--live"});
    for (size_t t = 0; t < workers_.size(); ++t) {
      try {
        workers_[t]->thread = ::keel::Thread([&, t] { serve(t, runtime, set_up); });
      } catch (const std::system_error& e) {
        session_.fail_out_of_memory("no thread for mutator " + std::to_string(t) + " of " +
                                    std::to_string(workers_.size()) + ": " + e.code().message());
        ready_.count_down();
        finished_.fetch_add(1, std::memory_order_relaxed);
      }
    }
    B::blocking([&] { set_up.wait(ready_); });
    // relaxed [session.stop]: who was cut short saw the flag before it counted the latch down. What is half a
    // store is not served from, nor checked.
    cut_short_ = session_.stop_requested();
    if (cut_short_) {
      go_.count_down();  // they see the stop flag and leave
    } else {
      measure(runtime);
    }
    B::blocking([&] {
      for (auto& worker : workers_) {
        if (worker->thread.joinable()) worker->thread.join();
      }
    });
    if (!cut_short_) {
      runtime.free_os_memory();
      session_.recorder().note_rss_end();
      check();
    }
    for (auto& worker : workers_) {
      session_.recorder().add_latency(worker->latency);
      if (worker->store) worker->store->drop();
    }
    ballast.reset();
    for (auto& worker : workers_) worker->store.reset();
  }

  void measure(Runtime& runtime) {
    runtime.free_os_memory();
    session_.recorder().note_rss_start();
    B::blocking([&] { drive(); });
  }

  // The main thread while the others serve: the clock.
  void drive() {
    RunRecorder& recorder = session_.recorder();
    const int64_t warm_end = now_ns() + options_.warmup_ns;
    measure_from_ns_.store(options_.operations != 0 ? 0 : warm_end, std::memory_order_relaxed);
    go_.count_down();
    if (options_.operations == 0) {
      session_.wait([&] { return now_ns() >= warm_end; }, [&] { return 0.0; }, "warming up");
    }
    recorder.begin_measured();
    const int64_t begin = now_ns();
    const int64_t end = begin + options_.duration_ns;
    auto share = [&] {
      return options_.operations != 0
                 ? static_cast<double>(total_requests()) / static_cast<double>(options_.operations)
                 : static_cast<double>(now_ns() - begin) / static_cast<double>(options_.duration_ns);
    };
    session_.wait(
        [&] {
          return options_.operations != 0 ? finished_.load(std::memory_order_relaxed) == workers_.size()
                                          : now_ns() >= end;
        },
        share, "serving");
    stop_.store(true, std::memory_order_relaxed);
    recorder.end_measured();
  }

  void serve(size_t t, Runtime& runtime, SetUp& set_up) {
    const std::string name = "mutator-" + std::to_string(t);
    if (options_.pin) {
      const std::vector<int> cores = affinity_cores();
      pin_to_core(cores[t % cores.size()]);
    }
    bool counted = false;
    try {
      typename B::Thread scope(runtime, name);
      build(t, set_up);
      counted = true;
      ready_.count_down();
      B::blocking([this] { go_.wait(); });
      below_stack(settings_.stack_bytes, [&] { requests(t, runtime); });
      session_.recorder().add_thread(thread_use(scope.id(), name, "mutator"));
    } catch (const std::bad_alloc& e) {
      session_.fail_out_of_memory(e.what());
      if (!counted) ready_.count_down();
    }
    finished_.fetch_add(1, std::memory_order_relaxed);
  }

  // Calls `work` from the bottom of that many bytes of frames.
  template <typename F>
  __attribute__((noinline)) static void below_stack(uint64_t bytes, F&& work) {
    constexpr uint64_t kFrameBytes = 4096;
    if (bytes < kFrameBytes) {
      work();
      return;
    }
    std::array<volatile unsigned char, kFrameBytes - 96> frame;
    frame[bytes % frame.size()] = 1;
    below_stack(bytes - kFrameBytes, work);
    asm volatile("" : : "r"(frame.data()) : "memory");
  }

  // Shard t: every threads-th key, until its share of the live bytes is reached.
  void build(size_t t, SetUp& set_up) {
    Worker& worker = *workers_[t];
    const uint64_t share = settings_.live_bytes / workers_.size();
    uint64_t key_bytes = 0;
    for (const std::string& key : keys_.keys) key_bytes += key.size();
    const uint64_t each = Store<B>::entry_bytes(key_bytes / keys_.keys.size()) + 2 * sizeof(void*);
    const uint64_t entries = std::max<uint64_t>(1, share / each);  // about
    worker.store = std::make_unique<Store<B>>(entries);
    for (uint64_t i = t; worker.store->entries() == 0 || worker.store->live_bytes() < share;
         i += workers_.size()) {
      if (!set_up.next(t, worker.store->entries(), entries)) return;
      worker.store->insert(key_at(i, worker.scratch));
    }
  }

  // Key i: past the end of the list, keys repeat with a suffix.
  std::string_view key_at(uint64_t i, std::string& scratch) const {
    const std::string& key = keys_.keys[i % keys_.keys.size()];
    if (i < keys_.keys.size()) return key;
    scratch = key;
    scratch += '#';
    scratch += std::to_string(i / keys_.keys.size());
    return scratch;
  }

  void requests(size_t t, Runtime& runtime) {
    Worker& worker = *workers_[t];
    Rng rng(options_.seed * 0x10001 + t);
    const uint64_t quota = options_.operations == 0 ? ~uint64_t{0} : share_of(options_.operations, t);
    const uint64_t collect_every =
        settings_.collections != 0 && t == 0 ? std::max<uint64_t>(1, quota / settings_.collections) : 0;
    const int64_t interval_ns = settings_.rate == 0
                                    ? 0
                                    : static_cast<int64_t>(1e9 * static_cast<double>(workers_.size()) /
                                                           static_cast<double>(settings_.rate));
    const int64_t measure_from = measure_from_ns_.load(std::memory_order_relaxed);
    int64_t begin = now_ns();
    int64_t due = begin;
    for (uint64_t n = 0; n < quota && !stop_.load(std::memory_order_relaxed) && !session_.stop_requested();
         ++n) {
      if (interval_ns != 0) {
        due += interval_ns;
        if (now_ns() < due) {
          B::blocking([&] {
            timespec at{due / kSecond, due % kSecond};
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr);
          });
        }
        begin = due;  // from when it should have begun: a pause delays those behind it
      }
      request(worker, t, rng);
      const int64_t end = now_ns();
      if (end >= measure_from) {
        worker.latency.record(end - begin);
        worker.request_log->add(begin, end);
        ++worker.measured_requests;
      }
      begin = end;
      worker.requests.store(n + 1, std::memory_order_relaxed);
      if (collect_every != 0 && (n + 1) % collect_every == 0) {
        runtime.collect();
        begin = now_ns();
      }
    }
  }

  void request(Worker& worker, size_t t, Rng& rng) {
    Store<B>& store = *worker.store;
    const uint64_t index = rng.below(store.entries()) * workers_.size() + t;
    Local<Entry<B>> entry = store.find(key_at(index, worker.scratch));
    Local<Part<B>> head = nullptr;
    const size_t tail = settings_.object_bytes - sizeof(Part<B>);
    for (uint64_t i = 0; i < settings_.objects; ++i) {
      Local<Part<B>> part = B::template make_with_tail<Part<B>>(tail);
      part->next = static_cast<Part<B>*>(head);
      part->source = static_cast<Entry<B>*>(entry);
      part->sequence = i;
      head = static_cast<Part<B>*>(part);
    }
    if (rng.percent(settings_.replace_percent)) {
      store.replace(entry);
      ++worker.replaced;
    }
    uint64_t expected = settings_.objects;
    for (Part<B>* part = head; part != nullptr;) {
      Part<B>* next = part->next.get();
      if (part->sequence != --expected) damaged_.store(true, std::memory_order_relaxed);
      B::release(part);
      part = next;
    }
    if (expected != 0) damaged_.store(true, std::memory_order_relaxed);
  }

  [[nodiscard]] uint64_t share_of(uint64_t all, size_t t) const {
    return all / workers_.size() + (t < all % workers_.size() ? 1 : 0);
  }

  [[nodiscard]] uint64_t total_requests() const {
    uint64_t sum = 0;
    for (const auto& worker : workers_) {
      if (worker) sum += worker->requests.load(std::memory_order_relaxed);
    }
    return sum;
  }

  // Every entry is there, undamaged, and its versions add up to the replacements.
  void check() {
    uint64_t entries = 0;
    uint64_t versions = 0;
    bool intact = true;
    for (const auto& worker : workers_) {
      if (!worker->store) return;  // never built: the run failed before
      intact = intact && worker->store->check(entries, versions);
      entries_ += worker->store->entries();
      replaced_ += worker->replaced;
      live_bytes_ += worker->store->live_bytes();
      measured_requests_ += worker->measured_requests;
    }
    const bool passed =
        intact && !damaged_.load(std::memory_order_relaxed) && entries == entries_ && versions == replaced_;
    session_.set_self_check(
        passed,
        passed ? std::to_string(entries) + " entries intact, " + std::to_string(versions) + " replacements"
               : "entries " + std::to_string(entries) + " of " + std::to_string(entries_) + ", versions " +
                     std::to_string(versions) + " of " + std::to_string(replaced_) +
                     (intact ? "" : ", an entry is damaged"));
  }

  [[nodiscard]] nlohmann::json results() const {
    return {{"requests", total_requests()},
            {"measured_requests", measured_requests_},
            {"replaced", replaced_},
            {"entries", entries_},
            {"live_bytes", live_bytes_},
            {"response_bytes", settings_.objects * B::slot_bytes(settings_.object_bytes)},
            {"keys",
             {{"source", options_.anonymous && !settings_.keys_file.empty() ? "file" : keys_.source},
              {"count", keys_.keys.size()}}}};
  }

  Session& session_;
  const CommonOptions& options_;
  const BallastSettings settings_;
  const KeyList keys_;
  std::latch ready_;
  std::latch go_{1};
  std::vector<std::unique_ptr<Worker>> workers_;
  // relaxed [session.stop]: flags and sums looked at between requests; latches and joins order the rest.
  std::atomic<bool> stop_{false};
  std::atomic<bool> damaged_{false};
  std::atomic<size_t> finished_{0};
  std::atomic<int64_t> measure_from_ns_{0};
  bool cut_short_ = false;  // in set-up
  uint64_t entries_ = 0;
  uint64_t replaced_ = 0;
  uint64_t live_bytes_ = 0;
  uint64_t measured_requests_ = 0;
};

}  // namespace keel
