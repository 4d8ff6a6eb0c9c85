package twin

import "math/bits"

// Histogram counts durations in buckets of at most 1/32 relative width; it allocates nothing after its creation.
type Histogram struct {
	counts [64 * 32]uint64
	count  uint64
	max    int64
}

func bucketOf(ns int64) int {
	if ns < 32 {
		return int(ns)
	}
	shift := bits.Len64(uint64(ns)) - 6
	return shift*32 + int(uint64(ns)>>shift)
}

func boundsOf(bucket int) (int64, int64) {
	if bucket < 64 {
		return int64(bucket), int64(bucket)
	}
	shift := bucket/32 - 1
	low := int64(bucket%32+32) << shift
	return low, low + int64(1)<<shift - 1
}

// Record adds one duration.
func (h *Histogram) Record(ns int64) {
	if ns < 0 {
		ns = 0
	}
	h.counts[bucketOf(ns)]++
	h.count++
	if ns > h.max {
		h.max = ns
	}
}

// Merge adds the counts of another histogram.
func (h *Histogram) Merge(other *Histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.count += other.count
	if other.max > h.max {
		h.max = other.max
	}
}

// Quantile returns an upper bound of the q-quantile, exact to the bucket.
func (h *Histogram) Quantile(q float64) int64 {
	wanted := uint64(q * float64(h.count))
	seen := uint64(0)
	for i, n := range h.counts {
		seen += n
		if n != 0 && seen > wanted {
			_, high := boundsOf(i)
			if high > h.max {
				return h.max
			}
			return high
		}
	}
	return h.max
}

// Section is the report's form: quantiles where the count allows, and the buckets.
func (h *Histogram) Section() map[string]any {
	out := map[string]any{"count": h.count}
	if h.count == 0 {
		return out
	}
	for _, level := range []struct {
		name string
		q    float64
	}{{"p50_ns", 0.5}, {"p90_ns", 0.9}, {"p99_ns", 0.99}, {"p99_9_ns", 0.999}, {"p99_99_ns", 0.9999}} {
		if float64(h.count)*(1-level.q) >= 1 {
			out[level.name] = h.Quantile(level.q)
		}
	}
	out["max_ns"] = h.max
	buckets := [][3]uint64{}
	for i, n := range h.counts {
		if n != 0 {
			low, high := boundsOf(i)
			buckets = append(buckets, [3]uint64{uint64(low), uint64(high), n})
		}
	}
	out["histogram"] = map[string]any{"relative_error": 1.0 / 32, "buckets": buckets}
	return out
}
