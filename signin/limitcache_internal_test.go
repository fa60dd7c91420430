package signin

import (
	"testing"
	"time"

	"github.com/splitpin/splitpin"
)

// Whoever refuses millions needs no memory for millions, and a clock that goes back
// does not make a refusal last.
func TestLimitCacheIsBounded(t *testing.T) {
	var m limitCache
	now := time.Date(2026, 11, 22, 14, 3, 7, 0, time.UTC)
	charge := func(i int) splitpin.Charge {
		return splitpin.Charge{Key: int64(i), Burst: 1, Period: time.Minute, Cost: 1}
	}
	const n = 3 * tableMax
	for i := range n {
		m.learn(now, []splitpin.Charge{charge(i)}, 0, time.Minute)
	}
	if len(m.limits) > tableMax {
		t.Errorf("%d limits are remembered, want at most %d", len(m.limits), tableMax)
	}
	last := []splitpin.Charge{charge(n - 1)}
	if refused, wait, known := m.answer(now.Add(time.Second), last); !known || refused != 0 || wait != 59*time.Second {
		t.Errorf("the newest: %d, %v, %v; want it refused for 59 s", refused, wait, known)
	}
	for _, at := range []time.Time{now.Add(-time.Hour), now.Add(time.Minute)} {
		if _, _, known := m.answer(at, last); known {
			t.Errorf("refused from memory at %v", at)
		}
	}
}
