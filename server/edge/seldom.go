package edge

import (
	"sync"
	"time"
)

// A Seldom lets the log hear at most once a minute of what strangers can make happen
// as often as they like. The zero value is ready.
type Seldom struct {
	mu     sync.Mutex
	told   time.Time
	untold int
}

// Happened counts one more. It returns how many the log has not heard of, or zero where
// it heard of others less than a minute ago.
func (s *Seldom) Happened(now time.Time) (times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.untold++
	if !s.told.IsZero() && now.Sub(s.told).Abs() < time.Minute {
		return 0
	}
	times, s.untold, s.told = s.untold, 0, now
	return times
}
