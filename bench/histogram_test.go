package main

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestHistogram holds percentiles against those of the sorted values.
func TestHistogram(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(0, int64(time.Hour)), 1, 200).Draw(t, "values")
		var one, other, all histogram
		for i, v := range values {
			if i%2 == 0 {
				one.record(time.Duration(v))
			} else {
				other.record(time.Duration(v))
			}
		}
		all.add(&one)
		all.add(&other)
		slices.Sort(values)
		for _, q := range []float64{0, 0.5, 0.99, 0.999} {
			want := values[min(int(q*float64(len(values))), len(values)-1)]
			if got := int64(all.at(q)); math.Abs(float64(got-want)) > 0.01*float64(want)+1 {
				t.Fatalf("at(%v) of %v is %d, want about %d", q, values, got, want)
			}
		}
	})
}
