package storetest

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/splitpin/splitpin"
)

// A meeting makes two steps meet inside their closures. An engine that keeps them
// apart never lets the second come while the first waits; then the first goes on when
// the second is known to wait for it.
type meeting struct {
	sync.WaitGroup
	waits  func() bool
	inside atomic.Int32
	ended  atomic.Bool // one of them, whether or not it came inside
}

func (b *bench) meeting() *meeting { return &meeting{waits: b.waits(b.T, b.dir, b.Store)} }

// Go runs one of the steps that are to meet.
func (m *meeting) Go(step func()) {
	m.WaitGroup.Go(func() {
		defer m.ended.Store(true)
		step()
	})
}

// meet is called inside the closure of each.
func (m *meeting) meet() {
	m.inside.Add(1)
	for m.inside.Load() < 2 && !m.ended.Load() && !m.waits() {
		runtime.Gosched()
	}
}

func incrementsThatMeet(b *bench) {
	a := b.attempt(b.user())
	m := b.meeting()
	for range 2 {
		m.Go(func() {
			err := b.Change(b.Context(), splitpin.Reads{Attempt: a.ID.Number}, func(r *splitpin.Records) (splitpin.Writes, error) {
				m.meet()
				r.Attempt.Tries++
				return splitpin.Writes{Put: []splitpin.Record{r.Attempt}}, nil
			})
			if err != nil {
				b.Error(err)
			}
		})
	}
	m.Wait()
	want(b, "tries", b.load(splitpin.Reads{Attempt: a.ID.Number}).Attempt.Tries, a.Tries+2)
}

// everythingMeets: each kind of record is locked by itself, and not only because the
// user it belongs to is. So there is no such user here, but in the row of the user.
func everythingMeets(b *bench) {
	u := b.user()
	nobody := User(b.number(), u.Project)
	name := splitpin.Name{Project: nobody.Project, Identifier: nobody.Identifier}
	p, a := Project(b.number()), Attempt(b.number(), nobody)
	s, m, guesses := LiveSession(b.number(), nobody), Message(b.number(), a), Guesses(nobody)
	g := Grant(b.number(), Attempt(b.number(), nobody), nobody) // whose attempt was swept
	ofGrant := Grant(b.number(), a, nobody)
	alone := Attempt(b.number(), User(b.number(), u.Project)) // without guesses
	c := Credential(b.number(), nobody)
	b.create(p, a, g, ofGrant, s, m, guesses, alone, c, DataKey("codes", 1))
	second := func(t *time.Time) { *t = t.Add(time.Second) }
	for _, test := range []struct {
		name  string
		reads splitpin.Reads
		count func(*splitpin.Records) (splitpin.Record, *time.Time)
	}{
		{"user", splitpin.Reads{User: u.Number}, func(r *splitpin.Records) (splitpin.Record, *time.Time) { return r.User, &r.User.UpdatedAt }},
		{"user by id", splitpin.Reads{UserID: splitpin.UserKey{Project: u.Project, ID: u.ID}}, func(r *splitpin.Records) (splitpin.Record, *time.Time) { return r.User, &r.User.UpdatedAt }},
		{"user by client id", splitpin.Reads{UserID: splitpin.UserKey{Project: u.Project, ClientUserID: u.ClientUserID}}, func(r *splitpin.Records) (splitpin.Record, *time.Time) { return r.User, &r.User.UpdatedAt }},
		{"user by name", splitpin.Reads{Name: splitpin.Name{Project: u.Project, Identifier: u.Identifier}}, func(r *splitpin.Records) (splitpin.Record, *time.Time) { return r.User, &r.User.UpdatedAt }},
		{"attempt", splitpin.Reads{Attempt: alone.ID.Number}, func(r *splitpin.Records) (splitpin.Record, *time.Time) { return r.Attempt, &r.Attempt.NextSendAt }},
		{"grant", splitpin.Reads{Grant: g.Number}, func(r *splitpin.Records) (splitpin.Record, *time.Time) { return r.Grant, &r.Grant.SpentAt }},
		{"session", splitpin.Reads{Session: s.Number}, func(r *splitpin.Records) (splitpin.Record, *time.Time) { return r.Session, &r.Session.UsedAt }},
		{"credential", splitpin.Reads{Credential: CredentialKey(c)}, func(r *splitpin.Records) (splitpin.Record, *time.Time) { return r.Credential, &r.Credential.UsedAt }},
		{"message", splitpin.Reads{Messages: []int64{m.Number}}, func(r *splitpin.Records) (splitpin.Record, *time.Time) {
			return r.Messages[0], &r.Messages[0].DueAt
		}},
		{"project", splitpin.Reads{Project: p.ID}, func(r *splitpin.Records) (splitpin.Record, *time.Time) { return r.Project, &r.Project.UpdatedAt }},
		{"settings", splitpin.Reads{Settings: true}, func(r *splitpin.Records) (splitpin.Record, *time.Time) {
			return r.DataKeys[0], &r.DataKeys[0].CreatedAt
		}},
	} {
		b.meet(test.name, test.reads, func(r *splitpin.Records) splitpin.Record {
			record, count := test.count(r)
			second(count)
			return record
		})
		_, count := test.count(b.load(test.reads))
		before := *count
		b.save(test.reads, splitpin.Writes{}) // whatever was locked is free again
		_, first := test.count(&splitpin.Records{User: u, Attempt: alone, Grant: g, Session: s, Credential: c, Messages: []*splitpin.Message{m},
			Project: p, DataKeys: []*splitpin.DataKey{DataKey("codes", 1)}})
		if got := before.Sub(*first); got != 2*time.Second {
			b.Errorf("%s: two steps moved it by %v, want 2s", test.name, got)
		}
		if test.reads.User != 0 || test.reads.UserID != (splitpin.UserKey{}) || test.reads.Name.Identifier != "" {
			u.UpdatedAt = before
		}
	}

	// Guesses, which several attempts share, and of an attempt the grant's.
	for _, reads := range []splitpin.Reads{{Name: name}, {Attempt: a.ID.Number}} {
		b.meet("guesses", reads, func(r *splitpin.Records) splitpin.Record { r.Guesses.Day++; return r.Guesses })
	}
	want(b, "guesses", b.load(splitpin.Reads{Name: name}).Guesses.Day, guesses.Day+4)
	b.meet("attempt of a grant", splitpin.Reads{Grant: ofGrant.Number}, func(r *splitpin.Records) splitpin.Record { r.Attempt.Tries++; return r.Attempt })
	want(b, "attempt of a grant", b.load(splitpin.Reads{Attempt: a.ID.Number}).Attempt.Tries, a.Tries+2)

	// The same by different ways: the grant's and the attempt's, the name's and the
	// attempt's.
	b.meetBy("attempt", []splitpin.Reads{{Grant: ofGrant.Number}, {Attempt: a.ID.Number}}, func(r *splitpin.Records) splitpin.Record { r.Attempt.Tries++; return r.Attempt })
	want(b, "attempt by two ways", b.load(splitpin.Reads{Attempt: a.ID.Number}).Attempt.Tries, a.Tries+4)
	b.meetBy("guesses", []splitpin.Reads{{Name: name}, {Attempt: a.ID.Number}}, func(r *splitpin.Records) splitpin.Record { r.Guesses.Day++; return r.Guesses })
	want(b, "guesses by two ways", b.load(splitpin.Reads{Name: name}).Guesses.Day, guesses.Day+6)
	b.meetBy("settings", []splitpin.Reads{{Settings: true}, {Project: p.ID}}, func(r *splitpin.Records) splitpin.Record {
		q := r.Project
		if q == nil {
			q = r.Projects[0]
		}
		q.CreatedAt = q.CreatedAt.Add(time.Second)
		return q
	})
	want(b, "settings by two ways", b.load(splitpin.Reads{Project: p.ID}).Project.CreatedAt, p.CreatedAt.Add(2*time.Second))
}

// meet has two steps with the same reads meet, each of which puts what change returns.
func (b *bench) meet(what string, reads splitpin.Reads, change func(*splitpin.Records) splitpin.Record) {
	b.Helper()
	b.meetBy(what, []splitpin.Reads{reads, reads}, change)
}

func (b *bench) meetBy(what string, ways []splitpin.Reads, change func(*splitpin.Records) splitpin.Record) {
	b.Helper()
	m := b.meeting()
	for _, reads := range ways {
		m.Go(func() {
			err := b.Change(b.Context(), reads, func(r *splitpin.Records) (splitpin.Writes, error) {
				m.meet()
				return splitpin.Writes{Put: []splitpin.Record{change(r)}}, nil
			})
			if err != nil {
				b.Errorf("%s: %v", what, err)
			}
		})
	}
	m.Wait()
}

// userAppears: who waited for an attempt, and finds it proved, finds the user of that
// proof too.
func userAppears(b *bench) {
	u := User(b.number(), b.number())
	a := Attempt(b.number(), u)
	a.ProvedAt = time.Time{}
	b.create(a)
	m := b.meeting()
	for range 2 {
		m.Go(func() {
			err := b.Change(b.Context(), splitpin.Reads{Attempt: a.ID.Number}, func(r *splitpin.Records) (splitpin.Writes, error) {
				m.meet()
				switch proved := !r.Attempt.ProvedAt.IsZero(); {
				case proved != (r.User != nil):
					b.Errorf("proved: %v, and the user is %v", proved, r.User)
				case proved:
					return splitpin.Writes{}, nil
				}
				r.Attempt.ProvedAt = Now
				return splitpin.Writes{Put: []splitpin.Record{r.Attempt}, Create: []splitpin.Record{u}}, nil
			})
			if err != nil {
				b.Error(err)
			}
		})
	}
	m.Wait()
}

// oneMoment: what was saved together is loaded together.
func oneMoment(b *bench) {
	u := b.user()
	s := LiveSession(b.number(), u)
	b.create(s)
	reads, more := splitpin.Reads{Session: s.Number}, splitpin.Reads{User: u.Number, Sessions: true}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				err := b.Change(b.Context(), reads, func(r *splitpin.Records) (splitpin.Writes, error) {
					r.User.UpdatedAt = r.User.UpdatedAt.Add(time.Second)
					r.Session.UsedAt = r.Session.UsedAt.Add(time.Second)
					return splitpin.Writes{Put: []splitpin.Record{r.User, r.Session}}, nil
				})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	for range 500 {
		r := b.load(reads)
		if x, y := r.User.UpdatedAt.Sub(u.UpdatedAt), r.Session.UsedAt.Sub(s.UsedAt); x != y {
			b.Errorf("the user is %v on and the session %v", x, y)
			break
		}
		r = b.load(more)
		if x, y := r.User.UpdatedAt.Sub(u.UpdatedAt), r.Sessions[0].UsedAt.Sub(s.UsedAt); x != y {
			b.Errorf("the user is %v on and the sessions %v", x, y)
			break
		}
	}
	close(stop)
	wg.Wait()
}

func increments(b *bench) {
	a := b.attempt(b.user())
	const workers, each = 16, 8
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				err := b.Change(b.Context(), splitpin.Reads{Attempt: a.ID.Number}, func(r *splitpin.Records) (splitpin.Writes, error) {
					r.Attempt.Tries++
					return splitpin.Writes{Put: []splitpin.Record{r.Attempt}}, nil
				})
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	want(b, "tries", b.load(splitpin.Reads{Attempt: a.ID.Number}).Attempt.Tries, a.Tries+workers*each)
}

func spendOnce(b *bench) {
	u := b.user()
	g := Grant(b.number(), b.attempt(u), u)
	g.SpentAt, g.Session = time.Time{}, 0
	b.create(g)
	m := b.meeting()
	var mu sync.Mutex
	var winners []int64
	for range 8 {
		session := LiveSession(b.number(), u)
		m.Go(func() {
			won := false
			err := b.Change(b.Context(), splitpin.Reads{Grant: g.Number}, func(r *splitpin.Records) (splitpin.Writes, error) {
				m.meet()
				if won = r.Grant.SpentAt.IsZero(); !won {
					return splitpin.Writes{}, nil
				}
				r.Grant.SpentAt, r.Grant.Session = Now, session.Number
				return splitpin.Writes{Put: []splitpin.Record{r.Grant}, Create: []splitpin.Record{session}}, nil
			})
			if err != nil {
				b.Error(err)
			}
			if won {
				mu.Lock()
				winners = append(winners, session.Number)
				mu.Unlock()
			}
		})
	}
	m.Wait()
	if len(winners) != 1 {
		b.Fatalf("%d steps spent the grant", len(winners))
	}
	want(b, "session of the grant", b.load(splitpin.Reads{Grant: g.Number}).Grant.Session, winners[0])
	if live := must[[]*splitpin.Session](b)(b.Sessions(b.Context(), u.Number)); len(live) != 1 {
		b.Errorf("%d sessions came of it", len(live))
	}
}

// createOnce: nobody locks a user who is not there; Create notices.
func createOnce(b *bench) {
	project := b.number()
	name := splitpin.Name{Project: project, Identifier: "new@example.com"}
	m := b.meeting()
	var mu sync.Mutex
	seen := map[int64]bool{}
	for range 2 {
		mine := User(b.number(), project)
		mine.Identifier = name.Identifier
		m.Go(func() {
			var number int64
			err := b.Change(b.Context(), splitpin.Reads{Name: name}, func(r *splitpin.Records) (splitpin.Writes, error) {
				m.meet()
				if r.User != nil {
					number = r.User.Number
					return splitpin.Writes{}, nil
				}
				number = mine.Number
				return splitpin.Writes{Create: []splitpin.Record{mine}}, nil
			})
			if err != nil {
				b.Error(err)
			}
			mu.Lock()
			seen[number] = true
			mu.Unlock()
		})
	}
	m.Wait()
	if len(seen) != 1 || !seen[b.load(splitpin.Reads{Name: name}).User.Number] {
		b.Errorf("two callers got the users %v", seen)
	}
}

func guessesThatMeet(b *bench) {
	a := b.attempt(b.user())
	for _, round := range []string{"created", "counted"} {
		m := b.meeting()
		for range 2 {
			m.Go(func() {
				err := b.Change(b.Context(), splitpin.Reads{Attempt: a.ID.Number}, func(r *splitpin.Records) (splitpin.Writes, error) {
					m.meet()
					if r.Guesses == nil {
						g := &splitpin.Guesses{Key: splitpin.GuessesKey(a.Project, a.Identifier), Day: 1}
						g.Wrong[0] = 1
						return splitpin.Writes{Create: []splitpin.Record{g}}, nil
					}
					r.Guesses.Wrong[0]++
					return splitpin.Writes{Put: []splitpin.Record{r.Guesses}}, nil
				})
				if err != nil {
					b.Errorf("%s: %v", round, err)
				}
			})
		}
		m.Wait()
	}
	want(b, "wrong guesses", b.load(splitpin.Reads{Attempt: a.ID.Number}).Guesses.Wrong[0], uint8(4))
}

func contexts(b *bench) {
	u := b.user()
	ended, cancel := context.WithCancel(b.Context())
	cancel()
	event := AuditEvent(b.number(), u)
	err := b.Change(ended, splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
		return splitpin.Writes{Create: []splitpin.Record{event}}, nil
	})
	gone := func(what string, err error) {
		b.Helper()
		if !errors.Is(err, splitpin.ErrUnavailable) || !errors.Is(err, context.Canceled) {
			b.Errorf("%s: got error %v, want ErrUnavailable because of the context", what, err)
		}
	}
	gone("Change", err)
	_, err = b.Load(ended, splitpin.Reads{User: u.Number})
	gone("Load", err)
	_, err = b.Users(ended, u.Project, 0, 10)
	gone("Users", err)
	_, err = b.ClaimMessages(ended, Now, Now, 1)
	gone("ClaimMessages", err)
	_, _, err = b.Take(ended, Now, splitpin.Charge{Key: 1, Burst: 1, Period: time.Hour, Cost: 1})
	gone("Take", err)
	_, err = b.NextNumber(ended)
	gone("NextNumber", err)
	want(b, "events", must[[]*splitpin.AuditEvent](b)(b.AuditEvents(b.Context(), splitpin.AuditFilter{}, 9)), nil)

	// One that ends after the step began does not stop it, and the outcome is
	// told truly.
	ctx, cancel := context.WithCancel(b.Context())
	err = b.Change(ctx, splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
		cancel()
		return splitpin.Writes{Create: []splitpin.Record{event}}, nil
	})
	if err != nil {
		b.Errorf("a context that ended inside the step: %v", err)
	}
	want(b, "events", must[[]*splitpin.AuditEvent](b)(b.AuditEvents(b.Context(), splitpin.AuditFilter{}, 9)), []*splitpin.AuditEvent{event})
}

func contextWhileWaiting(b *bench) {
	a := b.attempt(b.user())
	inside, leave := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	increment := func(ctx context.Context, before func()) error {
		return b.Change(ctx, splitpin.Reads{Attempt: a.ID.Number}, func(r *splitpin.Records) (splitpin.Writes, error) {
			before()
			r.Attempt.Tries++
			return splitpin.Writes{Put: []splitpin.Record{r.Attempt}}, nil
		})
	}
	wg.Go(func() {
		if err := increment(b.Context(), func() { close(inside); <-leave }); err != nil {
			b.Error(err)
		}
	})
	<-inside
	ctx, cancel := context.WithCancel(b.Context())
	left := make(chan error)
	wg.Go(func() {
		left <- increment(ctx, func() { b.Error("a step ran whose caller had left") })
	})
	cancel()
	if err := <-left; !errors.Is(err, splitpin.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		b.Errorf("got error %v, want ErrUnavailable because of the context", err)
	}
	close(leave)
	wg.Wait()
	want(b, "tries", b.load(splitpin.Reads{Attempt: a.ID.Number}).Attempt.Tries, a.Tries+1)
}

func numbers(b *bench) {
	other := b.another()
	var mu sync.Mutex
	seen := map[int64]bool{}
	var wg sync.WaitGroup
	for _, s := range []splitpin.Store{b.Store, other} {
		for range 4 {
			wg.Go(func() {
				last := int64(0)
				for range 1000 {
					n, err := s.NextNumber(b.Context())
					if err != nil {
						b.Error(err)
						return
					}
					if n <= last {
						b.Errorf("%d came after %d", n, last)
					}
					last = n
					mu.Lock()
					if seen[n] {
						b.Errorf("%d came twice", n)
					}
					seen[n] = true
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	third := b.another()
	n, err := third.NextNumber(b.Context())
	if err != nil || seen[n] {
		b.Errorf("a store opened later gave %d (error %v), which was used", n, err)
	}
}

func claimingThatMeets(b *bench) {
	a := b.attempt(b.user())
	var all []splitpin.Record
	for range 60 {
		all = append(all, DueMessage(b.number(), a, Now))
	}
	b.create(all...)
	other := b.another()
	var mu sync.Mutex
	times := map[int64]int{}
	var wg sync.WaitGroup
	for i := range 6 {
		s := []splitpin.Store{b.Store, other}[i%2]
		wg.Go(func() {
			for {
				claimed, err := s.ClaimMessages(b.Context(), Now, Now.Add(time.Minute), 3)
				if err != nil {
					b.Error(err)
				}
				if len(claimed) == 0 {
					return
				}
				mu.Lock()
				for _, c := range claimed {
					times[c.Message.Number]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for _, m := range all {
		if n := times[m.(*splitpin.Message).Number]; n != 1 {
			b.Errorf("a message was claimed %d times", n)
		}
	}
}

func twoStores(b *bench) {
	a := b.attempt(b.user())
	other := b.another()
	var wg sync.WaitGroup
	for _, s := range []splitpin.Store{b.Store, other} {
		for range 4 {
			wg.Go(func() {
				for range 5 {
					err := s.Change(b.Context(), splitpin.Reads{Attempt: a.ID.Number}, func(r *splitpin.Records) (splitpin.Writes, error) {
						r.Attempt.Tries++
						return splitpin.Writes{Put: []splitpin.Record{r.Attempt}}, nil
					})
					if err != nil {
						b.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	for i, s := range []splitpin.Store{b.Store, other} {
		r, err := s.Load(b.Context(), splitpin.Reads{Attempt: a.ID.Number})
		if err != nil {
			b.Fatal(err)
		}
		if r.Attempt.Tries != a.Tries+40 {
			b.Errorf("store %d sees %d tries, want %d", i, r.Attempt.Tries, a.Tries+40)
		}
	}
}

// settingsThatMeet: with the settings goes what is absent from them.
func settingsThatMeet(b *bench) {
	m := b.meeting()
	for range 2 {
		p := Project(b.number())
		m.Go(func() {
			err := b.Change(b.Context(), splitpin.Reads{Settings: true}, func(r *splitpin.Records) (splitpin.Writes, error) {
				m.meet()
				p.Default = true
				for _, other := range r.Projects {
					p.Default = p.Default && !other.Default
				}
				return splitpin.Writes{Create: []splitpin.Record{p}}, nil
			})
			if err != nil {
				b.Error(err)
			}
		})
	}
	m.Wait()
	defaults := 0
	all := must[[]*splitpin.Project](b)(b.Projects(b.Context()))
	for _, p := range all {
		if p.Default {
			defaults++
		}
	}
	if len(all) != 2 || defaults != 1 {
		b.Errorf("%d of %d projects are the default, want 1 of 2", defaults, len(all))
	}
}

// sessionsThatMeet: the same for the sessions of a user.
func sessionsThatMeet(b *bench) {
	u := b.user()
	g := Grant(b.number(), b.attempt(u), u)
	b.create(g)
	m := b.meeting()
	for _, reads := range []splitpin.Reads{{Grant: g.Number}, {User: u.Number}} {
		reads.Sessions = true
		s := LiveSession(b.number(), u)
		m.Go(func() {
			err := b.Change(b.Context(), reads, func(r *splitpin.Records) (splitpin.Writes, error) {
				m.meet()
				if len(r.Sessions) > 0 {
					return splitpin.Writes{}, nil
				}
				return splitpin.Writes{Create: []splitpin.Record{s}}, nil
			})
			if err != nil {
				b.Error(err)
			}
		})
	}
	m.Wait()
	if n := len(must[[]*splitpin.Session](b)(b.Sessions(b.Context(), u.Number))); n != 1 {
		b.Errorf("%d sessions were opened where only a first one was to be", n)
	}
}

// credentialsThatMeet: the same for the credentials of a user, whatever led there.
func credentialsThatMeet(b *bench) {
	for i := range 4 {
		u := b.user()
		a, c := b.attempt(u), Credential(b.number(), u)
		b.create(c)
		ways := []splitpin.Reads{{User: u.Number}, {Credential: CredentialKey(c)},
			{Attempt: a.ID.Number}, {Attempt: a.ID.Number, Credential: CredentialKey(c)}}
		m := b.meeting()
		for _, reads := range []splitpin.Reads{ways[i], ways[(i+1)%len(ways)]} {
			reads.Credentials = true
			another := Credential(b.number(), u)
			m.Go(func() {
				err := b.Change(b.Context(), reads, func(r *splitpin.Records) (splitpin.Writes, error) {
					m.meet()
					if len(r.Credentials) > 1 {
						return splitpin.Writes{}, nil
					}
					return splitpin.Writes{Create: []splitpin.Record{another}}, nil
				})
				if err != nil {
					b.Errorf("%+v: %v", reads, err)
				}
			})
		}
		m.Wait()
		if n := len(b.load(splitpin.Reads{User: u.Number, Credentials: true}).Credentials); n != 2 {
			b.Errorf("there are %d credentials where one more was to be added, want 2", n)
		}
	}
}

// addOnce: a credential that is not there leads to nobody and locks nothing; Create
// notices, and who runs again finds it with its user. A joined attempt, which both
// load, makes the second wait until the first is through; then it finds both too.
func addOnce(b *bench) {
	project := b.number()
	for _, joined := range []bool{false, true} {
		users := []*splitpin.User{User(b.number(), project), User(b.number(), project)}
		a := Attempt(b.number(), users[0])
		a.Identifier = ""
		b.create(a)
		key := CredentialKey(Credential(b.number(), users[0]))
		reads := splitpin.Reads{Credential: key, Credentials: true}
		if joined {
			reads.Attempt = a.ID.Number
		}
		m := b.meeting()
		var mu sync.Mutex
		seen := map[int64]bool{}
		for _, u := range users {
			mine := Credential(b.number(), u)
			mine.Kind, mine.Key = key.Kind, key.Key
			m.Go(func() {
				var number int64
				err := b.Change(b.Context(), reads, func(r *splitpin.Records) (splitpin.Writes, error) {
					m.meet()
					switch there := r.Credential != nil; {
					case there != (r.User != nil) || there != (len(r.Credentials) == 1):
						b.Errorf("the credential is %v, its user %v, and all are %v", r.Credential, r.User, r.Credentials)
					case joined && there != (r.Attempt.Credential == 0):
						b.Errorf("the credential is %v and the attempt names %d", r.Credential, r.Attempt.Credential)
					case there:
						number = r.User.Number
						return splitpin.Writes{}, nil
					}
					number = u.Number
					w := splitpin.Writes{Create: []splitpin.Record{u, mine}}
					if joined {
						r.Attempt.Credential = 0
						w.Put = []splitpin.Record{r.Attempt}
					}
					return w, nil
				})
				if err != nil {
					b.Error(err)
				}
				mu.Lock()
				seen[number] = true
				mu.Unlock()
			})
		}
		m.Wait()
		if r := b.load(reads); len(seen) != 1 || r.User == nil || !seen[r.User.Number] {
			b.Errorf("two callers got the users %v, and the credential is of %v", seen, r.User)
		}
	}
}

// oneCredential: what was loaded by its key and among those of its user is one record,
// of which a step saves what it changed in either.
func oneCredential(b *bench) {
	u := b.user()
	c, other := Credential(b.number(), u), Credential(b.number(), u)
	b.create(c, other)
	reads := splitpin.Reads{Credential: CredentialKey(c), Credentials: true}
	err := b.Change(b.Context(), reads, func(r *splitpin.Records) (w splitpin.Writes, _ error) {
		r.Credential.Label = "changed"
		for _, x := range r.Credentials {
			x.Device = "seen"
			w.Put = append(w.Put, x)
		}
		return w, nil
	})
	if err != nil {
		b.Fatal(err)
	}
	c.Label, c.Device, other.Device = "changed", "seen", "seen"
	r := b.load(reads)
	want(b, "credentials", r.Credentials, []*splitpin.Credential{other, c})
	if r.Credential != r.Credentials[1] {
		b.Error("Load returned two records of one credential")
	}
}

// locksInOrder: steps that come to the same records from different sides neither
// wait for each other for ever nor lose anything.
func locksInOrder(b *bench) {
	u := b.user()
	a := b.attempt(u)
	g, guesses := Grant(b.number(), a, u), Guesses(u)
	s1, s2 := LiveSession(b.number(), u), LiveSession(b.number(), u)
	m1, m2 := Message(b.number(), a), Message(b.number(), a)
	c1, c2 := Credential(b.number(), u), Credential(b.number(), u)
	b.create(g, guesses, s1, s2, m1, m2, c1, c2)
	all := []splitpin.Reads{
		{Attempt: a.ID.Number, Messages: []int64{m1.Number, m2.Number}},
		{Grant: g.Number, Messages: []int64{m2.Number, m1.Number}},
		{Session: s1.Number},
		{Session: s2.Number, Sessions: true},
		{User: u.Number, Sessions: true},
		{UserID: splitpin.UserKey{Project: u.Project, ID: u.ID}, Sessions: true},
		{Name: splitpin.Name{Project: u.Project, Identifier: u.Identifier}, Messages: []int64{m2.Number}},
		{Credential: CredentialKey(c1)},
		{Credential: CredentialKey(c2), Credentials: true, Sessions: true},
		{Attempt: a.ID.Number, Credential: CredentialKey(c1), Credentials: true},
		{Attempt: a.ID.Number, User: u.Number, Credentials: true},
		{Attempt: a.ID.Number, Name: splitpin.Name{Project: u.Project, Identifier: u.Identifier}},
	}
	const rounds = 10
	var wg sync.WaitGroup
	for _, reads := range all {
		wg.Go(func() {
			for range rounds {
				err := b.Change(b.Context(), reads, func(r *splitpin.Records) (w splitpin.Writes, _ error) {
					// Everything that was loaded is put, each once, what came first
					// last.
					for _, m := range r.Messages {
						m.Tries++
						w.Put = append(w.Put, m)
					}
					for _, c := range r.Credentials {
						c.KeyGeneration++
						w.Put = append(w.Put, c)
					}
					if r.Credential != nil && r.Credentials == nil {
						r.Credential.KeyGeneration++
						w.Put = append(w.Put, r.Credential)
					}
					for _, s := range r.Sessions {
						if r.Session == nil || s.Number != r.Session.Number {
							s.Counter++
							w.Put = append(w.Put, s)
						}
					}
					if r.Session != nil {
						r.Session.Counter++
						w.Put = append(w.Put, r.Session)
					}
					if r.Grant != nil {
						w.Put = append(w.Put, r.Grant)
					}
					if r.Attempt != nil {
						r.Attempt.Tries++
						w.Put = append(w.Put, r.Attempt)
					}
					if r.Guesses != nil {
						r.Guesses.Day++
						w.Put = append(w.Put, r.Guesses)
					}
					r.User.UpdatedAt = r.User.UpdatedAt.Add(time.Second)
					w.Put = append(w.Put, r.User)
					return w, nil
				})
				if err != nil {
					b.Errorf("%+v: %v", reads, err)
				}
			}
		})
	}
	wg.Wait()
	r := b.load(splitpin.Reads{Attempt: a.ID.Number, Sessions: true, Credentials: true, Messages: []int64{m1.Number, m2.Number}})
	want(b, "steps that the user saw", r.User.UpdatedAt.Sub(u.UpdatedAt), time.Duration(len(all)*rounds)*time.Second)
	want(b, "tries", r.Attempt.Tries, a.Tries+5*rounds)
	want(b, "guesses", r.Guesses.Day, guesses.Day+5*rounds)
	for _, c := range r.Credentials { // c1 was named alone and three times among all; c2 three times among all
		want(b, "generation", c.KeyGeneration, map[int64]int{c1.Number: c1.KeyGeneration + 4*rounds, c2.Number: c2.KeyGeneration + 3*rounds}[c.Number])
	}
	for _, s := range r.Sessions { // s1 was named once and four times a neighbour; s2 was named once and three times a neighbour
		want(b, "counter", s.Counter, map[int64]uint32{s1.Number: s1.Counter + 5*rounds, s2.Number: s2.Counter + 4*rounds}[s.Number])
	}
	for _, m := range r.Messages {
		want(b, "tries", m.Tries, map[int64]int{m1.Number: m1.Tries + 2*rounds, m2.Number: m2.Tries + 3*rounds}[m.Number])
	}
}
