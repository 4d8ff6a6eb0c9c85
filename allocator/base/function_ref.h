// A callable that somebody else keeps: two words, and never memory of its own.
//
// For callbacks that are called before the call they are passed to returns. std::function would take memory
// for a closure of more than two words, and the collector passes closures while the world is stopped, where
// there is nobody to tell that there was none. Threads: as the callable.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

namespace keel {

template <typename Signature>
class FunctionRef;

template <typename R, typename... Arguments>
class FunctionRef<R(Arguments...)> {
 public:
  FunctionRef() = default;
  /// Precondition: `function` outlives this.
  template <typename F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef> && std::is_invocable_r_v<R, F&, Arguments...>)
      FunctionRef(F&& function)
  noexcept  // NOLINT(google-explicit-constructor): as std::function
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(function)))),
        call_([](void* object, Arguments... arguments) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(std::forward<Arguments>(arguments)...);
        }) {}

  explicit operator bool() const { return call_ != nullptr; }
  /// Precondition: it has a callable.
  R operator()(Arguments... arguments) const { return call_(object_, std::forward<Arguments>(arguments)...); }

 private:
  void* object_ = nullptr;
  R (*call_)(void*, Arguments...) = nullptr;
};

}  // namespace keel
