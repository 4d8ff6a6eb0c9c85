// explore::Atomic: std::atomic, every access of which is a point.
//
// Stands behind the name Atomic in the explore build. One thread of a session runs at a time, so what is
// explored are sequentially consistent interleavings; the orders are passed on and mean nothing here.
#pragma once

#include <atomic>

#include "allocator/base/explore/point.h"

namespace keel::explore {

template <typename T>
class Atomic {
 public:
  constexpr Atomic() noexcept = default;
  constexpr Atomic(T value) noexcept : value_(value) {}  // NOLINT(google-explicit-constructor)
  Atomic(const Atomic&) = delete;
  Atomic& operator=(const Atomic&) = delete;

  T load(std::memory_order order = std::memory_order_seq_cst) const noexcept {
    meet(order);
    return value_.load(order);
  }
  void store(T value, std::memory_order order = std::memory_order_seq_cst) noexcept {
    meet(order);
    value_.store(value, order);
  }
  T exchange(T value, std::memory_order order = std::memory_order_seq_cst) noexcept {
    meet(order);
    return value_.exchange(value, order);
  }
  bool compare_exchange_strong(T& expected, T value,
                               std::memory_order order = std::memory_order_seq_cst) noexcept {
    meet(order);
    return value_.compare_exchange_strong(expected, value, order);
  }
  bool compare_exchange_strong(T& expected, T value, std::memory_order success,
                               std::memory_order failure) noexcept {
    meet(success);
    return value_.compare_exchange_strong(expected, value, success, failure);
  }
  bool compare_exchange_weak(T& expected, T value,
                             std::memory_order order = std::memory_order_seq_cst) noexcept {
    meet(order);
    return value_.compare_exchange_strong(expected, value, order);
  }
  bool compare_exchange_weak(T& expected, T value, std::memory_order success,
                             std::memory_order failure) noexcept {
    meet(success);
    return value_.compare_exchange_strong(expected, value, success, failure);
  }
  template <typename D>
  T fetch_add(D change, std::memory_order order = std::memory_order_seq_cst) noexcept {
    meet(order);
    return value_.fetch_add(change, order);
  }
  template <typename D>
  T fetch_sub(D change, std::memory_order order = std::memory_order_seq_cst) noexcept {
    meet(order);
    return value_.fetch_sub(change, order);
  }
  T fetch_or(T bits, std::memory_order order = std::memory_order_seq_cst) noexcept {
    meet(order);
    return value_.fetch_or(bits, order);
  }
  T fetch_and(T bits, std::memory_order order = std::memory_order_seq_cst) noexcept {
    meet(order);
    return value_.fetch_and(bits, order);
  }

  /// Without a point: for the scheduler.
  [[nodiscard]] const std::atomic<T>& real() const noexcept { return value_; }

 private:
  // Inlined always, so that the point is reported at the place of the access.
  __attribute__((always_inline)) void meet(std::memory_order order) const {
    point(order == std::memory_order_relaxed ? Point::kRelaxed : Point::kOrdered, this);
  }
  std::atomic<T> value_{};
};

}  // namespace keel::explore
