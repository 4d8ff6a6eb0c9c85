// CONFIG: barriers=all
//
// Which pointers reach the buffer, when, and when the buffer reaches the sink; typed over the list of kinds.
#include <gtest/gtest.h>

#include <vector>

#include "barriers/api/barrier_list.h"

namespace keel {
namespace {

class RecordingSink : public GreySink {
 public:
  void shade(const uintptr_t* pointers, size_t count) override {
    seen.insert(seen.end(), pointers, pointers + count);
  }
  std::vector<uintptr_t> seen;
};

template <typename Kind>
class BarrierTest : public testing::Test {
 protected:
  void SetUp() override {
    t_barrier = BarrierState{};
    t_barrier.use(buffer_);
    t_barrier.sink = &sink_;
    t_barrier.slow = find_barrier(Kind::kTraits.name)->slow_path;
    t_barrier.marking = true;
    t_barrier.stack_grey = true;
  }
  void TearDown() override { t_barrier = BarrierState{}; }
  RecordingSink sink_;
  BarrierState::Buffer buffer_;
  Slot slot_{100};
};

template <typename Tuple>
struct AsTypes;
template <typename... T>
struct AsTypes<std::tuple<T...>> {
  using type = testing::Types<T...>;
};
TYPED_TEST_SUITE(BarrierTest, typename AsTypes<BarrierKinds>::type, );

TYPED_TEST(BarrierTest, ShadesWhatItsTraitsPromise) {
  write_slot(this->slot_, 200);
  EXPECT_EQ(this->slot_.load_relaxed(), 200U);
  t_barrier.flush();
  std::vector<uintptr_t> expected;
  if (TypeParam::kTraits.shades_old) expected.push_back(100);
  if (TypeParam::kTraits.shades_new) expected.push_back(200);
  EXPECT_EQ(this->sink_.seen, expected);
}

TYPED_TEST(BarrierTest, IsSilentWhileNothingIsMarked) {
  t_barrier.marking = false;
  write_slot(this->slot_, 200);
  initialize_slot(this->slot_, 300);
  EXPECT_EQ(t_barrier.count(), 0U);
  EXPECT_EQ(this->slot_.load_relaxed(), 300U);
}

TYPED_TEST(BarrierTest, NullIsNotRemembered) {
  Slot empty;
  write_slot(empty, 0);
  EXPECT_EQ(t_barrier.count(), 0U);
}

TYPED_TEST(BarrierTest, FlushesWhenTheBufferIsFull) {
  t_barrier.full = t_barrier.buffer + 2;
  for (uintptr_t i = 0; i < 10; ++i) write_slot(this->slot_, 200 + i);
  EXPECT_LT(t_barrier.count(), 2U);
  if (TypeParam::kTraits.shades_new) {
    EXPECT_GE(this->sink_.seen.size(), 9U);
  }
}

TEST(HybridConditional, ShadesTheNewValueOnlyWhileTheStackIsGrey) {
  RecordingSink sink;
  BarrierState::Buffer buffer;
  t_barrier = BarrierState{};
  t_barrier.use(buffer);
  t_barrier.sink = &sink;
  t_barrier.slow = find_barrier("hybrid-conditional")->slow_path;
  t_barrier.marking = true;
  Slot slot(100);
  write_slot(slot, 200);
  t_barrier.stack_grey = true;
  write_slot(slot, 300);
  t_barrier.flush();
  EXPECT_EQ(sink.seen, (std::vector<uintptr_t>{100, 200, 300}));
  t_barrier = BarrierState{};
}

}  // namespace
}  // namespace keel
