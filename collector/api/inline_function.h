// Inline function: a callable of any type behind one, moved but never copied, stored in place if it is small.
//
// As std::move_only_function of C++23, for the one signature that finalizers and cleanups need. A callable of
// at most kInlineBytes bytes that moves without throwing costs no allocation.
#pragma once

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace keel {

class InlineFunction {
 public:
  /// Three words: a function pointer and two values it needs.
  static constexpr size_t kInlineBytes = 24;

  InlineFunction() = default;
  template <typename F>
  requires(!std::is_same_v<std::decay_t<F>, InlineFunction> && std::is_invocable_v<F&, void*>)
      InlineFunction(F function) {  // NOLINT(google-explicit-constructor): as std::function
    if constexpr (fits<F>) {
      ::new (static_cast<void*>(storage_)) F(std::move(function));
      operations_ = &kInPlace<F>;
    } else {
      ::new (static_cast<void*>(storage_)) F*(new F(std::move(function)));
      operations_ = &kElsewhere<F>;
    }
  }
  InlineFunction(InlineFunction&& other) noexcept { take(other); }
  InlineFunction& operator=(InlineFunction&& other) noexcept {
    if (this != &other) {
      reset();
      take(other);
    }
    return *this;
  }
  InlineFunction(const InlineFunction&) = delete;
  InlineFunction& operator=(const InlineFunction&) = delete;
  ~InlineFunction() { reset(); }

  explicit operator bool() const { return operations_ != nullptr; }
  /// Precondition: it holds a callable.
  void operator()(void* argument) { operations_->call(storage_, argument); }
  /// Destroys what it holds, if anything.
  void reset() noexcept {
    if (operations_ != nullptr) std::exchange(operations_, nullptr)->destroy(storage_);
  }

 private:
  struct Operations {
    void (*call)(void* storage, void* argument);
    void (*move)(void* from, void* to) noexcept;  // leaves nothing to destroy at `from`
    void (*destroy)(void* storage) noexcept;
  };
  template <typename F>
  static constexpr bool fits = sizeof(F) <= kInlineBytes &&
                               alignof(F) <= alignof(void*) && std::is_nothrow_move_constructible_v<F>;
  template <typename F>
  static F& at(void* storage) {
    return *std::launder(static_cast<F*>(storage));
  }
  template <typename F>
  static constexpr Operations kInPlace = {[](void* storage, void* argument) { at<F>(storage)(argument); },
                                          [](void* from, void* to) noexcept {
                                            ::new (to) F(std::move(at<F>(from)));
                                            at<F>(from).~F();
                                          },
                                          [](void* storage) noexcept { at<F>(storage).~F(); }};
  template <typename F>
  static constexpr Operations kElsewhere = {
      [](void* storage, void* argument) { (*at<F*>(storage))(argument); },
      [](void* from, void* to) noexcept { ::new (to) F*(at<F*>(from)); },
      [](void* storage) noexcept { delete at<F*>(storage); }};

  void take(InlineFunction& other) noexcept {
    if (other.operations_ == nullptr) return;
    other.operations_->move(other.storage_, storage_);
    operations_ = std::exchange(other.operations_, nullptr);
  }

  const Operations* operations_ = nullptr;
  alignas(void*) unsigned char storage_[kInlineBytes];
};

}  // namespace keel
