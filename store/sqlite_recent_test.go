package store

import (
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
)

// lookedUp is what a step that saves nothing loads.
func lookedUp(t *testing.T, s *SQLite, reads splitpin.Reads) *splitpin.Records {
	t.Helper()
	var found *splitpin.Records
	err := s.Change(t.Context(), reads, func(r *splitpin.Records) (splitpin.Writes, error) {
		found = r
		return splitpin.Writes{}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// tried has a step put an attempt with one more try, beside what else it creates.
func tried(t *testing.T, s *SQLite, attempt int64, besides ...splitpin.Record) error {
	t.Helper()
	return s.Change(t.Context(), splitpin.Reads{Attempt: attempt}, func(r *splitpin.Records) (splitpin.Writes, error) {
		r.Attempt.Tries++
		return splitpin.Writes{Put: []splitpin.Record{r.Attempt}, Create: besides}, nil
	})
}

func mustSave(t *testing.T, s *SQLite, records ...splitpin.Record) {
	t.Helper()
	if err := save(s, splitpin.Writes{Create: records}); err != nil {
		t.Fatal(err)
	}
}

// What the writer remembers of a record is never other than what the file has, whoever
// or whatever changed it there.
func TestRecentIsTrue(t *testing.T) {
	now := time.UnixMicro(1_700_000_000_000_000).UTC()
	tests := []struct {
		name   string
		change func(t *testing.T, s *SQLite, path string) // of attempt 1, which had no try
		want   int                                        // tries; -1: it is gone
	}{
		{"another process", func(t *testing.T, s *SQLite, path string) {
			other, err := OpenSQLite(t.Context(), path, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			if err := tried(t, other, 1); err != nil {
				t.Fatal(err)
			}
		}, 1},
		{"a commit that fails", func(t *testing.T, s *SQLite, _ string) {
			failures := []error{errors.New("no disk")}
			s.failCommit = func() error { // the first time only
				defer func() { failures = []error{nil} }()
				return failures[0]
			}
			if err := tried(t, s, 1); !errors.Is(err, splitpin.ErrUnavailable) {
				t.Fatalf("got %v, want ErrUnavailable", err)
			}
		}, 0},
		{"a step that fails after its put", func(t *testing.T, s *SQLite, _ string) {
			err := s.Change(t.Context(), splitpin.Reads{Attempt: 1}, func(r *splitpin.Records) (splitpin.Writes, error) {
				r.Attempt.Tries++
				return splitpin.Writes{Put: []splitpin.Record{r.Attempt, event(9)}}, nil // which was not loaded
			})
			if err == nil {
				t.Fatal("a record was put that was not loaded")
			}
		}, 0},
		{"a neighbour that fails, so that the step runs twice", func(t *testing.T, s *SQLite, _ string) {
			group(t, s, 2, func(wg *sync.WaitGroup) {
				wg.Go(func() {
					if err := tried(t, s, 1); err != nil {
						t.Error(err)
					}
				})
				for len(s.queue.calls) < 1 { // so that it comes first
					runtime.Gosched()
				}
				wg.Go(func() {
					if err := save(s, splitpin.Writes{Create: []splitpin.Record{event(1)}, Put: []splitpin.Record{event(9)}}); err == nil {
						t.Error("a record was put that was not loaded")
					}
				})
			})
		}, 1},
		{"a statement", func(t *testing.T, s *SQLite, _ string) {
			err := s.do(t.Context(), func(c *connection) error { return c.each("UPDATE attempts SET tries = 4", none) })
			if err != nil {
				t.Fatal(err)
			}
		}, 4},
		{"a sweep", func(t *testing.T, s *SQLite, _ string) {
			if _, err := s.Sweep(t.Context(), now.Add(3*time.Hour), now, 100); err != nil {
				t.Fatal(err)
			}
		}, -1},
		{"a deletion", func(t *testing.T, s *SQLite, _ string) {
			if err := save(s, splitpin.Writes{Delete: []splitpin.Record{attempt(1, now)}}); err != nil {
				t.Fatal(err)
			}
		}, -1},
		{"a step that alters what it does not save", func(t *testing.T, s *SQLite, _ string) {
			a := lookedUp(t, s, splitpin.Reads{Attempt: 1}).Attempt
			a.Tries, a.Data[0] = 7, 7
		}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, path := openTest(t, Options{})
			mustSave(t, s, attempt(1, now))
			test.change(t, s, path)
			got, a := -1, lookedUp(t, s, splitpin.Reads{Attempt: 1}).Attempt
			if a != nil {
				got = a.Tries
			}
			if got != test.want {
				t.Errorf("got %d tries, want %d", got, test.want)
			}
			if a != nil && a.Data[0] != 1 {
				t.Errorf("got data %v, want 1 first", a.Data)
			}
		})
	}
}

func attempt(number int64, now time.Time) *splitpin.Attempt {
	return &splitpin.Attempt{ID: splitpin.AttemptID{Number: number}, Project: 1, Identifier: "ann@example.com", Data: []byte{1, 2},
		CreatedAt: now, ExpiresAt: now.Add(time.Minute)}
}

func TestRecentClaims(t *testing.T) {
	s, _ := openTest(t, Options{})
	now := time.UnixMicro(1_700_000_000_000_000).UTC()
	mustSave(t, s, &splitpin.Message{Number: 5, DueAt: now, ExpiresAt: now.Add(time.Hour)})
	if _, err := s.ClaimMessages(t.Context(), now, now.Add(time.Minute), 10); err != nil {
		t.Fatal(err)
	}
	m := lookedUp(t, s, splitpin.Reads{Messages: []int64{5}}).Messages
	if len(m) != 1 || m[0].Tries != 1 || !m[0].DueAt.Equal(now.Add(time.Minute)) {
		t.Errorf("got %+v, want it claimed", m)
	}
}

// A name may change hands.
func TestRecentNames(t *testing.T) {
	s, _ := openTest(t, Options{})
	name := splitpin.Name{Project: 1, Identifier: "ann@example.com"}
	of := func(want int64) {
		t.Helper()
		got := int64(0)
		if u := lookedUp(t, s, splitpin.Reads{Name: name}).User; u != nil {
			got = u.Number
		}
		if got != want {
			t.Errorf("got user %d by that name, want %d", got, want)
		}
	}
	of(0)
	mustSave(t, s, &splitpin.User{Number: 1, ID: splitpin.NewUUID(), Project: 1, Identifier: name.Identifier})
	of(1)
	err := s.Change(t.Context(), splitpin.Reads{User: 1}, func(r *splitpin.Records) (splitpin.Writes, error) {
		r.User.Identifier = "bob@example.com"
		return splitpin.Writes{Put: []splitpin.Record{r.User}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	of(0)
	mustSave(t, s, &splitpin.User{Number: 2, ID: splitpin.NewUUID(), Project: 1, Identifier: name.Identifier})
	of(2)
	if err := save(s, splitpin.Writes{Delete: []splitpin.Record{&splitpin.User{Number: 2}}}); err != nil {
		t.Fatal(err)
	}
	of(0)
}

// The absence of guesses is remembered until there are some.
func TestRecentGuesses(t *testing.T) {
	s, _ := openTest(t, Options{})
	name := splitpin.Name{Project: 1, Identifier: "ann@example.com"}
	if g := lookedUp(t, s, splitpin.Reads{Name: name}).Guesses; g != nil {
		t.Fatalf("got %+v, want none", g)
	}
	mustSave(t, s, &splitpin.Guesses{Key: splitpin.GuessesKey(1, name.Identifier), Day: 3})
	if g := lookedUp(t, s, splitpin.Reads{Name: name}).Guesses; g == nil || g.Day != 3 {
		t.Errorf("got %+v, want those of day 3", g)
	}
}

func TestDrawer(t *testing.T) {
	var d drawer[int, int]
	const last = 5*drawerSize + 7
	for i := range last + 1 {
		d.keep(i, -i)
		d.keep(i, i)
	}
	if n := len(d.young) + len(d.old); n > 2*drawerSize {
		t.Errorf("holds %d, want at most %d", n, 2*drawerSize)
	}
	for i := range drawerSize {
		if v, there := d.find(last - i); !there || v != last-i {
			t.Fatalf("the one %d before the last is %d, %t", i, v, there)
		}
	}
	d.drop(last)
	if _, there := d.find(last); there {
		t.Error("what was dropped is there")
	}
}
