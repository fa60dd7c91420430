package delivery

import (
	"sync"
	"time"
)

// downFor is how long a server that failed for everybody is not asked again.
const downFor = time.Second

// A breaker remembers for a moment that the server of a channel failed for
// everybody: or else every letter would wait for the same timeout.
type breaker struct {
	mu      sync.Mutex
	failure *SendError // nil: it may be asked
	until   time.Time
	failing bool // nothing was sent since it failed
}

// open returns a copy of how the server failed a moment ago; nil: ask it.
func (b *breaker) open(now time.Time) *SendError {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failure == nil || !now.Before(b.until) {
		b.failure = nil
		return nil
	}
	return new(*b.failure)
}

// failed notes that the server failed for everybody, and reports whether it worked
// until then.
func (b *breaker) failed(failure SendError, now time.Time) (first bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	first = !b.failing
	failure.Uncertain = false // of the others nothing was handed over
	b.failure, b.until, b.failing = &failure, now.Add(downFor), true
	return first
}

// sent notes that a letter was sent, and reports whether the server had failed
// until then.
func (b *breaker) sent() (again bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	again = b.failing
	b.failure, b.failing = nil, false
	return again
}
