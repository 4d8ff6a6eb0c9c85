// `pointer_kinds`: what keeps an object alive, and what a field of each kind costs.
//
// Integers are not pointers: a uintptr_t in the heap keeps nothing, a Ptr<T> does; a pointer into the middle
// of an object on the stack does, a disguised one does not. Each case makes its object in a frame of its own,
// collects, and asks a weak pointer. Then sizes: sizeof, alignof and offsetof of the field types, and what
// their order changes, since an object is scanned up to its last pointer and no further. Origin: the six
// rules of Go's package unsafe, and the size primers written around it.
#include <array>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>

#include "allocator/base/units.h"
#include "workloads/backends/keel_backend.h"
#include "workloads/common/session.h"
#include "workloads/common/wipe_stack.h"

namespace {

using namespace keel;

struct Target {
  uint64_t number;
  std::array<unsigned char, 120> bytes;
};

/// One field of each kind that might keep a Target.
struct Holder {
  Ptr<Target> pointer;
  uintptr_t integer;
  Ptr<unsigned char> interior;
};

constexpr uintptr_t kDisguise = 0x5a5a5a5a5a5a5a5a;

struct Case {
  const char* what;
  bool kept;      // what the design promises
  bool observed;  // what the collection did
};

// Makes a target, stores it by `store` and leaves only the weak pointer and what `store` kept.
template <typename Store>
__attribute__((noinline)) Weak<Target> make_target(Store&& store) {
  PreciseLocal<Target> target = make<Target>();
  store(static_cast<Target*>(target));
  return Weak<Target>(target);
}

__attribute__((noinline)) bool survives(Heap& heap, const Weak<Target>& weak) {
  wipe_stack();
  heap.collect();
  return weak.lock() != nullptr;
}

// A word on this frame while the collection runs: the target's address as `disguise` makes it.
template <typename Disguise>
__attribute__((noinline)) bool survives_on_the_stack(Heap& heap, Disguise&& disguise) {
  volatile uintptr_t word = 0;
  const Weak<Target> weak =
      make_target([&](Target* target) { word = disguise(reinterpret_cast<uintptr_t>(target)); });
  const bool kept = survives(heap, weak);
  asm volatile("" : : "m"(word) : "memory");
  return kept;
}

std::vector<Case> run_cases(Heap& heap, bool precise) {
  std::vector<Case> cases;
  Root<Holder> holder(make<Holder>());
  auto in_heap = [&](const char* what, bool kept, const std::function<void(Target*)>& store) {
    const Weak<Target> weak = make_target(store);
    cases.push_back({what, kept, survives(heap, weak)});
    holder->pointer = nullptr;
    holder->interior = nullptr;
    holder->integer = 0;
  };
  in_heap("Ptr<T> in the heap", true, [&](Target* t) { holder->pointer = t; });
  in_heap("Ptr into the middle, in the heap", true, [&](Target* t) { holder->interior = &t->bytes[77]; });
  in_heap("uintptr_t in the heap", false,
          [&](Target* t) { holder->integer = reinterpret_cast<uintptr_t>(t); });
  in_heap("nothing", false, [](Target*) {});
  Root<Target> root;
  in_heap("Root<T>", true, [&](Target* t) { root = t; });
  root.reset();
  // Words of the stack count under conservative roots only, wherever they point into the object.
  auto on_stack = [&](const char* what, bool kept, auto&& disguise) {
    cases.push_back({what, kept, survives_on_the_stack(heap, disguise)});
  };
  on_stack("T* on the stack", !precise, [](uintptr_t p) { return p; });
  on_stack("pointer into the middle, on the stack", !precise, [](uintptr_t p) { return p + 77; });
  on_stack("pointer to the last byte, on the stack", !precise,
           [](uintptr_t p) { return p + sizeof(Target) - 1; });
  on_stack("pointer before the start, on the stack", false, [](uintptr_t p) { return p - 1; });
  on_stack("disguised pointer (xor), on the stack", false, [](uintptr_t p) { return p ^ kDisguise; });
  return cases;
}

struct PointersFirst {
  Ptr<Target> a;
  Ptr<Target> b;
  bool flag;
  uint64_t number;
  uint32_t small;
  std::array<uint64_t, 12> data;
};
struct PointersLast {
  std::array<uint64_t, 12> data;
  bool flag;
  uint64_t number;
  uint32_t small;
  Ptr<Target> a;
  Ptr<Target> b;
};
struct Padded {
  bool a;
  uint64_t b;
  bool c;
  uint32_t d;
  bool e;
};
struct Packed {
  uint64_t b;
  uint32_t d;
  bool a;
  bool c;
  bool e;
};
struct Text {  // as Go's string: pointer and length
  Ptr<char> bytes;
  uint64_t length;
};

struct SizeRow {
  std::string type;
  size_t size;
  size_t align;
};

struct LayoutRow {
  std::string type;
  std::string offsets;
  size_t size;
  uint32_t slot_bytes;
  uint64_t scanned_bytes;
};

template <typename T>
LayoutRow layout_row(const char* type, const std::string& offsets) {
  const Layout& layout = layout_of(layout_for<T>(sizeof(T)));
  return {type, offsets, sizeof(T), layout.slot_bytes,
          layout.noscan() ? 0 : layout.prefix_words * kWordBytes};
}

std::string at(const char* field, size_t offset) {
  return std::string(field) + " " + std::to_string(offset) + "  ";
}

std::vector<LayoutRow> layout_rows() {
  return {
      layout_row<PointersFirst>(
          "PointersFirst",
          at("a", offsetof(PointersFirst, a)) + at("b", offsetof(PointersFirst, b)) +
              at("flag", offsetof(PointersFirst, flag)) + at("number", offsetof(PointersFirst, number)) +
              at("small", offsetof(PointersFirst, small)) + at("data", offsetof(PointersFirst, data))),
      layout_row<PointersLast>(
          "PointersLast",
          at("data", offsetof(PointersLast, data)) + at("flag", offsetof(PointersLast, flag)) +
              at("number", offsetof(PointersLast, number)) + at("small", offsetof(PointersLast, small)) +
              at("a", offsetof(PointersLast, a)) + at("b", offsetof(PointersLast, b))),
      layout_row<Padded>("Padded", at("a", offsetof(Padded, a)) + at("b", offsetof(Padded, b)) +
                                       at("c", offsetof(Padded, c)) + at("d", offsetof(Padded, d)) +
                                       at("e", offsetof(Padded, e))),
      layout_row<Packed>("Packed", at("b", offsetof(Packed, b)) + at("d", offsetof(Packed, d)) +
                                       at("a", offsetof(Packed, a)) + at("c", offsetof(Packed, c)) +
                                       at("e", offsetof(Packed, e))),
  };
}

std::vector<SizeRow> size_rows() {
  return {{"bool", sizeof(bool), alignof(bool)},
          {"int32_t", sizeof(int32_t), alignof(int32_t)},
          {"int64_t", sizeof(int64_t), alignof(int64_t)},
          {"double", sizeof(double), alignof(double)},
          {"uintptr_t", sizeof(uintptr_t), alignof(uintptr_t)},
          {"T*", sizeof(Target*), alignof(Target*)},
          {"Ptr<T>", sizeof(Ptr<Target>), alignof(Ptr<Target>)},
          {"Text (pointer, length)", sizeof(Text), alignof(Text)},
          {"std::array<int32_t, 3>", sizeof(std::array<int32_t, 3>), alignof(std::array<int32_t, 3>)},
          {"Root<T> (outside the heap)", sizeof(Root<Target>), alignof(Root<Target>)},
          {"Weak<T> (outside the heap)", sizeof(Weak<Target>), alignof(Weak<Target>)}};
}

void print(const std::vector<Case>& cases) {
  std::printf("%-40s %-10s %s\n", "what refers to the object", "promised", "after a collection");
  for (const Case& c : cases) {
    std::printf("%-40s %-10s %s%s\n", c.what, c.kept ? "kept" : "collected",
                c.observed ? "kept" : "collected", c.kept == c.observed ? "" : "   <- not as promised");
  }
  std::printf("\n%-28s %8s %9s\n", "field type", "sizeof", "alignof");
  for (const SizeRow& row : size_rows())
    std::printf("%-28s %8zu %9zu\n", row.type.c_str(), row.size, row.align);
  std::printf("\n%-14s %7s %6s %9s   %s\n", "struct", "sizeof", "slot", "scanned", "offsets");
  for (const LayoutRow& row : layout_rows()) {
    std::printf("%-14s %5zu B %4u B %7llu B   %s\n", row.type.c_str(), row.size, row.slot_bytes,
                static_cast<unsigned long long>(row.scanned_bytes), row.offsets.c_str());
  }
  std::printf(
      "\nThe marker reads an object up to its last pointer: the same fields cost it %llu B with the pointers "
      "first,\n"
      "%llu B with them last. Padding follows from alignment: a bool before a uint64_t costs 8 B.\n",
      static_cast<unsigned long long>(layout_rows()[0].scanned_bytes),
      static_cast<unsigned long long>(layout_rows()[1].scanned_bytes));
}

template <bool kPrecise>
int run_on(const CommonOptions& options) {
  using B = KeelBackend<kPrecise>;
  Session session("pointer_kinds", options);
  typename B::Runtime runtime(options, session.recorder());
  const Result<bool> started = session.recorder().start([&] { return runtime.sample(); });
  if (!started) exit_bad_input("pointer_kinds", started.error());
  std::vector<Case> cases;
  try {
    typename B::Thread scope(runtime, "main");
    session.recorder().note_rss_start();
    session.recorder().begin_measured();
    cases = run_cases(runtime.heap(), kPrecise);
    session.recorder().end_measured();
  } catch (const std::bad_alloc& e) {
    session.fail_out_of_memory(e.what());
  }
  std::string wrong;
  for (const Case& c : cases) {
    if (c.kept != c.observed) wrong += std::string(wrong.empty() ? "" : ", ") + c.what;
  }
  session.set_self_check(wrong.empty(), wrong.empty() ? std::to_string(cases.size()) + " cases as promised"
                                                      : "not as promised: " + wrong);
  if (!options.quiet && options.report_path != "-") print(cases);
  return session.finish([&](nlohmann::json& out) {
    runtime.sections(out);
    nlohmann::json& results = out["results"];
    for (const Case& c : cases) {
      results["kinds"].push_back({{"what", c.what}, {"promised", c.kept}, {"kept", c.observed}});
    }
    for (const SizeRow& row : size_rows()) {
      results["sizes"].push_back({{"type", row.type}, {"size_bytes", row.size}, {"align_bytes", row.align}});
    }
    for (const LayoutRow& row : layout_rows()) {
      results["structs"].push_back({{"type", row.type},
                                    {"size_bytes", row.size},
                                    {"slot_bytes", row.slot_bytes},
                                    {"scanned_bytes", row.scanned_bytes},
                                    {"offsets", row.offsets}});
    }
    out["run"]["operations"] = cases.size();
  });
}

}  // namespace

int main(int argc, char** argv) {
  OptionParser parser("pointer_kinds",
                      "What keeps an object alive and what does not; what fields of each kind cost.");
  const CommonOptions options = parser.parse(argc, argv);
  if (options.collector != Collector::kKeel) {
    exit_bad_input("pointer_kinds", std::string("option --collector: ") + to_string(options.collector) +
                                        " does not have Keel's kinds of pointers; keel only");
  }
  if (options.ballast_bytes != 0)
    exit_bad_input("pointer_kinds", "option --ballast does not apply to pointer_kinds");
  return options.heap.roots == Roots::kPrecise ? run_on<true>(options) : run_on<false>(options);
}
