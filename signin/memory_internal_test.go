package signin

import (
	"net/netip"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
)

// Whoever refuses millions needs no memory for millions, and a clock that goes back
// does not make a refusal last.
func TestMemoryIsBounded(t *testing.T) {
	var m memory
	now := time.Date(2026, 11, 22, 14, 3, 7, 0, time.UTC)
	charge := func(i int) splitpin.Charge {
		return splitpin.Charge{Key: int64(i), Burst: 1, Period: time.Minute, Cost: 1}
	}
	const n = 3 * memoryMax
	for i := range n {
		m.learn(now, []splitpin.Charge{charge(i)}, 0, time.Minute)
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		m.suspect(now, Caller{Addr: a})
	}
	if len(m.limits) > memoryMax || len(m.suspects) > memoryMax {
		t.Errorf("%d limits and %d networks are remembered, want at most %d", len(m.limits), len(m.suspects), memoryMax)
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
