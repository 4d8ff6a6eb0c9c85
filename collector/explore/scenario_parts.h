// The scenarios' functions, for the list.
#pragma once

#include "collector/explore/scenario.h"

namespace keel::explore {

void run_marking(const Variant& variant, uint64_t seed);
void run_tiny(const Variant& variant, uint64_t seed);
void run_attach(const Variant& variant, uint64_t seed);
void run_blocking(const Variant& variant, uint64_t seed);
void run_fork(const Variant& variant, uint64_t seed);
void run_assist(const Variant& variant, uint64_t seed);
void run_overflow(const Variant& variant, uint64_t seed);
void run_small_overflow(const Variant& variant, uint64_t seed);
void run_late_overflow(const Variant& variant, uint64_t seed);
void run_finalizers(const Variant& variant, uint64_t seed);
void run_weak(const Variant& variant, uint64_t seed);
void run_sweep(const Variant& variant, uint64_t seed);
void run_limit(const Variant& variant, uint64_t seed);

}  // namespace keel::explore
