package store

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/splitpin/splitpin"
)

// flushed writes the limits of s to the file now.
func flushed(t *testing.T, s *SQLite) {
	t.Helper()
	if err := s.flush(func(run func(*connection) error) error { return s.do(context.Background(), run) }); err != nil {
		t.Fatal(err)
	}
}

// TestLimitsOfTwoProcesses: of a limit that two of them charged the stricter mark
// counts, in both and in the file, whoever writes last.
func TestLimitsOfTwoProcesses(t *testing.T) {
	for name, costs := range map[string][2]int{"the first is stricter": {4, 1}, "the second is stricter": {1, 4}} {
		path := filepath.Join(t.TempDir(), "splitpin.db")
		open := func() *SQLite {
			s, err := OpenSQLite(t.Context(), path, Options{FlushEvery: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			return s
		}
		first, second := open(), open()
		now := time.Now()
		take := func(s *SQLite, cost int) int {
			refused, _, err := s.Take(t.Context(), now, splitpin.Charge{Key: 1, Burst: 5, Period: time.Hour, Cost: cost})
			if err != nil {
				t.Fatal(err)
			}
			return refused
		}
		take(first, costs[0])
		take(second, costs[1])
		flushed(t, first)
		flushed(t, second)
		if take(second, 2) != 0 {
			t.Errorf("%s: the second process admits two where one is left", name)
		}
		if take(open(), 2) != 0 {
			t.Errorf("%s: a process that starts later admits two where one is left", name)
		}
	}
}

// TestFullLimitsAreForgotten: a limit that is full again costs no memory, here or
// after the next start, and what was given back is not taken again by a restart.
func TestFullLimitsAreForgotten(t *testing.T) {
	s, path := openTest(t, Options{FlushEvery: time.Hour})
	now := time.Now()
	take := func(s *SQLite, c splitpin.Charge) int {
		refused, _, err := s.Take(t.Context(), now, c)
		if err != nil {
			t.Fatal(err)
		}
		return refused
	}
	take(s, anHour(1, 1))
	take(s, splitpin.Charge{Key: 2, Burst: 1, Period: time.Microsecond, Cost: 1}) // full when anybody looks again
	flushed(t, s)
	back := anHour(1, 1)
	back.Cost = -1
	take(s, back)
	if n := s.Stats().Limits; n != 1 {
		t.Errorf("%d limits are kept, want the one that was not given back", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := OpenSQLite(t.Context(), path, Options{FlushEvery: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if n := again.Stats().Limits; n != 0 {
		t.Errorf("%d limits are kept after a restart, want none", n)
	}
	if take(again, anHour(1, 1)) != -1 {
		t.Error("what was given back was forgotten")
	}

	l := limits{marks: map[int64]int64{1: 1, 2: 2, 3: 3, 4: now.Add(time.Hour).UnixMicro()}, dirty: map[int64]int64{}}
	if gone := l.prune(now, 2); gone != 2 || len(l.marks) != 2 {
		t.Errorf("%d were forgotten and %d are left, want 2 and 2", gone, len(l.marks))
	}
	if gone := l.prune(now, 2); gone != 1 || l.marks[4] == 0 {
		t.Errorf("%d were forgotten, want the last that is full", gone)
	}
}

// TestFindDead: the oldest records are looked at in every call, and of the others a
// window, round and round.
func TestFindDead(t *testing.T) {
	var table []int64 // numbers; those that end in 7 are dead
	for n := int64(1); n <= 2*sweepWindow+5; n++ {
		table = append(table, n)
	}
	look := func(from int64, window, limit int) ([]int64, int64, error) {
		found := looked{limit: limit, last: from}
		start, _ := slices.BinarySearch(table, from+1)
		for _, n := range table[start:min(start+window, len(table))] {
			found.see(n, n%10 == 7)
		}
		dead, last := found.end(window)
		return dead, last, nil
	}
	next := int64(0)
	call := func(limit int) []int64 {
		t.Helper()
		dead, err := sweepTable{}.findDead(&next, limit, look)
		if err != nil || len(dead) > limit {
			t.Fatalf("%d dead records were found where at most %d were asked for, error %v", len(dead), limit, err)
		}
		table = slices.DeleteFunc(table, func(n int64) bool { return slices.Contains(dead, n) })
		return dead
	}
	if dead := call(3); !slices.Equal(dead, []int64{7, 17, 27}) {
		t.Errorf("found %v, want the oldest", dead)
	}
	for calls := 0; slices.ContainsFunc(table, func(n int64) bool { return n%10 == 7 }); calls++ {
		if call(5000); calls > 10 {
			t.Fatal("some dead records are never found")
		}
	}
	table = append([]int64{7}, table...) // one below where the window stands
	next = sweepWindow
	if call(10); slices.Contains(table, 7) {
		t.Error("an old record was not looked at")
	}
	table[sweepOldest+100] = 10*table[sweepOldest+100] + 7
	slices.Sort(table)
	for calls := 0; slices.ContainsFunc(table, func(n int64) bool { return n%10 == 7 }); calls++ {
		if call(10); calls > 10 {
			t.Fatal("the window does not come round again")
		}
	}
}

// TestSweepDeletesTheDeadOnly: what was renewed after it was found dead is left.
func TestSweepDeletesTheDeadOnly(t *testing.T) {
	s, _ := openTest(t, Options{})
	if err := save(s, splitpin.Writes{Create: []splitpin.Record{event(5), event(50)}}); err != nil {
		t.Fatal(err)
	}
	if err := s.do(t.Context(), func(c *connection) error {
		return errors.Join(c.execute(sweepEvents.remove, 10, 5), c.execute(sweepEvents.remove, 10, 50))
	}); err != nil {
		t.Fatal(err)
	}
	if got := found(t, s); len(got) != 1 || !got[50] {
		t.Errorf("found events %v, want 50", got)
	}
}

// TestClaimAndSweepRunAgain: in a group that runs again, what the first run claimed or
// counted does not count.
func TestClaimAndSweepRunAgain(t *testing.T) {
	s, _ := openTest(t, Options{})
	now := time.UnixMicro(1_000_000).UTC()
	if err := save(s, splitpin.Writes{Create: []splitpin.Record{
		event(1), &splitpin.Message{Number: 7, DueAt: now, ExpiresAt: now.Add(time.Hour)},
	}}); err != nil {
		t.Fatal(err)
	}
	queued(t, s, func(step func(func())) {
		step(func() {
			claimed, err := s.ClaimMessages(context.Background(), now, now.Add(time.Minute), 9)
			if err != nil || len(claimed) != 1 || claimed[0].Message.Tries != 1 {
				t.Errorf("%d messages were claimed, error %v; want one, tried once", len(claimed), err)
			}
		})
		step(func() {
			if n, err := s.Sweep(context.Background(), now, now, 9); n != 1 || err != nil {
				t.Errorf("%d records were swept, error %v; want the event", n, err)
			}
		})
		step(func() { // fails after the event was written
			if err := save(s, splitpin.Writes{Create: []splitpin.Record{event(2)}, Put: []splitpin.Record{event(99)}}); err == nil {
				t.Error("the step did not fail")
			}
		})
	})
}

// TestInterruptedReads: whoever leaves ends a long read, and the next one on that
// connection does not notice.
func TestInterruptedReads(t *testing.T) {
	s, _ := openTest(t, Options{Readers: 1})
	ctx, cancel := context.WithCancel(t.Context())
	err := s.scanning(ctx, func(c *connection) error {
		if _, err := c.number(counterGet, "version"); err != nil {
			t.Fatal(err)
		}
		cancel()
		_, err := c.number(counterGet, "version")
		return err
	})
	if !errors.Is(err, splitpin.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want ErrUnavailable because of the context", err)
	}
	if _, err := s.Version(t.Context()); err != nil {
		t.Errorf("the next read: %v", err)
	}
	err = s.read(t.Context(), func(*connection) error { return sqlite.ResultIOErrRead.ToError() })
	if !errors.Is(err, splitpin.ErrUnavailable) {
		t.Errorf("a disk that cannot be read: got error %v, want ErrUnavailable", err)
	}
	err = s.read(t.Context(), func(c *connection) error { return c.save(splitpin.Writes{Create: []splitpin.Record{event(1)}}, nil) })
	if sqlite.ErrCode(err) != sqlite.ResultReadOnly {
		t.Errorf("a reader that writes: got error %v, want that it may not", err)
	}
}

// TestCloseWaitsForReaders: a connection that is at work is closed when it is done.
func TestCloseWaitsForReaders(t *testing.T) {
	s, _ := openTest(t, Options{Readers: 1})
	var wg sync.WaitGroup
	err := s.read(t.Context(), func(c *connection) error {
		wg.Go(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		<-s.written
		_, err := c.number(counterGet, "version")
		return err
	})
	if err != nil {
		t.Error(err)
	}
	wg.Wait()
	if n := len(s.readers); n != 0 {
		t.Error("a connection was left open")
	}
}
