package store

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/splitpin/splitpin"
)

// Statements of transactions. They are queries so that they are prepared once.
var (
	beginRead  = newQuery("BEGIN")
	beginWrite = newQuery("BEGIN IMMEDIATE")
	commit     = newQuery("COMMIT")
	rollback   = newQuery("ROLLBACK")
	savepoint  = newQuery("SAVEPOINT step")
	release    = newQuery("RELEASE step")
	rollbackTo = newQuery("ROLLBACK TO step")
)

func (c *connection) begin(write bool) error {
	if !write {
		return c.execute(beginRead)
	}
	if err := c.execute(beginWrite); err != nil {
		return err
	}
	return c.recent.follow(c)
}

// A job is one step on its way through the writer.
type job struct {
	call

	// run does the step on the writer's connection. What it returns is the
	// step's own error; then everything that run wrote is rolled back, and
	// nothing else. It may run twice, when a neighbour in the group failed: then
	// nothing of the first run is left.
	run func(*connection) error

	err   error
	panic *stepPanic // what run panicked with
}

// A stepPanic carries a panic from the writer to the caller of Change, with the
// stack it came from.
type stepPanic struct {
	value any
	stack []byte
}

func (p *stepPanic) Error() string {
	return fmt.Sprintf("%v\n\nin a step of the store:\n%s", p.value, p.stack)
}

func (p *stepPanic) Unwrap() error {
	err, _ := p.value.(error)
	return err
}

var (
	errGoexit = errors.New("a step ended its goroutine")
)

// groupLimit is how many steps one commit holds at most, so that the first of a
// group does not wait for ever while others keep coming.
const groupLimit = 256

// lingerFor is how long loose steps wait for one that must be durable, to share its
// commit: a commit of their own would hold up whoever comes next, and they are in no
// hurry.
const lingerFor = 2 * time.Millisecond

// do has the writer run a step, which may write whatever it likes, and returns its
// outcome once that is durable.
func (s *SQLite) do(ctx context.Context, run func(*connection) error) error {
	return s.doKnown(ctx, func(c *connection) error {
		defer c.recent.clear()
		return run(c)
	})
}

// doKnown is do for a step that keeps what is recent right.
func (s *SQLite) doKnown(ctx context.Context, run func(*connection) error) error {
	j := &job{call: newCall(), run: run}
	if err := s.queue.do(ctx, j); err != nil {
		return err
	}
	if j.panic != nil {
		panic(j.panic)
	}
	return j.err
}

// write is the writer. It takes what waits, runs it in one transaction, commits
// and tells everybody.
func (s *SQLite) write() {
	// A step that ends its goroutine (a test that fails inside a closure does)
	// must not end the store: the group is lost, a new writer goes on.
	finished := false
	var group []*job
	defer func() {
		if finished {
			close(s.written)
			return
		}
		s.writer.execute(rollback)
		s.writer.recent.clear()
		settle(group, unavailable(errGoexit))
		go s.write()
	}()
	for first := range s.queue.calls {
		group = group[:0]
		s.writeGroup(first, &group)
	}
	finished = true
}

// writeGroup runs first and whatever else waits, up to groupLimit, and commits.
// group holds those that were started, for the caller to settle if this does
// not return.
func (s *SQLite) writeGroup(first *job, group *[]*job) {
	var failure error // of the transaction: nothing of the group is kept
	begun, loose := false, true
	var enough <-chan time.Time // when loose steps have waited
	var began time.Time
	next := first
	for next != nil {
		if next.start() {
			*group = append(*group, next)
			if !begun {
				begun, began = true, stopwatch(s.options.Committed)
				s.writer.careful = false
				failure = s.writer.begin(true)
			}
			if failure == nil {
				failure = s.writer.step(next)
			}
			loose = loose && s.writer.loose
			if failure == errSpoilt {
				failure = s.writer.again(*group)
			}
		}
		switch {
		case !begun || !loose:
			enough = nil
		case enough == nil:
			enough = time.After(s.linger)
		}
		next = nil
		if failure == nil && len(*group) < groupLimit {
			next = s.another(enough)
		}
	}
	if !begun {
		return
	}
	ran := stopwatch(s.options.Committed)
	if failure == nil && s.failCommit != nil {
		failure = s.failCommit()
	}
	if failure == nil {
		failure = s.writer.execute(commit)
	}
	if failure != nil {
		failure = unavailable(failure)
		s.writer.recent.clear()
		if !s.writer.AutocommitEnabled() {
			s.writer.execute(rollback)
		}
	}
	s.lastGroup.Store(int64(len(*group)))
	if s.options.Committed != nil {
		s.options.Committed(Commit{Steps: len(*group), Ran: ran.Sub(began), Synced: time.Since(ran), Failed: failure != nil})
	}
	settle(*group, failure)
	clear(*group)
	*group = (*group)[:0]
}

// another returns a further step for the group; nil when there is none, or the store
// closes.
func (s *SQLite) another(enough <-chan time.Time) *job {
	if enough != nil {
		select {
		case j := <-s.queue.calls:
			return j
		case <-enough:
			return nil
		}
	}
	j, _ := s.queue.next()
	return j
}

// stopwatch is the time where somebody wants to know how long commits take.
func stopwatch(wanted func(Commit)) time.Time {
	if wanted == nil {
		return time.Time{}
	}
	return time.Now()
}

// settle tells the callers of a group. A failure counts for all of them: what
// one of them saw may have come from a neighbour that is lost now.
func settle(group []*job, failure error) {
	for _, j := range group {
		if failure != nil {
			j.err, j.panic = failure, nil
		}
		close(j.done)
	}
}

// errSpoilt says that a step failed after it may have written, and that nothing
// can undo that but the end of the transaction.
var errSpoilt = errors.New("a step failed in the midst of its writes")

// step runs one job inside the transaction. It returns an error only when the
// transaction itself is broken; the job's own error stays with the job.
func (c *connection) step(j *job) error {
	c.broken, c.spoilt, c.loose = nil, false, false
	j.err, j.panic = nil, nil
	j.err = c.guarded(j)
	switch {
	case c.broken != nil:
		return c.broken
	case j.err != nil && passing(j.err):
		return j.err
	case c.spoilt:
		return errSpoilt
	}
	return nil
}

// again starts the transaction anew and runs a group once more, now with a way
// back from each step. Steps hardly ever fail once they write, so the way back,
// two statements and a copy of every page, is only paid for when one did.
func (c *connection) again(group []*job) error {
	c.careful = true // to the end of the group
	c.recent.clear()

	if err := c.execute(rollback); err != nil {
		return err
	}
	if err := c.begin(true); err != nil {
		return err
	}
	for _, j := range group {
		if err := c.step(j); err != nil {
			return err
		}
	}
	return nil
}

// guarded runs a job and keeps its panic.
func (c *connection) guarded(j *job) (err error) {
	defer func() {
		if value := recover(); value != nil {
			j.panic = &stepPanic{value, debug.Stack()}
		}
	}()
	return j.run(c)
}

// atomically runs f inside a savepoint: an error or a panic of f undoes what it
// wrote, and nothing else.
func (c *connection) atomically(f func() error) error {
	if err := c.execute(savepoint); err != nil {
		return err
	}
	kept := false
	defer func() {
		if kept {
			return
		}
		c.recent.clear()
		if !c.AutocommitEnabled() {
			c.broken = errors.Join(c.execute(rollbackTo), c.execute(release))
		}
	}()
	if err := f(); err != nil {
		return err
	}
	if err := c.execute(release); err != nil {
		return err
	}
	kept = true
	return nil
}

// attemptsPerStep is how often a step runs before a record that it wants to
// create, and that is there already, becomes ErrConflict.
const attemptsPerStep = 3

// Change implements [splitpin.Store].
func (s *SQLite) Change(ctx context.Context, reads splitpin.Reads, decide func(*splitpin.Records) (splitpin.Writes, error)) error {
	return s.doKnown(ctx, func(c *connection) error {
		for range attemptsPerStep {
			records, err := c.load(reads)
			if err != nil {
				return err
			}
			there := keysOf(records, reads)
			writes, err := decide(records)
			if err != nil {
				return err
			}
			switch err := c.commitLater(writes, there); {
			case err == nil:
				c.loose = writes.Loose
				return nil
			case !errors.Is(err, errTaken) || c.spoilt:
				return err
			}
			s.conflicts.Add(1)
		}
		return splitpin.ErrConflict.Because(errTaken)
	})
}

// commitLater saves writes as part of the group, all or nothing: where that is not
// possible, the connection is spoilt.
func (c *connection) commitLater(w splitpin.Writes, there keys) error {
	if len(w.Delete)+len(w.Create)+len(w.Put) == 0 {
		return nil
	}
	if c.careful {
		return c.atomically(func() error { return c.save(w, there) })
	}
	c.spoilt = true // also for a panic
	if err := c.save(w, there); err != nil {
		return err
	}
	c.spoilt = false
	return nil
}
