// See utilization.h.
#include "reports/analysis/utilization.h"

#include <algorithm>
#include <cmath>

namespace keel {

Utilization::Utilization(std::vector<Interruption> interruptions, int64_t begin_ns, int64_t end_ns) {
  end_ns = std::max(end_ns, begin_ns + 1);
  for (Interruption& i : interruptions) {
    i.begin_ns = std::max(i.begin_ns, begin_ns);
    i.end_ns = std::min(i.end_ns, end_ns);
    if (i.begin_ns < i.end_ns) interruptions_.push_back(i);
  }
  struct Step {
    int64_t at;
    double change;
  };
  std::vector<Step> steps;
  steps.reserve(2 * interruptions_.size() + 2);
  for (const Interruption& i : interruptions_) {
    steps.push_back({i.begin_ns, i.share});
    steps.push_back({i.end_ns, -i.share});
  }
  steps.push_back({end_ns, 0});
  std::sort(steps.begin(), steps.end(), [](const Step& a, const Step& b) { return a.at < b.at; });
  times_.push_back(begin_ns);
  integral_.push_back(0);
  double held = 0;
  size_t holding = 0;  // so that sums of shares return to exactly 0
  for (size_t s = 0; s < steps.size();) {
    const int64_t at = steps[s].at;
    if (at > times_.back()) {
      const double level = holding == 0 ? 1 : std::clamp(1 - held, 0.0, 1.0);
      level_.push_back(level);
      integral_.push_back(integral_.back() + level * static_cast<double>(at - times_.back()));
      times_.push_back(at);
    }
    for (; s < steps.size() && steps[s].at == at; ++s) {
      held += steps[s].change;
      if (steps[s].change > 0) ++holding;
      if (steps[s].change < 0) --holding;
    }
    if (holding == 0) held = 0;
  }
}

double Utilization::overall() const { return integral_.back() / static_cast<double>(length_ns()); }

template <typename Visit>
void Utilization::for_each_candidate(int64_t window_ns, Visit&& visit) const {
  // Two sorted sequences of begins, each walked with two cursors: begins on a breakpoint, and ends on one.
  const int64_t last_begin = times_.back() - window_ns;
  size_t far = 0;  // piece that holds the end of the window
  auto at = [&](size_t& piece, int64_t t) {
    while (piece + 2 < times_.size() && times_[piece + 1] <= t) ++piece;
    return integral_[piece] + level_[piece] * static_cast<double>(t - times_[piece]);
  };
  for (size_t i = 0; i < times_.size() && times_[i] <= last_begin; ++i) {
    visit(times_[i], at(far, times_[i] + window_ns) - integral_[i]);
  }
  size_t near = 0;
  for (size_t i = 0; i < times_.size(); ++i) {
    const int64_t begin = times_[i] - window_ns;
    if (begin < times_.front()) continue;
    visit(begin, integral_[i] - at(near, begin));
  }
}

Window Utilization::worst(int64_t window_ns) const {
  if (window_ns >= length_ns()) return {times_.front(), times_.back(), overall()};
  Window worst{times_.front(), times_.front() + window_ns, 2};
  const auto length = static_cast<double>(window_ns);
  for_each_candidate(window_ns, [&](int64_t begin, double running) {
    const double utilization = std::clamp(running / length, 0.0, 1.0);
    if (utilization < worst.utilization) worst = {begin, begin + window_ns, utilization};
  });
  return worst;
}

std::vector<Window> Utilization::worst(int64_t window_ns, size_t count) const {
  if (window_ns >= length_ns()) return {worst(window_ns)};
  std::vector<Window> all;
  all.reserve(2 * times_.size());
  const auto length = static_cast<double>(window_ns);
  for_each_candidate(window_ns, [&](int64_t begin, double running) {
    all.push_back({begin, begin + window_ns, std::clamp(running / length, 0.0, 1.0)});
  });
  std::sort(all.begin(), all.end(), [](const Window& a, const Window& b) {
    return a.utilization != b.utilization ? a.utilization < b.utilization : a.begin_ns < b.begin_ns;
  });
  std::vector<Window> chosen;
  for (const Window& w : all) {
    if (chosen.size() == count) break;
    const bool apart = std::all_of(chosen.begin(), chosen.end(), [&](const Window& c) {
      return w.end_ns <= c.begin_ns || w.begin_ns >= c.end_ns;
    });
    if (apart) chosen.push_back(w);
  }
  return chosen;
}

// Dinkelbach: if lambda is the mean of some window, the window of length >= w that minimises the integral of
// u - lambda has a mean of at most lambda, with equality only at the minimum. The integral is linear in each
// edge between breakpoints, so each edge lies on a breakpoint or the window has length w exactly.
double Utilization::bmu(int64_t window_ns) const {
  if (window_ns >= length_ns()) return overall();
  double lambda = mmu(window_ns);
  for (int round = 0; round < 64; ++round) {
    // For ends on breakpoints: the begin, at least w before, where integral_ - lambda t is largest.
    double best_value = 0;
    double best_mean = lambda;
    double largest = -INFINITY;
    double largest_integral = 0;
    int64_t largest_time = 0;
    size_t begin = 0;
    for (size_t end = 0; end < times_.size(); ++end) {
      while (begin < times_.size() && times_[begin] + window_ns <= times_[end]) {
        const double value = integral_[begin] - lambda * static_cast<double>(times_[begin] - times_.front());
        if (value > largest) {
          largest = value;
          largest_integral = integral_[begin];
          largest_time = times_[begin];
        }
        ++begin;
      }
      if (largest == -INFINITY) continue;
      const double value =
          integral_[end] - lambda * static_cast<double>(times_[end] - times_.front()) - largest;
      if (value < best_value) {
        best_value = value;
        best_mean = (integral_[end] - largest_integral) / static_cast<double>(times_[end] - largest_time);
      }
    }
    if (!(best_mean < lambda)) break;
    lambda = best_mean;
  }
  return std::clamp(lambda, 0.0, 1.0);
}

std::vector<double> Utilization::causes(const Window& window) const {
  std::vector<double> shares;
  const auto length = static_cast<double>(window.end_ns - window.begin_ns);
  for (const Interruption& i : interruptions_) {
    const int64_t overlap = std::min(i.end_ns, window.end_ns) - std::max(i.begin_ns, window.begin_ns);
    if (overlap <= 0) continue;
    if (shares.size() <= i.cause) shares.resize(i.cause + 1, 0);
    shares[i.cause] += i.share * static_cast<double>(overlap) / length;
  }
  return shares;
}

int64_t Utilization::longest_standstill_ns() const {
  int64_t longest = 0;
  int64_t since = times_.front();
  for (size_t i = 0; i < level_.size(); ++i) {
    if (level_[i] > 0) since = times_[i + 1];
    longest = std::max(longest, times_[i + 1] - since);
  }
  return longest;
}

std::vector<int64_t> Utilization::windows(int64_t from_ns) const {
  std::vector<int64_t> result;
  for (int64_t decade = from_ns; decade < length_ns(); decade *= 10) {
    for (const int64_t step : {1, 2, 5}) {
      if (decade <= (length_ns() - 1) / step) result.push_back(decade * step);
    }
    if (decade > length_ns() / 10) break;  // the next would not fit in the longest of lengths
  }
  result.push_back(length_ns());
  return result;
}

}  // namespace keel
