package main

import (
	"math/bits"
	"time"
)

// A histogram counts durations in buckets that are a sixty-fourth of their value
// wide, so that a percentile is right within 1 % from nanoseconds to hours. The
// zero value is empty. One goroutine records at a time.
type histogram struct {
	counts [(64 - subBits) << subBits]uint32
	n      uint64
	max    time.Duration
}

const subBits = 6

func (h *histogram) record(d time.Duration) {
	h.counts[bucket(uint64(max(d, 0)))]++
	h.n++
	h.max = max(h.max, d)
}

func bucket(v uint64) int {
	shift := max(bits.Len64(v)-subBits-1, 0)
	return shift<<subBits + int(v>>shift)
}

// middle is the inverse of bucket: the middle of the bucket's values.
func middle(i int) time.Duration {
	shift := max(i>>subBits-1, 0)
	low := uint64(i-shift<<subBits) << shift
	return time.Duration(low + (1<<shift)/2)
}

func (h *histogram) add(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.n += other.n
	h.max = max(h.max, other.max)
}

// at returns the duration that the share q of all records does not exceed; zero
// where nothing was recorded.
func (h *histogram) at(q float64) time.Duration {
	rank := uint64(q * float64(h.n))
	var seen uint64
	for i, n := range h.counts {
		if seen += uint64(n); seen > rank {
			return min(middle(i), h.max)
		}
	}
	return h.max
}
