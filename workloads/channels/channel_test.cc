// CONFIG: barriers=hybrid transitions=all roots=precise
//
// Channels behave as Go's do: order, capacity, direct hand-over, close, select; and nothing is lost on its
// way while cycles run.
#include "workloads/channels/channel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "workloads/backends/keel_backend.h"

namespace keel {
namespace {

using B = KeelBackend<true>;

struct Item {
  uint64_t number;
  uint64_t check;
};
using Pipe = Channel<B, Item>;

Item* make_item(uint64_t n) { return make<Item>(n, ~n); }

void wait_for_waiters(Pipe& pipe, uint64_t count) {
  while (pipe.waiting() != count) blocking([] { std::this_thread::yield(); });
}

HeapConfig config(const char* transitions) {
  HeapConfig c;
  c.roots = Roots::kPrecise;
  c.transitions = transitions;
  c.debug.poison = c.debug.checkmark = true;
  return c;
}

class ChannelTest : public testing::TestWithParam<const char*> {
 protected:
  Heap heap_{config(GetParam())};
};

TEST_P(ChannelTest, ABufferedChannelKeepsOrderAndItsCapacity) {
  MutatorScope scope(heap_);
  Pipe pipe(3);
  for (uint64_t i = 0; i < 3; ++i) pipe.send(make_item(i));
  EXPECT_EQ(pipe.size(), 3U);
  Rng rng(1);
  PreciseLocal<Item> fourth = make_item(3);
  EXPECT_EQ(Pipe::select({{&pipe, true, fourth}}, rng, false).index, 1U) << "full: the default case";
  heap_.collect();
  for (uint64_t i = 0; i < 3; ++i) EXPECT_EQ(pipe.receive()->number, i);
  EXPECT_EQ(Pipe::select({{&pipe}}, rng, false).index, 1U) << "empty: the default case";
}

TEST_P(ChannelTest, AClosedChannelGivesWhatIsLeftThenNullAndRefusesToSend) {
  MutatorScope scope(heap_);
  Pipe pipe(2);
  pipe.send(make_item(7));
  pipe.close();
  EXPECT_EQ(pipe.receive()->number, 7U);
  EXPECT_EQ(pipe.receive(), nullptr);
  PreciseLocal<Item> item = make_item(8);
  EXPECT_THROW(pipe.send(item), ClosedChannel);
  EXPECT_THROW(pipe.close(), ClosedChannel);
}

TEST_P(ChannelTest, ClosingWakesThoseWhoWait) {
  Pipe* pipe = nullptr;
  MutatorScope scope(heap_);
  Pipe unbuffered(0);
  pipe = &unbuffered;
  std::atomic<int> received_null{0};
  std::atomic<int> refused{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      MutatorScope inner(heap_);
      if (pipe->receive() == nullptr) ++received_null;
    });
  }
  wait_for_waiters(*pipe, 2);
  pipe->close();
  blocking([&] {
    for (std::thread& t : threads) t.join();
  });
  EXPECT_EQ(received_null, 2);
  Pipe full(1);
  full.send(make_item(1));
  std::thread sender([&] {
    MutatorScope inner(heap_);
    PreciseLocal<Item> item = make_item(2);
    try {
      full.send(item);
    } catch (const ClosedChannel&) {
      ++refused;
    }
  });
  wait_for_waiters(full, 1);
  full.close();
  blocking([&] { sender.join(); });
  EXPECT_EQ(refused, 1);
}

// Producers and consumers through `pipe`, while another thread collects all the time: everything arrives,
// once, whole.
void everything_arrives(Heap& heap, uint64_t capacity, int producers, int consumers, uint64_t each) {
  std::atomic<uint64_t> sum{0};
  std::atomic<uint64_t> count{0};
  std::atomic<bool> damaged{false};
  std::atomic<bool> done{false};
  MutatorScope scope(heap);
  Pipe pipe(capacity);
  std::thread collector([&] {
    while (!done.load()) heap.collect();
  });
  std::vector<std::thread> senders;
  std::vector<std::thread> receivers;
  for (int p = 0; p < producers; ++p) {
    senders.emplace_back([&] {
      MutatorScope inner(heap);
      for (uint64_t i = 0; i < each; ++i) {
        PreciseLocal<Item> item = make_item(i);
        pipe.send(item);
      }
    });
  }
  for (int c = 0; c < consumers; ++c) {
    receivers.emplace_back([&] {
      MutatorScope inner(heap);
      for (;;) {
        PreciseLocal<Item> item = pipe.receive();
        if (item.get() == nullptr) return;
        if (item->check != ~item->number) damaged.store(true);
        sum += item->number;
        ++count;
      }
    });
  }
  blocking([&] {
    for (std::thread& t : senders) t.join();
  });
  pipe.close();
  blocking([&] {
    for (std::thread& t : receivers) t.join();
    done.store(true);
    collector.join();
  });
  const auto n = static_cast<uint64_t>(producers);
  EXPECT_FALSE(damaged);
  EXPECT_EQ(count, n * each);
  EXPECT_EQ(sum, n * (each * (each - 1) / 2));
}

TEST_P(ChannelTest, EverythingArrivesUnbuffered) { everything_arrives(heap_, 0, 2, 2, 2000); }
TEST_P(ChannelTest, EverythingArrivesBuffered) { everything_arrives(heap_, 16, 3, 2, 5000); }
TEST_P(ChannelTest, EverythingArrivesThroughOnePlace) { everything_arrives(heap_, 1, 4, 1, 1000); }

// Two producers on two channels, a consumer that selects over both and over a third that tells it to stop.
TEST_P(ChannelTest, SelectTakesFromWhateverIsReady) {
  MutatorScope scope(heap_);
  Pipe a(0);
  Pipe b(4);
  Pipe stop(0);
  constexpr uint64_t kEach = 1500;
  auto produce = [&](Pipe& pipe, uint64_t from) {
    MutatorScope inner(heap_);
    for (uint64_t i = 0; i < kEach; ++i) {
      PreciseLocal<Item> item = make_item(from + i);
      pipe.send(item);
    }
  };
  std::thread first([&] { produce(a, 0); });
  std::thread second([&] { produce(b, 1'000'000); });
  uint64_t next_a = 0;
  uint64_t next_b = 1'000'000;
  std::thread consumer([&] {
    MutatorScope inner(heap_);
    Rng rng(3);
    for (;;) {
      const auto [index, element] = Pipe::select({{&a}, {&b}, {&stop}}, rng);
      if (index == 2) return;
      EXPECT_EQ(element->check, ~element->number);
      EXPECT_EQ(element->number, index == 0 ? next_a++ : next_b++);
    }
  });
  blocking([&] {
    first.join();
    second.join();
  });
  for (int i = 0; i < 50; ++i) heap_.collect();
  // What is still in b is taken before or after: the stop is sent when both are empty.
  while (b.size() != 0) blocking([] { std::this_thread::yield(); });
  stop.close();
  blocking([&] { consumer.join(); });
  EXPECT_EQ(next_a, kEach);
  EXPECT_EQ(next_b, 1'000'000 + kEach);
}

TEST_P(ChannelTest, SelectCanSend) {
  MutatorScope scope(heap_);
  Pipe a(0);
  Pipe b(0);
  std::atomic<uint64_t> received{0};
  auto consume = [&](Pipe& pipe) {
    MutatorScope inner(heap_);
    while (pipe.receive() != nullptr) ++received;
  };
  std::thread first([&] { consume(a); });
  std::thread second([&] { consume(b); });
  Rng rng(5);
  uint64_t sent[2] = {0, 0};
  for (uint64_t i = 0; i < 2000; ++i) {
    // At first both wait, so that it is the draw that decides; later whoever is there, on a crowded machine
    // perhaps one of them alone.
    for (Pipe* pipe : {&a, &b}) {
      if (i < 20) wait_for_waiters(*pipe, 1);
    }
    PreciseLocal<Item> item = make_item(i);
    ++sent[Pipe::select({{&a, true, item}, {&b, true, item}}, rng).index];
  }
  a.close();
  b.close();
  blocking([&] {
    first.join();
    second.join();
  });
  EXPECT_EQ(received, 2000U);
  EXPECT_GT(sent[0], 0U);
  EXPECT_GT(sent[1], 0U);
}

INSTANTIATE_TEST_SUITE_P(Transitions, ChannelTest, testing::Values("stw", "handshake"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace keel
