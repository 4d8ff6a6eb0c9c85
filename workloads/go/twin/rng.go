package twin

import "math/bits"

// Rng is xoshiro256** seeded by splitmix64, as allocator/base/rng.h: the same seed gives the same sequence.
type Rng struct{ state [4]uint64 }

// NewRng returns the generator of a seed.
func NewRng(seed uint64) *Rng {
	r := &Rng{}
	for i := range r.state {
		seed += 0x9e3779b97f4a7c15
		z := seed
		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
		z = (z ^ (z >> 27)) * 0x94d049bb133111eb
		r.state[i] = z ^ (z >> 31)
	}
	return r
}

// Next returns 64 random bits.
func (r *Rng) Next() uint64 {
	s := &r.state
	result := bits.RotateLeft64(s[1]*5, 7) * 9
	t := s[1] << 17
	s[2] ^= s[0]
	s[3] ^= s[1]
	s[1] ^= s[2]
	s[0] ^= s[3]
	s[2] ^= t
	s[3] = bits.RotateLeft64(s[3], 45)
	return result
}

// Below returns a number in [0, bound).
func (r *Rng) Below(bound uint64) uint64 {
	high, _ := bits.Mul64(r.Next(), bound)
	return high
}

// Percent is true with probability percent / 100.
func (r *Rng) Percent(percent float64) bool {
	return float64(r.Next()>>11)*0x1p-53*100 < percent
}
