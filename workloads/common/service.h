// Service: the frame around a workload that repeats one operation on every thread, on any backend.
//
// A workload is a class template over a backend with
//   using Backend; using Settings;
//   static constexpr const char* kNoMalloc     why malloc cannot run it, or null
//   Work([Runtime&,] const CommonOptions&, const Settings& [, SetUp&])
//                                               on the main thread, attached: what all threads share
//   static Footprint footprint(const CommonOptions&, const Settings&)
//                                               optional: its live data, see set_up.h
//   class Thread { Thread(Work&, size_t t, SetUp&); void operation(); }
//                                               built, used on its own thread, attached; asks
//                                               set_up.next(t, ...) before each piece of what it fills
//                                               optional: int64_t due_ns(), when the next operation should
//                                               begin
//   void check(threads, Verdict&)               on the main thread, attached, when all have stopped
//   nlohmann::json results(threads)             what it alone measures; after check()
// The service gives it threads, warm-up, the measured part by time or by operations, closed or open loop,
// latencies, the ballast, memory before and after, and the report. Out of memory anywhere ends the run with
// what the collector said. A signal ends set-up where it is: no operation, no check, no results then.
#pragma once

#include <atomic>
#include <latch>
#include <memory>
#include <system_error>
#include <vector>

#include "allocator/base/clock.h"
#include "allocator/base/machine.h"
#include "allocator/base/thread.h"
#include "allocator/base/units.h"
#include "reports/api/log_histogram.h"
#include "workloads/backends/heap_backend.h"
#include "workloads/common/session.h"
#include "workloads/common/set_up.h"

namespace keel {

/// What a workload found when it checked itself: the first fault, or what held.
struct Verdict {
  bool passed = true;
  std::string detail;

  void expect(bool holds, const std::string& fault) {
    if (holds || !passed) return;
    passed = false;
    detail = fault;
  }
};

struct ServiceSettings {
  uint64_t rate = 0;  // operations per second of all threads; 0: closed loop
};

template <typename Work>
class Service {
 public:
  using B = typename Work::Backend;
  using Thread = typename Work::Thread;
  using Runtime = typename B::Runtime;

  Service(Session& session, const typename Work::Settings& settings, const ServiceSettings& service)
      : session_(session),
        options_(session.options()),
        settings_(settings),
        service_(service),
        ready_(options_.threads),
        workers_(static_cast<size_t>(options_.threads)) {}

  int run(const std::string& name) {
    auto runtime = std::make_unique<Runtime>(options_, session_.recorder());
    const Result<bool> started = session_.recorder().start([&] { return runtime->sample(); });
    if (!started) exit_bad_input(name, started.error());
    {
      typename B::Thread main_thread(*runtime, "main");
      try {
        operate(*runtime);
      } catch (const std::bad_alloc& e) {
        session_.fail_out_of_memory(e.what());
      }
    }
    return session_.finish([&](nlohmann::json& out) {
      runtime->sections(out);
      out["results"] = results_;
      out["run"]["operations"] = total_operations();
    });
  }

 private:
  struct Worker {
    std::unique_ptr<Thread> thread;
    LogHistogram latency;
    IntervalLog* requests = nullptr;
    std::atomic<uint64_t> operations{0};  // relaxed [stats]: written by its thread, read for the progress bar
    ::keel::Thread system_thread;
  };

  void operate(Runtime& runtime) {
    typename B::template Root<unsigned char> ballast;
    if (options_.ballast_bytes != 0) {
      ballast.reset(static_cast<unsigned char*>(B::make_bytes(options_.ballast_bytes)));
    }
    SetUp set_up(session_, workers_.size());
    if constexpr (requires { Work::footprint(options_, settings_); })
      set_up.expect(Work::footprint(options_, settings_));
    Work work = make_work(runtime, set_up);
    for (size_t t = 0; t < workers_.size(); ++t) {
      workers_[t] = std::make_unique<Worker>();
      workers_[t]->requests = &session_.recorder().request_log();
    }
    for (size_t t = 0; t < workers_.size(); ++t) {
      try {
        workers_[t]->system_thread = ::keel::Thread([&, t] { serve(t, work, runtime, set_up); });
      } catch (const std::system_error& e) {
        session_.fail_out_of_memory("no thread for mutator " + std::to_string(t) + " of " +
                                    std::to_string(workers_.size()) + ": " + e.code().message());
        ready_.count_down();
        finished_.fetch_add(1, std::memory_order_relaxed);
      }
    }
    B::blocking([&] { set_up.wait(ready_); });
    // relaxed [session.stop]: who was cut short saw the flag before it counted the latch down.
    const bool cut_short = session_.stop_requested();
    if (cut_short) {
      go_.count_down();  // they see the stop flag and leave
    } else {
      measure(runtime);
    }
    join();
    if (!cut_short) {
      runtime.free_os_memory();
      session_.recorder().note_rss_end();
      conclude(work);
    }
    for (auto& worker : workers_) worker->thread.reset();
    ballast.reset();
  }

  void measure(Runtime& runtime) {
    runtime.free_os_memory();
    session_.recorder().note_rss_start();
    B::blocking([&] { drive(); });
  }

  void join() {
    B::blocking([&] {
      for (auto& worker : workers_) {
        if (worker->system_thread.joinable()) worker->system_thread.join();
      }
    });
  }

  Work make_work(Runtime& runtime, SetUp& set_up) {
    if constexpr (std::is_constructible_v<Work, const CommonOptions&, const typename Work::Settings&,
                                          SetUp&>) {
      return Work(options_, settings_, set_up);
    } else if constexpr (std::is_constructible_v<Work, Runtime&, const CommonOptions&,
                                                 const typename Work::Settings&>) {
      return Work(runtime, options_, settings_);
    } else {
      return Work(options_, settings_);
    }
  }

  void conclude(Work& work) {
    std::vector<Thread*> threads;
    for (auto& worker : workers_) {
      session_.recorder().add_latency(worker->latency);
      if (worker->thread == nullptr) return;  // never built: the run failed before
      threads.push_back(worker->thread.get());
    }
    Verdict verdict;
    work.check(threads, verdict);
    session_.set_self_check(verdict.passed, verdict.detail);
    results_ = work.results(threads);
  }

  // The main thread while the others work: the clock.
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
                 ? static_cast<double>(total_operations()) / static_cast<double>(options_.operations)
                 : static_cast<double>(now_ns() - begin) / static_cast<double>(options_.duration_ns);
    };
    session_.wait(
        [&] {
          const bool all = finished_.load(std::memory_order_relaxed) == workers_.size();
          return all || (options_.operations == 0 && now_ns() >= end);
        },
        share, "running");
    stop_.store(true, std::memory_order_relaxed);
    recorder.end_measured();
  }

  void serve(size_t t, Work& work, Runtime& runtime, SetUp& set_up) {
    const std::string name = "mutator-" + std::to_string(t);
    if (options_.pin) {
      const std::vector<int> cores = affinity_cores();
      pin_to_core(cores[t % cores.size()]);
    }
    bool counted = false;
    try {
      typename B::Thread scope(runtime, name);
      workers_[t]->thread = std::make_unique<Thread>(work, t, set_up);
      counted = true;
      ready_.count_down();
      B::blocking([this] { go_.wait(); });
      repeat(t);
      session_.recorder().add_thread(thread_use(scope.id(), name, "mutator"));
    } catch (const std::bad_alloc& e) {
      session_.fail_out_of_memory(e.what());
      if (!counted) ready_.count_down();
    }
    finished_.fetch_add(1, std::memory_order_relaxed);
  }

  void repeat(size_t t) {
    Worker& worker = *workers_[t];
    const uint64_t quota = options_.operations == 0 ? ~uint64_t{0}
                                                    : options_.operations / workers_.size() +
                                                          (t < options_.operations % workers_.size() ? 1 : 0);
    const int64_t interval_ns = service_.rate == 0
                                    ? 0
                                    : static_cast<int64_t>(1e9 * static_cast<double>(workers_.size()) /
                                                           static_cast<double>(service_.rate));
    const int64_t measure_from = measure_from_ns_.load(std::memory_order_relaxed);
    int64_t begin = now_ns();
    int64_t due = begin;
    for (uint64_t n = 0; n < quota && !stop_.load(std::memory_order_relaxed) && !session_.stop_requested();
         ++n) {
      if (interval_ns != 0) {
        due += interval_ns;
        wait_until(due);
        begin = due;  // from when it should have begun: a pause delays those behind it
      } else if constexpr (requires(Thread & thread) { thread.due_ns(); }) {
        begin = worker.thread->due_ns();
        wait_until(begin);
      }
      worker.thread->operation();
      const int64_t end = now_ns();
      if (end >= measure_from) {
        worker.latency.record(end - begin);
        worker.requests->add(begin, end);
      }
      begin = end;
      worker.operations.store(n + 1, std::memory_order_relaxed);
    }
  }

  static void wait_until(int64_t due) {
    if (now_ns() >= due) return;
    B::blocking([&] {
      timespec at{due / kSecond, due % kSecond};
      clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr);
    });
  }

  [[nodiscard]] uint64_t total_operations() const {
    uint64_t sum = 0;
    for (const auto& worker : workers_) {
      if (worker) sum += worker->operations.load(std::memory_order_relaxed);
    }
    return sum;
  }

  Session& session_;
  const CommonOptions& options_;
  const typename Work::Settings settings_;
  const ServiceSettings service_;
  std::latch ready_;
  std::latch go_{1};
  std::vector<std::unique_ptr<Worker>> workers_;
  nlohmann::json results_ = nlohmann::json::object();
  // relaxed [session.stop]: flags looked at between operations; latches and joins order the rest.
  std::atomic<bool> stop_{false};
  std::atomic<size_t> finished_{0};
  std::atomic<int64_t> measure_from_ns_{0};
};

}  // namespace keel
