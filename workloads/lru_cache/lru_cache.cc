// `lru_cache`: old objects die.
//
// What it presses on: the guess that the old stay. A cache of a fixed number of entries, a hash map (GoMap)
// and a doubly linked list by age; a request looks a key up, moves its entry to the front, or makes one and
// throws the oldest away. So what dies has lived longest: the worst case of generational collection, and a
// source of floating garbage. Keys are drawn so that a share of --hits percent hits. Live bytes: entries, the
// map, in closed form.
#include "allocator/base/rng.h"
#include "workloads/common/dispatch.h"
#include "workloads/maps/go_map.h"

namespace {

using namespace keel;

struct CacheSettings {
  uint64_t entries = 100'000;
  uint64_t value_bytes = 200;
  double hits_percent = 80;
  uint64_t requests = 16;  // an operation
};

template <typename B>
struct CacheEntry {
  typename B::template Field<CacheEntry> newer;
  typename B::template Field<CacheEntry> older;
  uint64_t key;
  uint64_t check;
};
template <typename B>
struct CachePointer {
  typename B::template Field<CacheEntry<B>> entry;
};

template <typename B>
class LruCache {
 public:
  using Backend = B;
  using Settings = CacheSettings;
  using Entry = CacheEntry<B>;
  using Map = GoMap<B, uint64_t, CachePointer<B>>;
  static constexpr const char* kNoMalloc = nullptr;

  static Footprint footprint(const CommonOptions& options, const Settings& s) {
    const uint64_t each =
        Map::expected_bytes(s.entries) + s.entries * B::slot_bytes(sizeof(Entry) + s.value_bytes);
    return {static_cast<uint64_t>(options.threads) * each,
            "--entries, --value-bytes or --threads (entries are of each thread)"};
  }

  LruCache(const CommonOptions& options, const Settings& settings)
      : settings_(settings), seed_(options.seed) {}

  class Thread {
   public:
    Thread(LruCache& work, size_t t, SetUp& set_up) : work_(work), rng_(work.seed_ * 0x10001 + t) {
      map_.reset(Map::make(work.settings_.entries, work.seed_ + t));
      ends_.reset(B::template make<Entry>());
      ends_.get()->newer = ends_.get();
      ends_.get()->older = ends_.get();
      while (size_ < work.settings_.entries && set_up.next(t, size_, work.settings_.entries))
        request(next_key_);
    }
    ~Thread() {
      if constexpr (B::kFrees) {
        while (size_ != 0) drop_oldest();
        B::release(ends_.get());
        Map::destroy(map_.get());
      }
    }
    void operation() {
      for (uint64_t i = 0; i < work_.settings_.requests; ++i) {
        // The last `entries` keys are in the cache: a hit is one of them, a miss is a new one.
        const bool hit = rng_.percent(work_.settings_.hits_percent);
        request(hit ? next_key_ - 1 - rng_.below(work_.settings_.entries) : next_key_);
      }
    }
    bool intact() {
      uint64_t count = 0;
      for (Entry* e = ends_.get()->older.get(); e != ends_.get(); e = e->older.get(), ++count) {
        CachePointer<B>* found = Map::find(map_.get(), e->key);
        if (e->check != ~e->key || e->older.get()->newer.get() != e || found == nullptr ||
            found->entry.get() != e)
          return false;
      }
      return count == size_ && Map::size(map_.get()) == size_;
    }
    [[nodiscard]] uint64_t hits() const { return hits_; }
    [[nodiscard]] uint64_t requests() const { return requests_; }
    uint64_t live_bytes() {
      return Map::footprint(map_.get()).bytes +
             size_ * B::slot_bytes(sizeof(Entry) + work_.settings_.value_bytes) +
             B::slot_bytes(sizeof(Entry));
    }

   private:
    void request(uint64_t key) {
      ++requests_;
      if (CachePointer<B>* found = Map::find(map_.get(), key)) {
        ++hits_;
        Entry* entry = found->entry.get();
        unlink(entry);
        put_in_front(entry);
        return;
      }
      typename B::template Local<Entry> entry =
          B::template make_with_tail<Entry>(work_.settings_.value_bytes);
      entry->key = key;
      entry->check = ~key;
      Map::assign(map_.get(), key).entry = static_cast<Entry*>(entry);
      put_in_front(entry);
      next_key_ = std::max(next_key_, key + 1);
      if (++size_ > work_.settings_.entries) drop_oldest();
    }
    static void unlink(Entry* entry) {
      entry->newer->older = entry->older.get();
      entry->older->newer = entry->newer.get();
    }
    void put_in_front(Entry* entry) {
      Entry* ends = ends_.get();
      entry->newer = ends;
      entry->older = ends->older.get();
      ends->older->newer = entry;
      ends->older = entry;
    }
    void drop_oldest() {
      Entry* oldest = ends_.get()->newer.get();
      unlink(oldest);
      Map::erase(map_.get(), oldest->key);
      B::release(oldest);
      --size_;
    }
    LruCache& work_;
    Rng rng_;
    typename B::template Root<typename Map::Header> map_;
    typename B::template Root<Entry> ends_;  // newest at ->older, oldest at ->newer
    uint64_t size_ = 0;
    uint64_t next_key_ = 0;
    uint64_t hits_ = 0;
    uint64_t requests_ = 0;
  };

  void check(const std::vector<Thread*>& threads, Verdict& verdict) {
    for (Thread* thread : threads) verdict.expect(thread->intact(), "list and map of a cache do not agree");
    if (verdict.passed) verdict.detail = "list and map agree on every entry";
  }
  nlohmann::json results(const std::vector<Thread*>& threads) const {
    uint64_t hits = 0;
    uint64_t requests = 0;
    uint64_t live = 0;
    for (Thread* thread : threads) {
      hits += thread->hits();
      requests += thread->requests();
      live += thread->live_bytes();
    }
    return {{"hits", hits}, {"requests", requests}, {"live_bytes", live}};
  }

 private:
  const Settings settings_;
  const uint64_t seed_;
};

}  // namespace

int main(int argc, char** argv) {
  CacheSettings settings;
  OptionParser parser("lru_cache", "A cache that throws the oldest away: old objects die.");
  parser.count("--entries", settings.entries, 1, 1'000'000'000, "entries of each thread's cache");
  parser.count("--value-bytes", settings.value_bytes, 0, 1'000'000, "pointer-free bytes of each");
  parser.real("--hits", settings.hits_percent, 0, 100, "percent of requests for a key that is likely there");
  parser.count("--requests", settings.requests, 1, 1'000'000, "requests an operation");
  const CommonOptions options = parser.parse(argc, argv);
  return dispatch<LruCache>("lru_cache", argv, options, settings);
}
