// Out of memory where nothing can be undone, and how not to get there.
//
// A thread of the program that runs out of memory gets std::bad_alloc, and the heap is as it was: what a step
// will need is reserved first (make_room()), and from then on nothing throws. The collector's own threads
// have no caller to tell, and what they do for a stopped mutator cannot be left half done: there the process
// ends with one sentence and status 3, as everywhere else that memory runs out (or_give_up()). That is not a
// fault of the program, so there is no crash report.
#pragma once

#include <algorithm>
#include <cstddef>
#include <new>

namespace keel {

/// Called once, after the sentence and before the process ends; gets the sentence. A last chance to write
/// what was measured: it may find no memory either, and must wait for nobody without a limit.
using ExhaustionHook = void (*)(const char* sentence);
/// null removes it. Threads: while nobody can give up.
void set_exhaustion_hook(ExhaustionHook hook) noexcept;

/// Says that the calling thread of the collector got no memory for its tables, and why (`what`), and ends the
/// process with status 3.
[[noreturn]] void give_up_without_memory(const char* what) noexcept __attribute__((cold, noinline));
/// Says `sentence`, and ends the process with status 3. Threads: any; one sentence is said.
[[noreturn]] void end_out_of_memory(const char* sentence) noexcept __attribute__((cold, noinline));

/// Runs `work`, which nobody could undo: without memory it gives up. Other exceptions pass.
template <typename F>
decltype(auto) or_give_up(F&& work) {
  try {
    return work();
  } catch (const std::bad_alloc& e) {
    give_up_without_memory(e.what());
  }
}

/// Room for one more element of a vector, so that the next push_back() cannot fail. Throws std::bad_alloc,
/// and has changed nothing then.
template <typename Vector>
void make_room(Vector& vector) {
  constexpr size_t kFirstRoom = 4;
  if (vector.size() == vector.capacity()) vector.reserve(std::max(kFirstRoom, 2 * vector.size()));
}

}  // namespace keel
