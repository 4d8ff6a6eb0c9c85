// `linked_list`: a graph without parallelism.
//
// What it presses on: marking that cannot be shared. Each thread has one long list; an operation appends a
// batch at its tail and drops as many at its head. Whoever marks it must follow one pointer after another: a
// second worker finds nothing to steal, and a concurrent marker races against the tail. Live bytes: nodes x
// slot.
#include "workloads/common/chain.h"
#include "workloads/common/dispatch.h"

namespace {

using namespace keel;

struct ListSettings {
  uint64_t nodes = 1'000'000;
  uint64_t node_bytes = 32;
  uint64_t batch = 1000;
};

template <typename B>
class LinkedList {
 public:
  using Backend = B;
  using Settings = ListSettings;
  static constexpr const char* kNoMalloc = nullptr;

  LinkedList(const CommonOptions&, const Settings& settings) : settings_(settings) {}

  static Footprint footprint(const CommonOptions& options, const Settings& s) {
    return {static_cast<uint64_t>(options.threads) * s.nodes * B::slot_bytes(s.node_bytes),
            "--nodes, --node-bytes or --threads (nodes are of each thread)"};
  }

  class Thread {
   public:
    Thread(LinkedList& work, size_t t, SetUp& set_up) : settings_(work.settings_) {
      head_.reset(make_node());
      tail_.reset(head_.get());
      for (uint64_t i = 1; i < settings_.nodes && set_up.next(t, i, settings_.nodes); ++i) append();
    }
    ~Thread() { release_chain(head_.get()); }
    void operation() {
      for (uint64_t i = 0; i < settings_.batch; ++i) {
        append();
        Link<B>* first = head_.get();
        head_.reset(first->next.get());
        B::release(first);
      }
    }
    [[nodiscard]] bool intact() const {
      uint64_t count = 0;
      for (const Link<B>* at = head_.get(); at != nullptr; at = at->next.get(), ++count) {
        const Link<B>* next = at->next.get();
        if (next != nullptr && next->number != at->number + 1) return false;
      }
      return count == settings_.nodes;
    }

   private:
    Link<B>* make_node() {
      Link<B>* node = B::template make_with_tail<Link<B>>(settings_.node_bytes - sizeof(Link<B>));
      node->number = made_++;
      return node;
    }
    void append() {
      typename B::template Local<Link<B>> node = make_node();
      tail_.get()->next = static_cast<Link<B>*>(node);
      tail_.reset(node);
    }
    const Settings settings_;
    typename B::template Root<Link<B>> head_;
    typename B::template Root<Link<B>> tail_;
    uint64_t made_ = 0;
  };

  void check(const std::vector<Thread*>& threads, Verdict& verdict) {
    for (const Thread* thread : threads) verdict.expect(thread->intact(), "a list has lost a node");
    if (verdict.passed) verdict.detail = "every list is whole and in order";
  }
  nlohmann::json results(const std::vector<Thread*>& threads) const {
    return {{"nodes", settings_.nodes},
            {"live_bytes", threads.size() * settings_.nodes * B::slot_bytes(settings_.node_bytes)}};
  }

 private:
  const Settings settings_;
};

}  // namespace

int main(int argc, char** argv) {
  ListSettings settings;
  OptionParser parser("linked_list", "One long list per thread, growing at its tail, dying at its head.");
  parser.count("--nodes", settings.nodes, 1, 1'000'000'000, "nodes of each thread's list");
  parser.count("--node-bytes", settings.node_bytes, 24, 32768, "bytes of each, 24 to 32768");
  parser.count("--batch", settings.batch, 1, 1'000'000'000, "nodes an operation");
  const CommonOptions options = parser.parse(argc, argv);
  return dispatch<LinkedList>("linked_list", argv, options, settings);
}
