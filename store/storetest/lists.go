package storetest

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/splitpin/splitpin"
)

func lists(b *bench) {
	ctx := b.Context()
	p1, p2 := Project(b.number()), Project(b.number())
	b.create(p2, p1)
	want(b, "Projects", must[[]*splitpin.Project](b)(b.Projects(ctx)), []*splitpin.Project{p1, p2})

	a2, b1, b10 := DataKey("a", 2), DataKey("b", 1), DataKey("b", 10)
	b1.Wrapped = nil // of a key that was destroyed the row stays
	b.create(b10, a2, b1)
	want(b, "DataKeys", must[[]*splitpin.DataKey](b)(b.DataKeys(ctx)), []*splitpin.DataKey{a2, b1, b10})

	k1, k2, gone := SigningKey(b.number(), 1), SigningKey(b.number(), 1), SigningKey(b.number(), 1)
	k1.GoneAt, k2.GoneAt = time.Time{}, time.Time{}
	b.create(gone, k2, k1)
	want(b, "SigningKeys", must[[]*splitpin.SigningKey](b)(b.SigningKeys(ctx)), []*splitpin.SigningKey{k1, k2})

	// By the time of creation, which an import may set, and not by number.
	var people []*splitpin.User
	for i := range 5 {
		u := User(b.number(), p1.Number)
		u.CreatedAt = Now.Add(-time.Duration(i) * time.Hour)
		people = append(people, u)
		b.create(u)
	}
	same := User(b.number(), p1.Number)
	same.CreatedAt = people[2].CreatedAt
	b.create(same, User(b.number(), p2.Number))
	people = slices.Insert(people, 2, same) // of two at one time, the greater number first
	users := func(offset, limit int) []*splitpin.User {
		return must[[]*splitpin.User](b)(b.Users(ctx, p1.Number, offset, limit))
	}
	want(b, "Users", users(0, 100), people)
	want(b, "Users, first page", users(0, 4), people[:4])
	want(b, "Users, second page", users(4, 4), people[4:])
	want(b, "Users, beyond", users(6, 4), nil)
	want(b, "Users, none", users(0, 0), nil)

	u := people[0]
	s1, s2, ended := LiveSession(b.number(), u), LiveSession(b.number(), u), Session(b.number(), u)
	s1.CreatedAt, s2.CreatedAt = Now, Now.Add(time.Second)
	s1.IdleUntil = Now.Add(-time.Hour) // ended, but nobody revoked it
	b.create(s1, s2, ended, LiveSession(b.number(), people[1]))
	want(b, "Sessions", must[[]*splitpin.Session](b)(b.Sessions(ctx, u.Number)), []*splitpin.Session{s2, s1})

	s2.RevokedAt = Now
	b.save(splitpin.Reads{Session: s2.Number}, splitpin.Writes{Put: []splitpin.Record{s2}})
	want(b, "Sessions after one was revoked", must[[]*splitpin.Session](b)(b.Sessions(ctx, u.Number)), []*splitpin.Session{s1})

	passkey := func(project int64, kind splitpin.CredentialKind, site string) *splitpin.Credential {
		c := Credential(b.number(), u)
		c.Project, c.Kind, c.Site = project, kind, site
		c.Key = sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(c.Number)))
		b.create(c)
		return c
	}
	shop, club := passkey(p1.Number, splitpin.PasskeyCredential, "shop.example"), passkey(p1.Number, splitpin.PasskeyCredential, "Club.example")
	passkey(p1.Number, splitpin.PasskeyCredential, "shop.example")
	passkey(p1.Number, splitpin.BrowserCredential, "other.example")
	passkey(p1.Number+1, splitpin.PasskeyCredential, "another.example")
	sites := func(project int64) []*splitpin.Credential {
		return must[[]*splitpin.Credential](b)(b.Sites(ctx, project, splitpin.PasskeyCredential))
	}
	want(b, "Sites", sites(p1.Number), []*splitpin.Credential{club, shop})
	want(b, "Sites of nobody", sites(p1.Number+2), nil)
	want(b, "CountAt", must[int64](b)(b.CountAt(ctx, p1.Number, splitpin.PasskeyCredential, "shop.example")), 2)
	want(b, "CountAt a site of nobody", must[int64](b)(b.CountAt(ctx, p1.Number, splitpin.PasskeyCredential, "another.example")), 0)
	want(b, "CountAt what is no text", must[int64](b)(b.CountAt(ctx, p1.Number, splitpin.PasskeyCredential, "\x00")), 0)
}

func auditFilters(b *bench) {
	u := User(b.number(), b.number())
	var all []*splitpin.AuditEvent
	old := AuditEvent(b.number(), u)
	old.Project, old.User, old.Session, old.Kind, old.Subject = 5, 7, 8, "z", [12]byte{2}
	noon := old.At
	old.At = noon.Add(-24 * time.Hour)
	all = append(all, old)
	b.create(old)
	for i := range 6 {
		e := AuditEvent(b.number(), u)
		e.Project, e.User, e.Session = int64(i%2+1), int64(i%3+1), int64(i+1)
		e.Kind = []string{"x", "y"}[i/3]
		e.Subject = [12]byte{byte(i % 2), 9}
		e.At = noon.Add(-time.Duration([]int{1, 0, 3, 2, 3, 2}[i]) * time.Minute) // processes take their numbers in blocks
		all = append(all, e)
		b.create(e)
	}
	slices.SortFunc(all, func(a, b *splitpin.AuditEvent) int { // newest first
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(b.Number, a.Number))
	})
	for _, test := range []struct {
		name   string
		filter splitpin.AuditFilter
		keep   func(*splitpin.AuditEvent) bool
	}{
		{"all", splitpin.AuditFilter{}, func(e *splitpin.AuditEvent) bool { return true }},
		{"project", splitpin.AuditFilter{Project: 2}, func(e *splitpin.AuditEvent) bool { return e.Project == 2 }},
		{"user", splitpin.AuditFilter{User: 3}, func(e *splitpin.AuditEvent) bool { return e.User == 3 }},
		{"session", splitpin.AuditFilter{Session: 4}, func(e *splitpin.AuditEvent) bool { return e.Session == 4 }},
		{"kind", splitpin.AuditFilter{Kind: "y"}, func(e *splitpin.AuditEvent) bool { return e.Kind == "y" }},
		{"subject", splitpin.AuditFilter{Subject: [12]byte{1, 9}}, func(e *splitpin.AuditEvent) bool { return e.Subject[0] == 1 }},
		{"kind and user", splitpin.AuditFilter{Kind: "x", User: 1}, func(e *splitpin.AuditEvent) bool { return e.Kind == "x" && e.User == 1 }},
		{"nobody", splitpin.AuditFilter{User: 99}, func(e *splitpin.AuditEvent) bool { return false }},
	} {
		var expected []*splitpin.AuditEvent
		for _, e := range all {
			if test.keep(e) {
				expected = append(expected, e)
			}
		}
		got := must[[]*splitpin.AuditEvent](b)(b.AuditEvents(b.Context(), test.filter, 100))
		want(b, test.name, got, expected)
		got = must[[]*splitpin.AuditEvent](b)(b.AuditEvents(b.Context(), test.filter, 1))
		want(b, test.name+", one", got, expected[:min(1, len(expected))])
	}
}

func messageFilters(b *bench) {
	u, other := b.user(), b.user()
	a, a2 := b.attempt(u), b.attempt(other)
	sent, given, waits := Message(b.number(), a), Message(b.number(), a2), DueMessage(b.number(), a, Now)
	sent.GivenUpAt = time.Time{}
	b.create(sent, given, waits)
	for _, test := range []struct {
		name   string
		filter splitpin.MessageFilter
		want   []*splitpin.Message
	}{
		{"all", splitpin.MessageFilter{}, []*splitpin.Message{waits, given, sent}},
		{"project", splitpin.MessageFilter{Project: u.Project}, []*splitpin.Message{waits, sent}},
		{"attempt", splitpin.MessageFilter{Attempt: a2.ID.Number}, []*splitpin.Message{given}},
		{"recipient", splitpin.MessageFilter{To: u.Identifier}, []*splitpin.Message{waits, sent}},
		{"given up", splitpin.MessageFilter{GivenUp: true}, []*splitpin.Message{given}},
		{"given up of a project", splitpin.MessageFilter{GivenUp: true, Project: u.Project}, nil},
	} {
		got := must[[]*splitpin.Message](b)(b.Messages(b.Context(), test.filter, 100))
		want(b, test.name, got, test.want)
		got = must[[]*splitpin.Message](b)(b.Messages(b.Context(), test.filter, 1))
		want(b, test.name+", one", got, test.want[:min(1, len(test.want))])
	}
}

func claiming(b *bench) {
	a, gone := b.attempt(b.user()), Attempt(b.number(), b.user()) // of one the attempt was swept
	late := DueMessage(b.number(), a, Now.Add(-time.Minute))
	early := DueMessage(b.number(), a, Now.Add(-time.Hour))
	now := DueMessage(b.number(), gone, Now)
	future := DueMessage(b.number(), a, Now.Add(time.Microsecond))
	sent, given := DueMessage(b.number(), a, Now), DueMessage(b.number(), a, Now)
	sent.SentAt, given.GivenUpAt = Now, Now
	b.create(late, early, now, future, sent, given)
	until := Now.Add(5 * time.Minute)
	claim := func(at time.Time, limit int) []splitpin.Claimed {
		return must[[]splitpin.Claimed](b)(b.ClaimMessages(b.Context(), at, until, limit))
	}
	claimed := func(messages ...*splitpin.Message) (list []splitpin.Claimed) {
		for _, m := range messages {
			m.DueAt = until
			m.Tries++
			c := splitpin.Claimed{Message: m, Attempt: a}
			if m == now {
				c.Attempt = nil
			}
			list = append(list, c)
		}
		return list
	}
	want(b, "none", claim(Now, 0), nil)
	want(b, "the two oldest", claim(Now, 2), claimed(early, late))
	want(b, "the rest", claim(Now, 10), claimed(now))
	want(b, "nothing", claim(Now, 10), nil)
	for _, m := range []*splitpin.Message{early, late, now, future, sent, given} {
		want(b, "saved", first(b.load(splitpin.Reads{Messages: []int64{m.Number}}).Messages), m)
	}

	// A node that died while it tried: due again at until.
	early.SentAt = Now
	late.DueAt = until.Add(time.Microsecond) // tried, failed, to be tried later
	b.save(splitpin.Reads{Messages: []int64{late.Number, early.Number}}, splitpin.Writes{Put: []splitpin.Record{early, late}})
	until = Now.Add(time.Hour)
	want(b, "due again", claim(Now.Add(5*time.Minute), 10), claimed(future, now))
}

// take charges and checks the outcome; wait is compared to the microsecond.
func take(b *bench, what string, now time.Time, refused int, wait time.Duration, charges ...splitpin.Charge) {
	b.Helper()
	gotRefused, gotWait, err := b.Take(b.Context(), now, charges...)
	if err != nil || gotRefused != refused || gotWait != wait {
		b.Errorf("%s: refused %d, wait %v, error %v; want refused %d, wait %v", what, gotRefused, gotWait, err, refused, wait)
	}
}

func limits(b *bench) {
	five := splitpin.Charge{Key: 1, Burst: 5, Period: 5 * time.Minute, Cost: 1}
	with := func(cost int) splitpin.Charge { c := five; c.Cost = cost; return c }
	take(b, "no charge", Now, -1, 0)
	for range 5 {
		take(b, "within the burst", Now, -1, 0, five)
	}
	take(b, "beyond it", Now, 0, time.Minute, five)
	take(b, "asking when empty", Now, 0, time.Minute, with(0))
	take(b, "two at once", Now, 0, 2*time.Minute, with(2))
	take(b, "almost", Now.Add(time.Minute-time.Microsecond), 0, time.Microsecond, five)
	take(b, "asking in time", Now.Add(time.Minute), -1, 0, with(0))
	take(b, "asking again: it took nothing", Now.Add(time.Minute), -1, 0, with(0))
	take(b, "refilled by one", Now.Add(time.Minute), -1, 0, five)
	take(b, "and no more", Now.Add(time.Minute), 0, time.Minute, five)
	take(b, "given back", Now.Add(time.Minute), -1, 0, with(-1))
	take(b, "what was given back", Now.Add(time.Minute), -1, 0, five)
	take(b, "given back more than was taken", Now.Add(time.Minute), -1, 0, with(-100))
	take(b, "a full bucket holds five", Now.Add(time.Minute), -1, 0, with(5))
	take(b, "and no more", Now.Add(time.Minute), 0, time.Minute, five)
	take(b, "full after a period", Now.Add(6*time.Minute), -1, 0, with(5))
	take(b, "long after, a full bucket holds five still", Now.Add(time.Hour), -1, 0, with(5))
	take(b, "and no more", Now.Add(time.Hour), 0, time.Minute, five)

	take(b, "another key", Now, -1, 0, splitpin.Charge{Key: 2, Burst: 1, Period: time.Second, Cost: 1})
	take(b, "more than the burst never goes", Now, 0, time.Second, splitpin.Charge{Key: 3, Burst: 1, Period: time.Second, Cost: 2})
	take(b, "a limit of none", Now, 0, time.Second, splitpin.Charge{Key: 4, Burst: 0, Period: time.Second, Cost: 1})
	for range 7 {
		take(b, "seven in a period that seven does not divide", Now, -1, 0, splitpin.Charge{Key: 5, Burst: 7, Period: time.Second, Cost: 1})
	}
	if refused, _, _ := b.Take(b.Context(), Now, splitpin.Charge{Key: 5, Burst: 7, Period: time.Second, Cost: 1}); refused != 0 {
		b.Error("an eighth of seven was admitted")
	}
	take(b, "large numbers", Now, -1, 0, splitpin.Charge{Key: 6, Burst: 1 << 30, Period: 10 * 365 * 24 * time.Hour, Cost: 1 << 30})
}

func limitsTogether(b *bench) {
	wide := splitpin.Charge{Key: 1, Burst: 3, Period: 3 * time.Minute, Cost: 1}
	narrow := splitpin.Charge{Key: 2, Burst: 1, Period: time.Hour, Cost: 1}
	take(b, "both", Now, -1, 0, wide, narrow)
	take(b, "the second refuses", Now, 1, time.Hour, wide, narrow)
	take(b, "the second refuses, twice", Now, 1, time.Hour, wide, narrow)
	two := wide
	two.Cost = 2
	take(b, "the first was not charged by that", Now, -1, 0, two)
	take(b, "both refuse, and the first is told", Now, 0, time.Minute, wide, narrow)
	take(b, "both refuse, and the first is told", Now, 0, time.Hour, narrow, wide)
	if _, _, err := b.Take(b.Context(), Now.Add(time.Minute), wide, narrow, wide); err == nil {
		b.Error("a key was charged twice at once")
	}
	take(b, "which took nothing", Now.Add(time.Minute), -1, 0, wide)

	back := wide
	back.Cost = -1
	take(b, "given back and refused", Now.Add(time.Minute), 1, time.Hour-time.Minute, back, narrow)
	take(b, "so it was not given back", Now.Add(time.Minute), 0, time.Minute, wide)
}

// limitsAndClocks: a clock that jumps locks nobody out for longer than the
// period.
func limitsAndClocks(b *bench) {
	c := splitpin.Charge{Key: 1, Burst: 2, Period: 2 * time.Minute, Cost: 1}
	year := 365 * 24 * time.Hour
	take(b, "in the far future", Now.Add(year), -1, 0, c)
	take(b, "in the far future", Now.Add(year), -1, 0, c)
	take(b, "back: it counts as empty", Now, 0, time.Minute, c)
	take(b, "and refills from then on", Now.Add(30*time.Second), 0, 30*time.Second, c)
	take(b, "and refills from then on", Now.Add(time.Minute), -1, 0, c)

	// The same when the limit itself became narrower.
	long := splitpin.Charge{Key: 2, Burst: 1, Period: year, Cost: 1}
	short := splitpin.Charge{Key: 2, Burst: 1, Period: time.Minute, Cost: 1}
	take(b, "a year's limit", Now, -1, 0, long)
	take(b, "made a minute's", Now, 0, time.Minute, short)
	take(b, "a minute later", Now.Add(time.Minute), -1, 0, short)
}

func limitsContended(b *bench) {
	c := splitpin.Charge{Key: 1, Burst: 50, Period: time.Hour, Cost: 1}
	var mu sync.Mutex
	admitted := 0
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 10 {
				refused, _, err := b.Take(b.Context(), Now, c)
				if err != nil {
					b.Error(err)
				}
				mu.Lock()
				if refused == -1 {
					admitted++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	want(b, "admitted", admitted, 50)
}

// sweepAll sweeps until nothing is found. Tables as small as here are looked at
// whole in one call.
func sweepAll(b *bench, now, auditBefore time.Time) (total int) {
	b.Helper()
	for {
		n, err := b.Sweep(b.Context(), now, auditBefore, 100)
		if err != nil {
			b.Fatal(err)
		}
		if n == 0 {
			return total
		}
		total += n
	}
}

func sweeping(b *bench) {
	u := User(b.number(), b.number())
	hour := Now.Add(-time.Hour)
	today := Now.Unix() / (24 * 60 * 60)
	attempt := func(expires time.Time) *splitpin.Attempt {
		a := Attempt(b.number(), u)
		a.ExpiresAt = expires
		return a
	}
	grant := func(expires time.Time) *splitpin.Grant {
		g := Grant(b.number(), attempt(expires), u)
		g.ExpiresAt = expires
		return g
	}
	message := func(expires time.Time) *splitpin.Message {
		m := Message(b.number(), attempt(expires))
		m.ExpiresAt = expires
		return m
	}
	session := func(change func(*splitpin.Session)) *splitpin.Session {
		s := LiveSession(b.number(), u)
		change(s)
		return s
	}
	credential := func(expires time.Time) *splitpin.Credential {
		c := Credential(b.number(), u)
		c.ExpiresAt = expires
		return c
	}
	guesses := func(day int64) *splitpin.Guesses {
		g := Guesses(User(b.number(), u.Project))
		g.Day = day
		return g
	}
	event := func(at time.Time) *splitpin.AuditEvent {
		e := AuditEvent(b.number(), u)
		e.At = at
		return e
	}
	tick := time.Microsecond
	auditBefore := Now.Add(-30 * 24 * time.Hour)
	kept := []splitpin.Record{
		u, Project(b.number()), DataKey("codes", 1), SigningKey(b.number(), 1),
		attempt(hour.Add(tick)), grant(hour.Add(tick)), message(hour.Add(tick)),
		session(func(s *splitpin.Session) { s.IdleUntil = Now.Add(tick) }),
		session(func(s *splitpin.Session) { s.ExpiresAt = Now.Add(tick) }),
		credential(time.Time{}), credential(Now.Add(tick)),
		guesses(today - 31), guesses(today), event(auditBefore),
	}
	dead := []splitpin.Record{
		attempt(hour), grant(hour), message(hour), attempt(hour.Add(-time.Hour)),
		session(func(s *splitpin.Session) { s.RevokedAt = Now.Add(-tick) }),
		session(func(s *splitpin.Session) { s.IdleUntil = Now }),
		session(func(s *splitpin.Session) { s.ExpiresAt = Now }),
		credential(Now),
		guesses(today - 32), event(auditBefore.Add(-tick)),
	}
	b.create(slices.Concat(dead, kept)...)
	if n := sweepAll(b, Now, auditBefore); n != len(dead) {
		b.Errorf("%d records were swept, want %d", n, len(dead))
	}
	// What is there cannot be created, all else can.
	for i, r := range slices.Concat(dead, kept) {
		err := b.Change(b.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
			return splitpin.Writes{Create: []splitpin.Record{r}}, nil
		})
		switch {
		case i < len(dead) && err != nil:
			b.Errorf("%T was not swept: %v: %+v", r, err, r)
		case i >= len(dead) && !errors.Is(err, splitpin.ErrConflict):
			b.Errorf("%T was swept: %v: %+v", r, err, r)
		}
	}
}

func sweepingLimit(b *bench) {
	u := User(b.number(), b.number())
	var dead []splitpin.Record
	for range 25 {
		a := Attempt(b.number(), u)
		a.ExpiresAt = Now.Add(-2 * time.Hour)
		s := Session(b.number(), u)
		dead = append(dead, a, s)
	}
	b.create(dead...)
	left := len(dead)
	for left > 0 {
		n, err := b.Sweep(b.Context(), Now, time.Time{}, 10)
		if err != nil || n < 1 || n > 10 {
			b.Fatalf("swept %d of %d, error %v", n, left, err)
		}
		left -= n
	}
	if n := sweepAll(b, Now, time.Time{}); n != 0 {
		b.Errorf("%d were swept of nothing", n)
	}
	// A limit that is full again is swept, and then full.
	c := splitpin.Charge{Key: 1, Burst: 1, Period: time.Minute, Cost: 1}
	take(b, "a charge", Now, -1, 0, c)
	sweepAll(b, Now.Add(time.Minute-time.Microsecond), time.Time{})
	take(b, "not full yet", Now, 0, time.Minute, c)
	sweepAll(b, Now.Add(time.Minute), time.Time{})
	take(b, "full", Now.Add(time.Minute), -1, 0, c)
}

func versions(b *bench) {
	other := b.another()
	last := must[int64](b)(b.Version(b.Context()))
	p, d, k := Project(b.number()), DataKey("codes", 1), SigningKey(b.number(), 1)
	for i, w := range []splitpin.Writes{
		{Create: []splitpin.Record{p}}, {Create: []splitpin.Record{d}}, {Create: []splitpin.Record{k}},
		{Put: []splitpin.Record{p}}, {Put: []splitpin.Record{d}}, {Put: []splitpin.Record{k}},
		{Delete: []splitpin.Record{p}}, {Delete: []splitpin.Record{d}}, {Delete: []splitpin.Record{k}},
	} {
		b.save(splitpin.Reads{Settings: true}, w)
		now := must[int64](b)(b.Version(b.Context()))
		if now <= last {
			b.Errorf("write %d: version %d after %d", i, now, last)
		}
		if seen := must[int64](b)(other.Version(b.Context())); seen != now {
			b.Errorf("write %d: the other store sees version %d, want %d", i, seen, now)
		}
		last = now
	}
	// A step that was rolled back changed nothing.
	b.Change(b.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
		return splitpin.Writes{Create: []splitpin.Record{p, p}}, nil
	})
	want(b, "version after a step that failed", must[int64](b)(b.Version(b.Context())), last)
}

// clock: the database's and this test's are those of one machine.
func clock(b *bench) {
	before := time.Now().Add(-time.Second)
	now := must[time.Time](b)(b.Now(b.Context()))
	if after := time.Now().Add(time.Second); now.Before(before) || now.After(after) {
		b.Errorf("it is %v in the database, want a moment between %v and %v", now, before, after)
	}
	if now.Location() != time.UTC || now.Nanosecond()%1000 != 0 {
		b.Errorf("it is %v in the database, want UTC in whole microseconds", now)
	}
}

func reopening(b *bench) {
	s := b.open(b.T, b.dir) // closed by hand
	u := User(b.number(), b.number())
	a := Attempt(b.number(), u)
	session := LiveSession(b.number(), u)
	err := s.Change(b.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
		return splitpin.Writes{Create: []splitpin.Record{u, a, session}}, nil
	})
	if err != nil {
		b.Fatal(err)
	}
	c := splitpin.Charge{Key: 1, Burst: 1, Period: 100 * 365 * 24 * time.Hour, Cost: 1}
	if refused, _, err := s.Take(b.Context(), time.Now(), c); refused != -1 || err != nil {
		b.Fatal(refused, err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	again := b.another()
	got, err := again.Load(b.Context(), splitpin.Reads{Attempt: a.ID.Number, Sessions: true})
	if err != nil {
		b.Fatal(err)
	}
	want(b, "records", got, &splitpin.Records{Attempt: a, User: u, Sessions: []*splitpin.Session{session}})
	if refused, _, err := again.Take(b.Context(), time.Now(), c); refused != 0 || err != nil {
		b.Errorf("a limit was forgotten by a Close: refused %d, error %v", refused, err)
	}
}

func afterClose(b *bench) {
	s := b.open(b.T, b.dir)
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		b.Fatal(err)
	}
	ctx := b.Context()
	fails := map[string]error{}
	fails["Change"] = s.Change(ctx, splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
		b.Error("a step ran")
		return splitpin.Writes{}, nil
	})
	_, fails["Load"] = s.Load(ctx, splitpin.Reads{})
	_, fails["NextNumber"] = s.NextNumber(ctx)
	_, _, fails["Take"] = s.Take(ctx, Now)
	_, fails["Projects"] = s.Projects(ctx)
	_, fails["ClaimMessages"] = s.ClaimMessages(ctx, Now, Now, 1)
	_, fails["Version"] = s.Version(ctx)
	_, fails["Now"] = s.Now(ctx)
	_, fails["Sweep"] = s.Sweep(ctx, Now, Now, 1)
	for method, err := range fails {
		if !errors.Is(err, splitpin.ErrUnavailable) {
			b.Errorf("%s: got error %v, want ErrUnavailable", method, err)
		}
	}
}
