package signin

import (
	"net/netip"
	"testing"
	"time"
)

// Garbage from millions of networks needs no memory for millions; suspicion ends, and
// a clock that goes back does not make it last.
func TestSuspectsAreBounded(t *testing.T) {
	var s suspects
	now := time.Date(2026, 11, 22, 14, 3, 7, 0, time.UTC)
	for i := range 3 * tableMax {
		s.garbage(now, Caller{Addr: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})})
	}
	s.all = tally{}
	if len(s.networks) > tableMax {
		t.Errorf("%d networks are remembered, want at most %d", len(s.networks), tableMax)
	}
	flood := Caller{Addr: netip.MustParseAddr("2001:db8::1")}
	for range garbageOfNetwork {
		s.garbage(now, flood)
	}
	for _, test := range []struct {
		at   time.Time
		want bool
	}{
		{now, true}, {now.Add(garbageWindow - time.Second), true}, {now.Add(garbageWindow), false}, {now.Add(-time.Hour), false},
	} {
		if got := s.lookFirst(test.at, flood); got != test.want {
			t.Errorf("at %v: suspect is %v, want %v", test.at.Sub(now), got, test.want)
		}
	}
}
