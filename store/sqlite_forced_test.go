package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/store/storetest"
)

// These tests force on the SQLite store what would happen by chance only: a commit that
// fails, a transaction that breaks, steps that stand in the queue just then.

// queued holds the writer while f hands in steps, and returns when all have ended. Each
// stands in the queue before the next is handed in.
func queued(t *testing.T, s *SQLite, f func(step func(func()))) {
	t.Helper()
	inside, leave := make(chan struct{}), make(chan struct{})
	var once sync.Once // it may run again
	var wg sync.WaitGroup
	wg.Go(func() {
		s.do(context.Background(), func(*connection) error {
			once.Do(func() { close(inside) })
			<-leave
			return nil
		})
	})
	<-inside
	n := 0
	f(func(step func()) {
		wg.Go(step)
		for n++; len(s.queue.calls) < n; {
			runtime.Gosched()
		}
	})
	close(leave)
	wg.Wait()
}

// panicked runs f and returns its panic as an error.
func panicked(f func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = fmt.Errorf("panic: %v", value)
		}
	}()
	return f()
}

// TestCommitFailsByItself: what SQLite says at COMMIT counts for everybody in it, also
// for a step that panicked.
func TestCommitFailsByItself(t *testing.T) {
	s, _ := openTest(t, Options{})
	// The writer is idle: nobody else uses its connection.
	for _, statement := range []string{
		"PRAGMA foreign_keys = ON",
		"CREATE TABLE parents (id INTEGER PRIMARY KEY)",
		"CREATE TABLE children (parent INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED)",
	} {
		if err := sqlitex.ExecuteTransient(s.writer.Conn, statement, nil); err != nil {
			t.Fatal(err)
		}
	}
	var errs [3]error
	queued(t, s, func(step func(func())) {
		step(func() { errs[0] = save(s, splitpin.Writes{Create: []splitpin.Record{event(1)}}) })
		step(func() {
			errs[1] = s.do(context.Background(), func(c *connection) error {
				return sqlitex.ExecuteTransient(c.Conn, "INSERT INTO children VALUES (7)", nil)
			})
		})
		step(func() {
			errs[2] = panicked(func() error {
				return s.do(context.Background(), func(*connection) error { panic("on purpose") })
			})
		})
	})
	for i, err := range errs {
		if !errors.Is(err, splitpin.ErrUnavailable) || sqlite.ErrCode(err) != sqlite.ResultConstraintForeignKey {
			t.Errorf("step %d: got error %v, want ErrUnavailable because of what COMMIT said", i, err)
		}
	}
	if got := found(t, s); len(got) != 0 {
		t.Errorf("found events %v after a commit that failed", got)
	}
	if err := save(s, splitpin.Writes{Create: []splitpin.Record{event(2)}}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestNoStepWithoutATransaction: where none can begin, no step runs, or its writes
// would be kept one by one.
func TestNoStepWithoutATransaction(t *testing.T) {
	s, path := openTest(t, Options{Patience: time.Millisecond})
	other, err := open(path, sqlite.OpenReadWrite, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.begin(true); err != nil {
		t.Fatal(err)
	}
	err = s.Change(t.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
		t.Error("the step ran")
		return splitpin.Writes{}, nil
	})
	if !errors.Is(err, splitpin.ErrUnavailable) {
		t.Errorf("got error %v, want ErrUnavailable", err)
	}
}

// TestStepsBehindABrokenTransaction: who stood in the queue when it broke is in the
// next one.
func TestStepsBehindABrokenTransaction(t *testing.T) {
	s, _ := openTest(t, Options{})
	var errs [3]error
	queued(t, s, func(step func(func())) {
		step(func() { errs[0] = save(s, splitpin.Writes{Create: []splitpin.Record{event(1)}}) })
		step(func() {
			errs[1] = s.do(context.Background(), func(*connection) error { return sqlite.ResultIOErr.ToError() })
		})
		step(func() { errs[2] = save(s, splitpin.Writes{Create: []splitpin.Record{event(3)}}) })
	})
	for i, err := range errs[:2] {
		if !errors.Is(err, splitpin.ErrUnavailable) {
			t.Errorf("step %d: got error %v, want ErrUnavailable", i, err)
		}
	}
	if got := found(t, s); errs[2] != nil || len(got) != 1 || !got[3] {
		t.Errorf("the step behind them: error %v, and found events %v; want 3", errs[2], got)
	}
}

// TestSavepointThatIsGone: where what a step wrote cannot be undone alone, nothing of
// its group is kept.
func TestSavepointThatIsGone(t *testing.T) {
	s, _ := openTest(t, Options{})
	own := errors.New("own")
	var errs [2]error
	queued(t, s, func(step func(func())) {
		step(func() { errs[0] = save(s, splitpin.Writes{Create: []splitpin.Record{event(1)}}) })
		step(func() {
			errs[1] = s.do(context.Background(), func(c *connection) error {
				return c.atomically(func() error {
					return errors.Join(c.save(splitpin.Writes{Create: []splitpin.Record{event(2)}}, nil), c.execute(release), own)
				})
			})
		})
	})
	for i, err := range errs {
		if !errors.Is(err, splitpin.ErrUnavailable) {
			t.Errorf("step %d: got error %v, want ErrUnavailable", i, err)
		}
	}
	if got := found(t, s); len(got) != 0 {
		t.Errorf("found events %v", got)
	}
}

// TestPanicOfTheFirstRun: when a group runs again, what a step did in the first run does
// not count, a panic neither.
func TestPanicOfTheFirstRun(t *testing.T) {
	s, _ := openTest(t, Options{})
	runs := 0
	var errs [2]error
	queued(t, s, func(step func(func())) {
		step(func() {
			errs[0] = panicked(func() error {
				return s.Change(context.Background(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
					if runs++; runs == 1 {
						panic("on purpose")
					}
					return splitpin.Writes{Create: []splitpin.Record{event(1)}}, nil
				})
			})
		})
		step(func() { // fails after the event was written
			errs[1] = save(s, splitpin.Writes{Create: []splitpin.Record{event(2)}, Put: []splitpin.Record{event(99)}})
		})
	})
	if got := found(t, s); errs[0] != nil || errs[1] == nil || runs != 2 || len(got) != 1 || !got[1] {
		t.Errorf("errors %v after %d runs, and found events %v; want the second only, 2 runs, and event 1", errs, runs, got)
	}
}

// TestGroupsAreBounded: however many wait, one commit holds groupLimit of them.
func TestGroupsAreBounded(t *testing.T) {
	var largest, steps int
	s, _ := openTest(t, Options{Committed: func(c Commit) {
		largest = max(largest, c.Steps)
		steps += c.Steps
	}})
	queued(t, s, func(step func(func())) {
		for i := range 2 * groupLimit {
			step(func() {
				if err := save(s, splitpin.Writes{Create: []splitpin.Record{event(int64(i + 1))}}); err != nil {
					t.Error(err)
				}
			})
		}
	})
	if largest != groupLimit || steps < 2*groupLimit {
		t.Errorf("the largest commit held %d steps, want %d", largest, groupLimit)
	}
}

// TestEndedContextTakesNoPlace: whoever left before keeps nobody out of the queue.
func TestEndedContextTakesNoPlace(t *testing.T) {
	s, _ := openTest(t, Options{})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	queued(t, s, func(func(func())) {
		err := s.Change(ended, splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) { return splitpin.Writes{}, nil })
		if !errors.Is(err, splitpin.ErrUnavailable) {
			t.Errorf("got error %v, want ErrUnavailable", err)
		}
		if n := len(s.queue.calls); n != 0 {
			t.Errorf("%d steps stand in the queue, want none", n)
		}
	})
}

// TestNumbersAreReservedForAll: one caller at a time makes sure of another block, and
// for the others too, so that its own patience does not count.
func TestNumbersAreReservedForAll(t *testing.T) {
	var n numbers
	ctx, cancel := context.WithCancel(t.Context())
	number, err := n.take(ctx, func(ctx context.Context) (int64, error) {
		cancel()
		if ctx.Err() != nil {
			t.Error("the reservation ends with its caller's patience")
		}
		if n.mu.TryLock() {
			t.Error("another caller could reserve a block at the same time")
		}
		return 5 * numberBlock, nil
	})
	if err != nil || number != 4*numberBlock+1 {
		t.Errorf("got %d, error %v; want the first of the block", number, err)
	}
}

// TestNumbersAreOfNow: a process that has little to do takes new numbers all the same, so
// that their order is nearly that of what happened. A clock that went back counts as age.
func TestNumbersAreOfNow(t *testing.T) {
	var n numbers
	blocks := int64(0)
	take := func() int64 {
		t.Helper()
		number, err := n.take(t.Context(), func(context.Context) (int64, error) { blocks++; return blocks * numberBlock, nil })
		if err != nil {
			t.Fatal(err)
		}
		return number
	}
	for i, test := range []struct {
		age   time.Duration // of the block
		block int64         // that the number is of
	}{{0, 1}, {blockFor / 2, 1}, {blockFor + time.Second, 2}, {0, 2}, {-time.Hour, 3}} {
		n.reserved = n.reserved.Add(-test.age)
		if number := take(); (number-1)/numberBlock+1 != test.block {
			t.Errorf("take %d: number %d, want one of block %d", i, number, test.block)
		}
	}
	if eventsApart <= 2*blockFor {
		t.Errorf("events may be %s apart from their numbers, which are up to %s old", eventsApart, blockFor)
	}
}

// TestPutOfWhatWasDeleted: a record that a step deletes itself is not there to be
// replaced.
func TestPutOfWhatWasDeleted(t *testing.T) {
	s, _ := openTest(t, Options{})
	u := storetest.User(1, 2)
	if err := save(s, splitpin.Writes{Create: []splitpin.Record{u}}); err != nil {
		t.Fatal(err)
	}
	err := s.Change(t.Context(), splitpin.Reads{User: u.Number}, func(r *splitpin.Records) (splitpin.Writes, error) {
		return splitpin.Writes{Delete: []splitpin.Record{r.User}, Put: []splitpin.Record{r.User}}, nil
	})
	if err == nil || splitpin.ErrorOf(err) != nil {
		t.Errorf("got error %v, want an internal one", err)
	}
	if r, err := s.Load(t.Context(), splitpin.Reads{User: u.Number}); err != nil || r.User == nil {
		t.Errorf("the user of a step that failed is gone (error %v)", err)
	}
}

// TestReadsSeeOneMoment: what is committed between two statements of a read is not seen
// by the second.
func TestReadsSeeOneMoment(t *testing.T) {
	s, _ := openTest(t, Options{})
	err := s.read(t.Context(), func(c *connection) error {
		for range 2 {
			list, err := all(c, auditEvents, eventsNewer, 0, 0, 0, "", 0, "", 9)
			if err != nil || len(list) != 0 {
				t.Errorf("%d events are seen, error %v; want none", len(list), err)
			}
			if err := save(s, splitpin.Writes{Create: []splitpin.Record{event(time.Now().UnixNano())}}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestClosingSQLite: from the moment of Close on, no call begins, though the step under
// way is kept.
func TestClosingSQLite(t *testing.T) {
	s, path := openTest(t, Options{})
	inside, leave := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := s.Change(context.Background(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
			close(inside)
			<-leave
			return splitpin.Writes{Create: []splitpin.Record{event(1)}}, nil
		})
		if err != nil {
			t.Errorf("the step under way: %v", err)
		}
	})
	<-inside
	wg.Go(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	<-s.stop
	if _, err := s.Load(t.Context(), splitpin.Reads{User: 1}); !errors.Is(err, splitpin.ErrUnavailable) {
		t.Errorf("Load: got error %v, want ErrUnavailable", err)
	}
	if _, _, err := s.Take(t.Context(), time.Now(), anHour(1, 1)); !errors.Is(err, splitpin.ErrUnavailable) {
		t.Errorf("Take: got error %v, want ErrUnavailable", err)
	}
	if err := save(s, splitpin.Writes{Create: []splitpin.Record{event(2)}}); !errors.Is(err, splitpin.ErrUnavailable) {
		t.Errorf("Change: got error %v, want ErrUnavailable", err)
	}
	close(leave)
	wg.Wait()
	again, err := OpenSQLite(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if got := found(t, again); len(got) != 1 || !got[1] {
		t.Errorf("found events %v, want 1", got)
	}
}

// TestCloseMeetsSteps: while steps keep coming, Close takes in those that came before
// it and refuses the others. The race detector sees what chance does not.
func TestCloseMeetsSteps(t *testing.T) {
	s, path := openTest(t, Options{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	saved := map[int64]bool{}
	begun := make(chan struct{}, 4)
	for i := range cap(begun) {
		wg.Go(func() {
			for n := int64(1); ; n++ {
				number := int64(i)*1_000_000 + n
				if err := save(s, splitpin.Writes{Create: []splitpin.Record{event(number)}}); err != nil {
					if !errors.Is(err, splitpin.ErrUnavailable) {
						t.Error(err)
					}
					return
				}
				mu.Lock()
				saved[number] = true
				mu.Unlock()
				if n == 1 {
					begun <- struct{}{}
				}
			}
		})
	}
	for range cap(begun) {
		<-begun
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	again, err := OpenSQLite(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	list, err := again.AuditEvents(t.Context(), splitpin.AuditFilter{}, 1<<30)
	if err != nil || len(list) != len(saved) {
		t.Errorf("%d steps were told that they were saved, and %d are there (error %v)", len(saved), len(list), err)
	}
}
