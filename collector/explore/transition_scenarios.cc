// Where phases change while threads store, come, go, block and fork.
#include "collector/cycle/heap_core.h"
#include "collector/explore/scenario.h"
#include "collector/explore/scenario_parts.h"

namespace keel::explore {

// Two mutators move objects about, alone and between each other, while a third thread collects: the start and
// the end of marking, with stores on both sides of each.
void run_marking(const Variant& variant, uint64_t seed) {
  Heap heap(tiny_heap(variant));
  Rng rng(seed);
  std::array<uint64_t, 2> seeds = {rng.next(), rng.next()};
  {
    MutatorScope scope(heap);
    Chains::Shared shared;
    shared.row = make<Row>();
    std::vector<keel::Thread> threads;
    for (uint64_t t = 0; t < seeds.size(); ++t) {
      threads.emplace_back([&, t] {
        name_thread(t == 0 ? "mutator-0" : "mutator-1");
        MutatorScope attached(heap);
        Rng own(seeds[t]);
        Chains chains(1000 * (t + 1));
        for (int i = 0; i < 40; ++i) {
          if (own.below(8) == 0) {
            chains.swap_with(shared, own);
          } else {
            chains.change(own);
          }
        }
        chains.check();
      });
    }
    keel::Thread collector([&] {
      name_thread("collects");
      heap.collect();
      heap.collect();
    });
    blocking([&] {
      for (keel::Thread& thread : threads) thread.join();
      collector.join();
    });
    for (size_t i = 0; i < Row::kSlots; ++i)
      Chains::check_chain(shared.row->slots[i].get(), shared.numbers[i]);
  }
  require_empty(heap);
}

// As little as there can be: one mutator, a handful of objects, one cycle. What a barrier is for happens once
// each: the last edge to an object is cut while a local holds it, until the cycle is over; and what only a
// local led to is hidden behind a new node.
void run_tiny(const Variant& variant, uint64_t) {
  Heap heap(tiny_heap(variant));
  MutatorScope scope(heap);
  Root<Node> top(make_numbered<Node>(1));
  top->next = make_numbered<Node>(2);
  top->next->next = make_numbered<Node>(3);
  PreciseLocal<Node> hidden = make_numbered<Node>(4);
  keel::Thread collector([&] {
    name_thread("collects");
    heap.collect();
  });
  // It asks, and the cycle begins, unless a deviation says otherwise.
  keel::ThisThread::yield();
  keel::ThisThread::yield();
  safepoint();
  const PreciseLocal<Node> held = top->next->next.get();
  top->next->next = nullptr;
  safepoint();
  {
    PreciseLocal<Node> fresh = make_numbered<Node>(5);
    fresh->next = hidden.get();
    hidden = nullptr;
    top->other = fresh.get();
  }
  blocking([&] { collector.join(); });
  check_node(held.get(), 3, "held by a local");
  check_node(top->other.get(), 5, "the new node");
  check_node(top->other->next.get(), 4, "behind the new node");
}

// Threads come and go while cycles run: each takes what every round has established, and hands in what it
// holds.
void run_attach(const Variant& variant, uint64_t seed) {
  Heap heap(tiny_heap(variant));
  Rng rng(seed);
  {
    MutatorScope scope(heap);
    Chains::Shared shared;
    shared.row = make<Row>();
    std::vector<keel::Thread> threads;
    for (uint64_t t = 0; t < 2; ++t) {
      threads.emplace_back([&, t, own_seed = rng.next()] {
        name_thread(t == 0 ? "comes-0" : "comes-1");
        Rng own(own_seed);
        for (int life = 0; life < 3; ++life) {
          MutatorScope attached(heap);
          Chains chains(1000 * (t + 1) + 100 * static_cast<uint64_t>(life));
          for (uint64_t i = own.below(5); i > 0; --i) chains.change(own);
          chains.swap_with(shared, own);
          chains.check();
        }
      });
    }
    keel::Thread collector([&] {
      name_thread("collects");
      for (int i = 0; i < 3; ++i) heap.collect();
    });
    blocking([&] {
      for (keel::Thread& thread : threads) thread.join();
      collector.join();
    });
    for (size_t i = 0; i < Row::kSlots; ++i)
      Chains::check_chain(shared.row->slots[i].get(), shared.numbers[i]);
  }
  require_empty(heap);
}

// Blocking regions inside each other, with collections asked for from inside.
void run_blocking(const Variant& variant, uint64_t seed) {
  Heap heap(tiny_heap(variant));
  Rng rng(seed);
  {
    std::vector<keel::Thread> threads;
    for (uint64_t t = 0; t < 2; ++t) {
      threads.emplace_back([&, t, own_seed = rng.next()] {
        name_thread(t == 0 ? "blocks-0" : "blocks-1");
        MutatorScope attached(heap);
        Rng own(own_seed);
        Chains chains(1000 * (t + 1));
        for (int i = 0; i < 6; ++i) {
          chains.change(own);
          const uint64_t kind = own.below(4);
          blocking([&] {
            if (kind == 0) heap.collect();
            if (kind <= 1) blocking([] { keel::ThisThread::yield(); });
            if (kind == 2) {
              blocking([] { blocking([] {}); });
              blocking([&] { static_cast<void>(heap.stats()); });
            }
          });
          chains.check();
        }
      });
    }
    keel::Thread collector([&] {
      name_thread("collects");
      heap.collect();
    });
    for (keel::Thread& thread : threads) thread.join();
    collector.join();
  }
  require_empty(heap);
}

namespace {

struct Forked {
  Heap* heap;
  const Chains* chains;
  Row* row;
};

// In the child: the heap is closed whatever was pending. Reading works, allocation throws its sentence.
int look_at_closed_heap(void* argument) {
  const auto& forked = *static_cast<const Forked*>(argument);
  forked.chains->check();
  static_cast<void>(forked.heap->stats());
  safepoint();
  bool thrown = false;
  try {
    for (uint64_t i = 0; i < 1000; ++i) make_numbered<Node>(i);
  } catch (const OutOfMemory& closed) {
    thrown = true;
  }
  require(thrown, "allocation works in a child after fork()");
  {
    const Root<Row> again(forked.row);
    require(again.get() == forked.row, "a Root made in a child holds something else");
  }
  blocking([] {});
  forked.heap->collect();
  forked.chains->check();
  return 0;
}

}  // namespace

// A mutator forks in any phase, another one allocates meanwhile.
void run_fork(const Variant& variant, uint64_t seed) {
  Heap heap(tiny_heap(variant));
  Rng rng(seed);
  keel::Thread collector([&] {
    name_thread("collects");
    heap.collect();
    heap.collect();
  });
  keel::Thread other([&, own_seed = rng.next()] {
    name_thread("other");
    MutatorScope attached(heap);
    Rng own(own_seed);
    Chains chains(1000);
    for (int i = 0; i < 8; ++i) chains.change(own);
    chains.check();
  });
  {
    MutatorScope scope(heap);
    Chains chains(1);
    Root<Row> row(make<Row>());
    for (uint64_t i = rng.below(10); i > 0; --i) chains.change(rng);
    Forked forked{&heap, &chains, row.get()};
    const int status = fork_in_session(look_at_closed_heap, &forked);
    require(status == 0, "the forked child ended with status %d", status);
    for (int i = 0; i < 4; ++i) chains.change(rng);
    chains.check();
  }
  collector.join();
  other.join();
  require_empty(heap);
}

}  // namespace keel::explore
