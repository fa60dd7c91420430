package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/store"
)

// The benchmarks run 32 callers, as the budget does. A figure that depends on
// the disk means something only beside BenchmarkSync of the same run.

const callers = 32

// BenchmarkSync is the disk's own limit: 4 KiB appended and synced.
func BenchmarkSync(b *testing.B) {
	file, err := os.Create(filepath.Join(b.TempDir(), "file"))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	page := make([]byte, 4096)
	for b.Loop() {
		if _, err := file.Write(page); err != nil {
			b.Fatal(err)
		}
		if err := file.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}

func openBench(b *testing.B, options store.Options) (*store.SQLite, string) {
	b.Helper()
	path := filepath.Join(b.TempDir(), "splitpin.db")
	s, err := store.OpenSQLite(b.Context(), path, options)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s, path
}

// parallel runs step from 32 callers, b.N times in all.
func parallel(b *testing.B, step func(i int64) error) {
	b.Helper()
	b.ReportAllocs()
	b.ResetTimer()
	var count atomic.Int64
	done := make(chan error, callers)
	for range callers {
		go func() {
			for {
				i := count.Add(1)
				if i > int64(b.N) {
					done <- nil
					return
				}
				if err := step(i); err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for range callers {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "steps/s")
}

func number(s splitpin.Store) int64 {
	n, err := s.NextNumber(context.Background())
	if err != nil {
		panic(err)
	}
	return n
}

func change(s splitpin.Store, reads splitpin.Reads, decide func(*splitpin.Records) splitpin.Writes) error {
	return s.Change(context.Background(), reads, func(r *splitpin.Records) (splitpin.Writes, error) { return decide(r), nil })
}

// seed creates users of project 1, with a session each where asked.
func seed(b *testing.B, s splitpin.Store, people int, sessions bool) (first int64) {
	b.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	for i := 0; i < people; {
		var w splitpin.Writes
		for ; i < people && len(w.Create) < 2000; i++ {
			u := &splitpin.User{Number: number(s), ID: splitpin.NewUUID(), Project: 1, Kind: splitpin.Email,
				Identifier: fmt.Sprintf("person.%d@example.com", i), ProvedAt: now, CreatedAt: now, UpdatedAt: now}
			if first == 0 {
				first = u.Number
			}
			w.Create = append(w.Create, u)
			if sessions {
				w.Create = append(w.Create, newSession(u.Number+1<<40, u.Number, now))
			}
		}
		if err := change(s, splitpin.Reads{}, func(*splitpin.Records) splitpin.Writes { return w }); err != nil {
			b.Fatal(err)
		}
	}
	return first
}

func newSession(number, user int64, now time.Time) *splitpin.Session {
	return &splitpin.Session{Number: number, Project: 1, User: user, Salt: [16]byte{1, 2, 3}, KeyGeneration: 1, Counter: 1,
		AuthMethod: "OTP", AuthAt: now, Device: "Chrome on Linux", Network: "203.0.113.7/32", Origin: "https://app.example.com",
		CreatedAt: now, UsedAt: now, IdleUntil: now.Add(30 * 24 * time.Hour), ExpiresAt: now.Add(90 * 24 * time.Hour)}
}

func newAttempt(number, i int64, now time.Time) *splitpin.Attempt {
	return &splitpin.Attempt{ID: splitpin.AttemptID{Number: number, Nonce: [8]byte{9}}, Project: 1, Purpose: splitpin.SignIn,
		Method: "email_code", Identifier: fmt.Sprintf("person.%d@example.com", i), Kind: splitpin.Email,
		Starter: [16]byte{7}, Challenge: [32]byte{8}, Destination: "https://app.example.com/", Origin: "https://app.example.com",
		KeyGeneration: 1, MaxTries: 5, Sends: 1, NextSendAt: now.Add(time.Minute), Device: "Chrome on Linux",
		Network: "203.0.113.7/32", Locale: "en", CreatedAt: now, ExpiresAt: now.Add(10 * time.Minute)}
}

func newMessage(number int64, a *splitpin.Attempt) *splitpin.Message {
	return &splitpin.Message{Number: number, Project: 1, Attempt: a.ID.Number, Sequence: 1, Channel: splitpin.EmailChannel,
		To: a.Identifier, Template: "code", Locale: "en", CreatedAt: a.CreatedAt, ExpiresAt: a.ExpiresAt, DueAt: a.CreatedAt}
}

func newEvent(number int64, kind string, a, user, session int64, now time.Time) *splitpin.AuditEvent {
	return &splitpin.AuditEvent{Number: number, Project: 1, At: now, Kind: kind, Subject: [12]byte{1, 2, 3},
		User: user, Attempt: a, Session: session, Network: "203.0.113.7/32"}
}

// BenchmarkChange starts attempts: attempt, message and event in one step.
func BenchmarkChange(b *testing.B) {
	s, _ := openBench(b, store.Options{})
	parallel(b, func(i int64) error {
		now := time.Now().UTC().Truncate(time.Microsecond)
		a := newAttempt(number(s), i, now)
		m, e := newMessage(number(s), a), newEvent(number(s), "attempt_started", a.ID.Number, 0, 0, now)
		return change(s, splitpin.Reads{}, func(*splitpin.Records) splitpin.Writes {
			return splitpin.Writes{Create: []splitpin.Record{a, m, e}}
		})
	})
}

// BenchmarkRefresh moves the counter of a session, one of 200 thousand.
func BenchmarkRefresh(b *testing.B) {
	const people = 200_000
	s, _ := openBench(b, store.Options{})
	first := seed(b, s, people, true)
	b.Run("callers=32", func(b *testing.B) {
		parallel(b, func(i int64) error {
			now := time.Now().UTC().Truncate(time.Microsecond)
			session := first + i*7919%people + 1<<40
			return change(s, splitpin.Reads{Session: session}, func(r *splitpin.Records) splitpin.Writes {
				if r.User == nil {
					panic("no user")
				}
				r.Session.Counter++
				r.Session.UsedAt, r.Session.IdleUntil = now, now.Add(30*24*time.Hour)
				r.Session.Older, r.Session.Newer = r.Session.Newer, splitpin.Mark{Counter: r.Session.Counter, At: now}
				return splitpin.Writes{Put: []splitpin.Record{r.Session}}
			})
		})
	})
}

// BenchmarkLoad finds one of 200 thousand users by their number, and by that of a
// session.
func BenchmarkLoad(b *testing.B) {
	const people = 200_000
	s, path := openBench(b, store.Options{})
	first := seed(b, s, people, true)
	b.Run("session", func(b *testing.B) {
		parallel(b, func(i int64) error {
			r, err := s.Load(context.Background(), splitpin.Reads{Session: first + i*7919%people + 1<<40})
			if err == nil && r.User == nil {
				panic("no user")
			}
			return err
		})
	})
	b.Run("callers=32", func(b *testing.B) {
		parallel(b, func(i int64) error {
			r, err := s.Load(context.Background(), splitpin.Reads{User: first + i*7919%people})
			if err == nil && r.User == nil {
				panic("no user")
			}
			return err
		})
		if info, err := os.Stat(path); err == nil {
			b.ReportMetric(float64(info.Size())/people, "B/user")
		}
	})
}

// BenchmarkSignIn does the store's part of a whole sign-in: start, sent,
// answer, collect. B/sign-in is what was written, with what checkpoints
// move into the file.
func BenchmarkSignIn(b *testing.B) {
	const people = 200_000
	for _, size := range []int{512, 1024, 2048, 4096} {
		s, _ := openBench(b, store.Options{PageSize: size})
		seed(b, s, people, false)
		b.Run(fmt.Sprintf("page=%d", size), func(b *testing.B) {
			before := written(b)
			var o outbox
			parallel(b, func(i int64) error { return o.signIn(s, i*7919%people) })
			b.ReportMetric(float64(written(b)-before)/float64(b.N), "B/sign-in")
		})
	}
}

// An outbox records which messages were sent, as that of package delivery does: what
// ends while one step runs goes into the next.
type outbox struct {
	mu        sync.Mutex
	ended     []int64
	recording bool
}

func (o *outbox) sent(s splitpin.Store, message int64, now time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended = append(o.ended, message); o.recording {
		return nil
	}
	o.recording = true
	defer func() { o.recording = false }()
	for len(o.ended) > 0 {
		group := o.ended
		o.ended = nil
		o.mu.Unlock()
		err := change(s, splitpin.Reads{Messages: group}, func(r *splitpin.Records) (w splitpin.Writes) {
			w.Loose = true
			for _, m := range r.Messages {
				m.SentAt = now
				w.Put = append(w.Put, m)
			}
			return w
		})
		if o.mu.Lock(); err != nil {
			return err
		}
	}
	return nil
}

func (o *outbox) signIn(s splitpin.Store, person int64) error {
	ctx := context.Background()
	now := time.Now().UTC().Truncate(time.Microsecond)
	if _, _, err := s.Take(ctx, now,
		splitpin.Charge{Key: splitpin.LimitKey("network", fmt.Sprint(person%10_000)), Burst: 1000, Period: 5 * time.Minute, Cost: 1},
		splitpin.Charge{Key: splitpin.LimitKey("address", fmt.Sprint(person)), Burst: 1000, Period: 10 * time.Minute, Cost: 1},
	); err != nil {
		return err
	}
	a := newAttempt(number(s), person, now)
	m, e := newMessage(number(s), a), newEvent(number(s), "attempt_started", a.ID.Number, 0, 0, now)
	m.Tries, m.DueAt = 1, now.Add(30*time.Second) // this node's own
	name := splitpin.Name{Project: 1, Identifier: a.Identifier}
	err := change(s, splitpin.Reads{Name: name, Unlocked: true}, func(*splitpin.Records) splitpin.Writes {
		return splitpin.Writes{Create: []splitpin.Record{a, m, e}}
	})
	if err != nil {
		return err
	}
	if err := o.sent(s, m.Number, now); err != nil {
		return err
	}
	g := &splitpin.Grant{Number: number(s), Hash: [32]byte{1}, Attempt: a.ID.Number, Project: 1, Challenge: a.Challenge,
		Destination: a.Destination, Origin: a.Origin, CreatedAt: now, ExpiresAt: now.Add(time.Minute)}
	proved := number(s)
	err = change(s, splitpin.Reads{Attempt: a.ID.Number}, func(r *splitpin.Records) splitpin.Writes {
		r.Attempt.Tries++
		r.Attempt.ProvedAt, r.Attempt.User = now, r.User.Number
		g.User = r.User.Number
		return splitpin.Writes{
			Put:    []splitpin.Record{r.Attempt},
			Create: []splitpin.Record{g, newEvent(proved, "attempt_proved", a.ID.Number, g.User, 0, now)},
		}
	})
	if err != nil {
		return err
	}
	session, opened := newSession(number(s), g.User, now), number(s)
	return change(s, splitpin.Reads{Grant: g.Number}, func(r *splitpin.Records) splitpin.Writes {
		r.Grant.SpentAt, r.Grant.Session = now, session.Number
		r.Attempt.CollectedAt = now
		return splitpin.Writes{
			Put:    []splitpin.Record{r.Grant, r.Attempt},
			Create: []splitpin.Record{session, newEvent(opened, "session_opened", a.ID.Number, g.User, session.Number, now)},
		}
	})
}

// BenchmarkSweep deletes attempts, messages and grants that are over while 8 callers
// sign people in: one operation is one record. What counts is records/s, ten times
// what the budget's rate leaves behind (2,500 sign-ins a second: some 10,000), and
// p99-ms, what a sign-in of theirs takes meanwhile, beside p99-ms-before.
func BenchmarkSweep(b *testing.B) {
	s, _ := openBench(b, store.Options{})
	seed(b, s, 1000, false)
	now := time.Now().UTC().Truncate(time.Microsecond)
	for dead := 0; dead < b.N; {
		var w splitpin.Writes
		for ; dead < b.N && len(w.Create) < 2000; dead += 3 {
			a := newAttempt(number(s), int64(dead), now.Add(-3*time.Hour))
			w.Create = append(w.Create, a, newMessage(number(s), a), &splitpin.Grant{Number: a.ID.Number, Hash: [32]byte{1}, Attempt: a.ID.Number,
				Project: 1, Challenge: a.Challenge, Destination: a.Destination, Origin: a.Origin, CreatedAt: a.CreatedAt, ExpiresAt: a.ExpiresAt})
		}
		if err := change(s, splitpin.Reads{}, func(*splitpin.Records) splitpin.Writes { return w }); err != nil {
			b.Fatal(err)
		}
	}
	var o outbox
	// load signs in until stop, and returns how long 99 of 100 took at most, in ms.
	load := func(stop <-chan struct{}) float64 {
		var mu sync.Mutex
		var all []float64
		var people atomic.Int64
		var callers sync.WaitGroup
		for range 8 {
			callers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					began := time.Now()
					if err := o.signIn(s, people.Add(1)%1000); err != nil {
						b.Error(err)
						return
					}
					mu.Lock()
					all = append(all, float64(time.Since(began).Microseconds())/1000)
					mu.Unlock()
				}
			})
		}
		callers.Wait()
		slices.Sort(all)
		return all[len(all)*99/100]
	}
	quiet := make(chan struct{})
	time.AfterFunc(time.Second, func() { close(quiet) })
	before := load(quiet)

	b.ResetTimer()
	swept := make(chan struct{})
	go func() {
		defer close(swept)
		for gone := 0; gone < b.N; {
			n, err := s.Sweep(context.Background(), now, time.Time{}, sweepStep)
			if err != nil {
				b.Error(err)
				return
			}
			gone += n
		}
		b.StopTimer()
	}()
	during := load(swept)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(before, "p99-ms-before")
	b.ReportMetric(during, "p99-ms")
}

// sweepStep is how many records the program sweeps in one step: sweepBatch in
// cmd/splitpin.
const sweepStep = 200

// written returns what this process has handed to the disk, checkpoints
// included, where the system tells; zero elsewhere.
func written(b *testing.B) int64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	var rchar, wchar int64
	fmt.Sscanf(string(text), "rchar: %d\nwchar: %d", &rchar, &wchar)
	return wchar
}

// BenchmarkOpen is from nothing to ready, and from a file that exists.
func BenchmarkOpen(b *testing.B) {
	b.Run("new", func(b *testing.B) {
		dir := b.TempDir()
		i := 0
		for b.Loop() {
			i++
			s, err := store.OpenSQLite(b.Context(), filepath.Join(dir, fmt.Sprint(i)), store.Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			s.Close()
			b.StartTimer()
		}
	})
	b.Run("existing", func(b *testing.B) {
		path := filepath.Join(b.TempDir(), "splitpin.db")
		for b.Loop() {
			s, err := store.OpenSQLite(b.Context(), path, store.Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			s.Close()
			b.StartTimer()
		}
	})
}
