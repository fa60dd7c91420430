package store

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
)

func TestStatsOfAStoreAtWork(t *testing.T) {
	var mu sync.Mutex
	var commits []Commit
	s, _ := openTest(t, Options{Queue: 2, Readers: 2, Committed: func(c Commit) {
		mu.Lock()
		defer mu.Unlock()
		commits = append(commits, c)
	}})
	if got := s.Stats(); got != (Stats{Queue: 2, Connections: 2}) {
		t.Errorf("idle, the store says %+v", got)
	}

	// One step holds the writer, two wait, and one more finds no place.
	running, goOn := make(chan struct{}), make(chan struct{})
	var steps sync.WaitGroup
	steps.Go(func() {
		s.Change(context.Background(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
			close(running)
			<-goOn
			return splitpin.Writes{Create: []splitpin.Record{event(1)}}, nil
		})
	})
	<-running
	for n := range int64(2) {
		j := &job{call: newCall(), run: func(c *connection) error {
			return c.commitLater(splitpin.Writes{Create: []splitpin.Record{event(2 + n)}}, nil)
		}}
		if err := s.queue.add(j); err != nil {
			t.Fatal(err)
		}
		steps.Go(func() { <-j.done })
	}
	if err := save(s, splitpin.Writes{}); !errors.Is(err, splitpin.ErrUnavailable) {
		t.Errorf("a step that found no place got %v", err)
	}
	if got := s.Stats(); got.Waiting != 2 || got.Refused != 1 {
		t.Errorf("with two that wait and one refused, the store says %+v", got)
	}
	close(goOn)
	steps.Wait()

	// A record that is there already makes its step run again, in vain.
	if err := save(s, splitpin.Writes{Create: []splitpin.Record{event(1)}}); !errors.Is(err, splitpin.ErrConflict) {
		t.Errorf("creating what is there gave %v", err)
	}
	s.failCommit = func() error { return errors.New("no disk") }
	save(s, splitpin.Writes{Create: []splitpin.Record{event(9)}})

	now := time.Now()
	if _, _, err := s.Take(t.Context(), now, splitpin.Charge{Key: 7, Burst: 3, Period: time.Hour, Cost: 1}); err != nil {
		t.Fatal(err)
	}
	got := s.Stats()
	if got.Waiting != 0 || got.Conflicts != attemptsPerStep || got.Limits != 1 || got.Busy != 0 {
		t.Errorf("after all that, the store says %+v", got)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(commits) != 3 || commits[0].Steps != 3 || commits[0].Failed || commits[1].Steps != 1 || !commits[2].Failed {
		t.Errorf("the commits were %+v: want three steps in one, a vain one, and one that failed", commits)
	}
	for _, c := range commits {
		if c.Ran <= 0 || c.Synced <= 0 {
			t.Errorf("a commit took %+v", c)
		}
	}
}

func TestStatsOfReaders(t *testing.T) {
	s, _ := openTest(t, Options{Readers: 1})
	err := s.read(t.Context(), func(*connection) error {
		if got := s.Stats(); got.Busy != 1 || got.Connections != 1 {
			t.Errorf("while one reads, the store says %+v", got)
		}
		ctx, leave := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.read(ctx, func(*connection) error { return nil }) }()
		for s.Stats().Awaiting == 0 {
			runtime.Gosched() // nothing tells when it has arrived but this number
		}
		leave()
		if err := <-done; !errors.Is(err, splitpin.ErrUnavailable) {
			t.Errorf("who left the queue got %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Stats(); got.Awaiting != 0 || got.Busy != 0 {
		t.Errorf("afterwards the store says %+v", got)
	}
}

func TestBacklog(t *testing.T) {
	s, _ := openTest(t, Options{})
	at := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	check := func(want Backlog) {
		t.Helper()
		if got, err := s.Backlog(t.Context()); err != nil || got != want {
			t.Errorf("the backlog is %+v, %v; want %+v", got, err, want)
		}
	}
	check(Backlog{})
	message := func(n int64, created, due time.Duration) *splitpin.Message {
		return &splitpin.Message{Number: n, Channel: splitpin.EmailChannel, To: "ada@example.org",
			CreatedAt: at.Add(created), DueAt: at.Add(due), ExpiresAt: at.Add(time.Hour)}
	}
	sent, given := message(1, 0, 0), message(2, 0, 0)
	sent.SentAt, given.GivenUpAt = at, at
	if err := save(s, splitpin.Writes{Create: []splitpin.Record{sent, given}}); err != nil {
		t.Fatal(err)
	}
	check(Backlog{})
	later, older := message(3, 2*time.Second, 3*time.Second), message(4, time.Second, 20*time.Second)
	if err := save(s, splitpin.Writes{Create: []splitpin.Record{later, older}}); err != nil {
		t.Fatal(err)
	}
	check(Backlog{Messages: 2, OldestDue: later.DueAt, Oldest: older.CreatedAt})
}
