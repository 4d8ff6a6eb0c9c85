// `big_arrays`: huge arrays of pointers.
//
// What it presses on: scan splitting (an array above 128 KiB is scanned in pieces, shared among workers), and
// stores in bulk. Each thread has --elements pointers in --chunks arrays. An operation copies one array into
// a fresh one of the same size, pointer by pointer through the barrier, with one element in a hundred
// renewed; the old array is garbage. One huge array against many small ones: the same pointers, other pieces.
// Live bytes: arrays and items.
#include "allocator/base/rng.h"
#include "workloads/common/dispatch.h"

namespace {

using namespace keel;

struct ArraySettings {
  uint64_t elements = 1'000'000;
  uint64_t chunks = 4;
  double renewed_percent = 1;
};

struct Item {
  uint64_t number;
  uint64_t check;
};
template <typename B>
struct ItemSlot {
  typename B::template Field<Item> item;
};
template <typename B>
struct ChunkSlot {
  typename B::template Field<ItemSlot<B>> items;
};

template <typename B>
class BigArrays {
 public:
  using Backend = B;
  using Settings = ArraySettings;
  static constexpr const char* kNoMalloc = nullptr;

  static Footprint footprint(const CommonOptions& options, const Settings& s) {
    const uint64_t each = s.elements / s.chunks;
    const uint64_t chunk = B::array_bytes(each * sizeof(void*)) + each * B::slot_bytes(sizeof(Item));
    return {static_cast<uint64_t>(options.threads) * s.chunks * chunk,
            "--elements or --threads (elements are of each thread)"};
  }

  BigArrays(const CommonOptions& options, const Settings& settings)
      : settings_(settings), seed_(options.seed), each_(settings.elements / settings.chunks) {}

  class Thread {
   public:
    Thread(BigArrays& work, size_t t, SetUp& set_up) : work_(work), rng_(work.seed_ * 0x10001 + t) {
      const uint64_t chunks = work.settings_.chunks;
      chunks_.reset(B::template make_array<ChunkSlot<B>>(chunks));
      for (uint64_t c = 0; c < chunks && !set_up.stopped(); ++c) {
        chunks_.get()[c].items = B::template make_array<ItemSlot<B>>(work.each_);
        for (uint64_t i = 0; i < work.each_ && set_up.next(t, c * work.each_ + i, chunks * work.each_); ++i)
          put(chunk(c), i);
      }
    }
    ~Thread() {
      if constexpr (B::kFrees) {
        for (uint64_t c = 0; c < work_.settings_.chunks && chunk(c) != nullptr; ++c) {
          for (uint64_t i = 0; i < work_.each_; ++i) B::release(chunk(c)[i].item.get());
          B::release(chunk(c));
        }
        B::release(chunks_.get());
      }
    }
    void operation() {
      const uint64_t c = rng_.below(work_.settings_.chunks);
      typename B::template Local<ItemSlot<B>> fresh = B::template make_array<ItemSlot<B>>(work_.each_);
      ItemSlot<B>* old = chunk(c);
      const double renewed = work_.settings_.renewed_percent;
      uint64_t next = skip(renewed);
      for (uint64_t i = 0; i < work_.each_; ++i) {
        if (i == next) {
          put(fresh, i);
          B::release(old[i].item.get());
          next += 1 + skip(renewed);
        } else {
          fresh[i].item = old[i].item.get();
        }
        if (i % 4096 == 0) B::safepoint();
      }
      chunks_.get()[c].items = static_cast<ItemSlot<B>*>(fresh);
      B::release(old);
    }
    bool intact() {
      for (uint64_t c = 0; c < work_.settings_.chunks; ++c) {
        for (uint64_t i = 0; i < work_.each_; ++i) {
          const Item* item = chunk(c)[i].item.get();
          if (item == nullptr || item->number != i || item->check != ~i) return false;
        }
      }
      return true;
    }

   private:
    ItemSlot<B>* chunk(uint64_t c) { return chunks_.get()[c].items.get(); }
    static void put(ItemSlot<B>* items, uint64_t i) {
      typename B::template Local<Item> item = B::template make<Item>();
      item->number = i;
      item->check = ~i;
      items[i].item = static_cast<Item*>(item);
    }
    // How many are copied before the next is renewed: uniform around the mean, a random number for each being
    // dear.
    uint64_t skip(double percent) {
      return percent <= 0 ? ~uint64_t{0} >> 1 : rng_.below(static_cast<uint64_t>(200 / percent));
    }
    BigArrays& work_;
    Rng rng_;
    typename B::template Root<ChunkSlot<B>> chunks_;
  };

  void check(const std::vector<Thread*>& threads, Verdict& verdict) {
    for (Thread* thread : threads) verdict.expect(thread->intact(), "an element is missing or damaged");
    if (verdict.passed)
      verdict.detail = std::to_string(threads.size() * each_ * settings_.chunks) + " elements intact";
  }
  nlohmann::json results(const std::vector<Thread*>& threads) const {
    const uint64_t chunk = B::array_bytes(each_ * sizeof(void*)) + each_ * B::slot_bytes(sizeof(Item));
    return {{"elements", each_ * settings_.chunks},
            {"chunks", settings_.chunks},
            {"live_bytes",
             threads.size() * (settings_.chunks * chunk + B::array_bytes(settings_.chunks * sizeof(void*)))}};
  }

 private:
  const Settings settings_;
  const uint64_t seed_;
  const uint64_t each_;
};

}  // namespace

int main(int argc, char** argv) {
  ArraySettings settings;
  OptionParser parser("big_arrays", "Huge arrays of pointers, copied again and again.");
  parser.count("--elements", settings.elements, 1, 1'000'000'000, "pointers of each thread");
  parser.count("--chunks", settings.chunks, 1, 1'000'000, "arrays they are split into");
  parser.real("--renewed", settings.renewed_percent, 0, 100, "percent of elements renewed by a copy");
  const CommonOptions options = parser.parse(argc, argv);
  if (settings.chunks > settings.elements) {
    exit_bad_input("big_arrays", "option --chunks: " + std::to_string(settings.chunks) +
                                     " is above --elements " + std::to_string(settings.elements));
  }
  return dispatch<BigArrays>("big_arrays", argv, options, settings);
}
