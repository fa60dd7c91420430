package store

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/splitpin/splitpin"
)

// A line is where calls wait until somebody does them. It has its room from the start.
type line[C waiter] struct {
	mu      sync.RWMutex // held shared to hand in, alone to close
	closed  bool
	calls   chan C
	wait    time.Duration // how long a call waits to be begun, at most; zero: as long as its caller
	refused atomic.Uint64 // calls that found it full, or waited too long
}

// A waiter is what stands in a line: it embeds a call.
type waiter interface{ waits() *call }

// A call is one that waits, or did.
type call struct {
	state atomic.Int32
	done  chan struct{} // closed by who did it
}

func newCall() call { return call{done: make(chan struct{})} }

func (c *call) waits() *call { return c }

// start reports whether a call is still to be done, and is the taker's from now on.
func (c *call) start() bool { return c.state.CompareAndSwap(waiting, started) }

const (
	waiting int32 = iota
	started       // somebody does it
	givenUp       // its caller left before that
)

var errBusy = errors.New("too many steps are waiting")

// do hands in a call and waits until it was done. An error says that it never will be:
// the line is full or closed, or ctx or the time to wait ended before it began.
func (l *line[C]) do(ctx context.Context, c C) error {
	if ctx.Err() != nil {
		return unavailable(context.Cause(ctx))
	}
	if err := l.add(c); err != nil {
		return err
	}
	var late <-chan time.Time
	if l.wait > 0 {
		late = time.After(l.wait)
	}
	w := c.waits()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
	case <-late:
	}
	if !w.state.CompareAndSwap(waiting, givenUp) {
		<-w.done // it is under way: what comes of it is the truth
		return nil
	}
	if ctx.Err() != nil {
		return unavailable(context.Cause(ctx))
	}
	l.refused.Add(1)
	return splitpin.ErrUnavailable.After(time.Second).Because(errBusy)
}

func (l *line[C]) add(c C) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return unavailable(errClosed)
	}
	select {
	case l.calls <- c:
		return nil
	default:
		l.refused.Add(1)
		return splitpin.ErrUnavailable.After(time.Second).Because(errBusy)
	}
}

// next returns a call if one waits.
func (l *line[C]) next() (next C, ok bool) {
	select {
	case next, ok = <-l.calls:
		return next, ok
	default:
	}
	// Whoever is about to hand one in does so first: under load a group holds twice as
	// many, and alone nobody is waited for.
	runtime.Gosched()
	select {
	case next, ok = <-l.calls:
	default:
	}
	return next, ok
}

// close lets no further call in, and reports whether it was open. Those that wait are
// still to be done.
func (l *line[C]) close() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.closed = true
	close(l.calls)
	return true
}

// A queue does the calls of its line in groups: those that wait while one group is under
// way are the next. So under load many share what a group costs, and alone nobody waits.
type queue[C waiter] struct {
	line[C]
	ended chan struct{} // closed when the last was done

	lanes    int           // groups under way at once, at most
	patience time.Duration // how long a group is under way before the next begins beside it
	group    int           // calls in a group, at most
	work     func([]C)     // does a group; it may end its goroutine
}

// start begins to do calls, of which size may wait.
func (q *queue[C]) start(size int) {
	q.calls, q.ended = make(chan C, size), make(chan struct{})
	go q.run()
}

func (q *queue[C]) run() {
	defer close(q.ended)
	idle := make(chan []C, q.lanes)
	for range q.lanes {
		idle <- nil
	}
	for {
		group := q.gather(<-idle)
		if len(group) == 0 {
			break
		}
		over := make(chan struct{})
		go func() {
			defer func() { // also where a call ended this goroutine, as a failing test does
				for _, c := range group {
					close(c.waits().done)
				}
				clear(group)
				close(over)
				idle <- group
			}()
			q.work(group)
		}()
		if q.lanes == 1 {
			continue
		}
		select {
		case <-over:
		case <-time.After(q.patience):
		}
	}
	for range q.lanes - 1 {
		<-idle
	}
}

// gather waits for a call, and returns it in group with those that wait by then, all
// started. It returns none when the queue was stopped and is empty.
func (q *queue[C]) gather(group []C) []C {
	group = group[:0]
	for next := range q.calls {
		for more := true; more; {
			if next.waits().start() {
				group = append(group, next)
			}
			if more = len(group) < q.group; more {
				next, more = q.next()
			}
		}
		if len(group) > 0 {
			break
		}
	}
	return group
}

// stop lets no further call in, and waits until those that wait were done.
func (q *queue[C]) stop() {
	q.close()
	<-q.ended
}
