// Bits and counts of dirty pages; see dirty_pages.h.
#include "allocator/page/dirty_pages.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "allocator/base/bits.h"

namespace keel {
namespace {
uint64_t blocks_of(uint64_t pages) {
  return round_up(pages, DirtyPages::kBlockPages) / DirtyPages::kBlockPages;
}
}  // namespace

uint64_t DirtyPages::metadata_bytes(uint64_t pages) {
  return blocks_of(pages) * (kBlockWords + 1) * sizeof(uint64_t);
}

void DirtyPages::place(void* memory, uint64_t pages) {
  bits_ = static_cast<uint64_t*>(memory);
  counts_ = bits_ + blocks_of(pages) * kBlockWords;
}

uint64_t DirtyPages::count(uint64_t page, uint64_t pages) const {
  const uint64_t end = page + pages;
  const uint64_t first_whole = round_up(page, kBlockPages);
  const uint64_t last_whole = round_down(end, kBlockPages);
  if (first_whole > last_whole) return count_words(page, end);
  uint64_t count = count_words(page, first_whole) + count_words(last_whole, end);
  for (uint64_t block = first_whole / kBlockPages; block < last_whole / kBlockPages; ++block) {
    count += counts_[block];
    ++words_;
  }
  return count;
}

uint64_t DirtyPages::count_words(uint64_t first, uint64_t end) const {
  if (first == end || counts_[first / kBlockPages] == 0) return 0;
  uint64_t count = 0;
  for (uint64_t i = first / 64; i <= (end - 1) / 64; ++i) {
    count += static_cast<uint64_t>(std::popcount(bits_[i] & word_mask(i, first, end)));
    ++words_;
  }
  return count;
}

uint64_t DirtyPages::end_of_last(uint64_t first, uint64_t end, uint64_t most_words, bool& found) const {
  found = false;
  for (uint64_t looked = 0; end > first && looked < most_words; ++looked) {
    ++words_;
    const uint64_t block = (end - 1) / kBlockPages;
    if (counts_[block] == 0) {
      end = std::max(first, block * kBlockPages);
      continue;
    }
    const uint64_t i = (end - 1) / 64;
    const uint64_t word = bits_[i] & word_mask(i, first, end);
    if (word != 0) {
      found = true;
      return i * 64 + 64 - static_cast<uint64_t>(std::countl_zero(word));
    }
    end = std::max(first, i * 64);
  }
  return end;
}

void DirtyPages::write_shared(uint64_t page, uint64_t pages, bool dirty) {
  const uint64_t end = page + pages;
  const uint64_t first_whole = round_up(page, kBlockPages);
  const uint64_t last_whole = round_down(end, kBlockPages);
  if (first_whole > last_whole) {
    write_words(page, end, dirty);
  } else {
    write_words(page, first_whole, dirty);
    write_words(last_whole, end, dirty);
  }
}

void DirtyPages::write_own(uint64_t page, uint64_t pages, bool dirty) {
  const uint64_t last_whole = round_down(page + pages, kBlockPages);
  for (uint64_t at = round_up(page, kBlockPages); at < last_whole; at += kBlockPages) {
    uint64_t& count = counts_[at / kBlockPages];
    // A block that is clean already is left alone: its bits may never have been resident.
    if (!dirty && count == 0) continue;
    std::memset(bits_ + at / 64, dirty ? 0xff : 0, kBlockWords * sizeof(uint64_t));
    count = dirty ? kBlockPages : 0;
  }
}

// All of one block.
void DirtyPages::write_words(uint64_t first, uint64_t end, bool dirty) {
  if (first == end) return;
  uint64_t& count = counts_[first / kBlockPages];
  if (!dirty && count == 0) return;
  for (uint64_t i = first / 64; i <= (end - 1) / 64; ++i) {
    const uint64_t mask = word_mask(i, first, end);
    const uint64_t before = bits_[i];
    const uint64_t after = dirty ? before | mask : before & ~mask;
    bits_[i] = after;
    count += static_cast<uint64_t>(std::popcount(after)) - static_cast<uint64_t>(std::popcount(before));
    ++words_;
  }
}

bool DirtyPages::agrees(uint64_t page, uint64_t pages, uint64_t& next_block) const {
  const uint64_t last = (page + pages - 1) / kBlockPages;
  for (uint64_t block = std::max(page / kBlockPages, next_block); block <= last; ++block) {
    uint64_t count = 0;
    const uint64_t* bits = bits_ + block * kBlockWords;
    // The bits of a block without dirty pages may never have been resident.
    for (uint64_t i = 0; counts_[block] != 0 && i < kBlockWords; ++i) {
      count += static_cast<uint64_t>(std::popcount(bits[i]));
    }
    if (count != counts_[block]) return false;
  }
  next_block = last + 1;
  return true;
}

}  // namespace keel
