// A chain of small objects: the garbage, and the live entries, of several workloads.
#pragma once

#include <cstdint>

#include "workloads/backends/heap_backend.h"

namespace keel {

/// 24 bytes and a pointer-free tail.
template <typename B>
struct Link {
  typename B::template Field<Link> next;
  uint64_t number;
  uint64_t stamp;
};

/// `count` links, numbered count - 1 down to 0 from the head on.
template <typename B>
typename B::template Local<Link<B>> make_chain(uint64_t count, uint64_t bytes, uint64_t stamp) {
  typename B::template Local<Link<B>> head = nullptr;
  for (uint64_t i = 0; i < count; ++i) {
    typename B::template Local<Link<B>> link = B::template make_with_tail<Link<B>>(bytes - sizeof(Link<B>));
    link->next = static_cast<Link<B>*>(head);
    link->number = i;
    link->stamp = stamp;
    head = static_cast<Link<B>*>(link);
  }
  return head;
}

/// True if it is one of `count` links with this stamp, whole and in order.
template <typename B>
bool chain_is_whole(const Link<B>* head, uint64_t count, uint64_t stamp) {
  uint64_t expected = count;
  for (const Link<B>* link = head; link != nullptr; link = link->next.get()) {
    if (expected == 0 || link->number != --expected || link->stamp != stamp) return false;
  }
  return expected == 0;
}

template <typename B>
void release_chain(Link<B>* head) {
  if constexpr (B::kFrees) {
    while (head != nullptr) {
      Link<B>* next = head->next.get();
      B::release(head);
      head = next;
    }
  }
}

template <typename B>
struct ChainSlot {
  typename B::template Field<Link<B>> head;
};

}  // namespace keel
