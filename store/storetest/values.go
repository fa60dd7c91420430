package storetest

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"time"

	"github.com/splitpin/splitpin"
)

// extremes: numbers and moments at the ends of what a record can hold.
func extremes(b *bench) {
	u := b.user()
	for _, n := range []int64{math.MaxInt64, math.MinInt64, -1} {
		g := Guesses(User(b.number(), u.Project))
		g.Day = n
		e := AuditEvent(b.number(), u)
		e.User, e.Session, e.Attempt = n, n, n
		b.create(g, e)
		want(b, "event", must[[]*splitpin.AuditEvent](b)(b.AuditEvents(b.Context(), splitpin.AuditFilter{User: n}, 9)), []*splitpin.AuditEvent{e})
		r := b.load(splitpin.Reads{User: n})
		want(b, "nobody", r, &splitpin.Records{})
	}
	last := User(math.MaxInt64, u.Project)
	s := LiveSession(math.MaxInt64, last)
	s.Counter, s.Older.Counter, s.Newer.Counter = math.MaxUint32, math.MaxUint32-1, math.MaxUint32
	b.create(last, s)
	want(b, "the last session", b.load(splitpin.Reads{Session: math.MaxInt64, Sessions: true}),
		&splitpin.Records{Session: s, User: last, Sessions: []*splitpin.Session{s}})

	a := Attempt(b.number(), u)
	a.Tries, a.MaxTries = math.MaxInt32, math.MinInt32
	b.create(a)
	want(b, "attempt", b.load(splitpin.Reads{Attempt: a.ID.Number}).Attempt, a)
	if math.MaxInt > math.MaxInt32 {
		for _, n := range []int{math.MaxInt32 + 1, math.MinInt} {
			a.Tries = n
			if err := b.put(splitpin.Reads{Attempt: a.ID.Number}, a); err == nil || splitpin.ErrorOf(err) != nil {
				b.Errorf("%d tries: got error %v, want an internal one", n, err)
			}
		}
	}

	// What is smaller than a microsecond is cut off, and every zone is UTC.
	east := time.FixedZone("east", 3*60*60)
	for _, test := range []struct{ saved, kept time.Time }{
		{Now.Add(999 * time.Nanosecond), Now},
		{Now.In(east), Now},
		{time.Unix(-1, -1), time.Unix(-2, 999_999_000)},
		{time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC), time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC)},
		{time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)},
		{time.Time{}.In(east), time.Time{}},
	} {
		u.ProvedAt = test.saved
		if err := b.put(splitpin.Reads{User: u.Number}, u); err != nil {
			b.Fatal(err)
		}
		if !u.ProvedAt.Equal(test.saved) {
			b.Errorf("%v: the caller's own record was altered to %v", test.saved, u.ProvedAt)
		}
		got := b.load(splitpin.Reads{User: u.Number}).User.ProvedAt
		if !got.Equal(test.kept) || got.IsZero() != test.kept.IsZero() || got.Location() != time.UTC {
			b.Errorf("%v came back as %v, want %v", test.saved, got, test.kept.UTC())
		}
	}
}

// put puts one record and returns what came of it.
func (b *bench) put(reads splitpin.Reads, record splitpin.Record) error {
	b.Helper()
	return b.Change(b.Context(), reads, func(*splitpin.Records) (splitpin.Writes, error) {
		return splitpin.Writes{Put: []splitpin.Record{record}}, nil
	})
}

// noText: a text that not every store could keep is refused by all of them, in every
// column that holds one, and found by none.
func noText(b *bench) {
	u := b.user()
	a := b.attempt(u)
	for _, bad := range []string{"a\x00b", "\xff", "a\xc3", "\xed\xa0\x80"} {
		for _, fresh := range []func() splitpin.Record{
			func() splitpin.Record { return Project(b.number()) },
			func() splitpin.Record { return DataKey("codes", int(b.number())) },
			func() splitpin.Record { return SigningKey(b.number(), u.Project) },
			func() splitpin.Record { return User(b.number(), u.Project) },
			func() splitpin.Record { return Attempt(b.number(), u) },
			func() splitpin.Record { return Grant(b.number(), a, u) },
			func() splitpin.Record { return Session(b.number(), u) },
			func() splitpin.Record { return Credential(b.number(), u) },
			func() splitpin.Record { return Message(b.number(), a) },
			func() splitpin.Record { return AuditEvent(b.number(), u) },
		} {
			fields := 0
			for i := range reflect.TypeOf(fresh()).Elem().NumField() {
				r := fresh()
				field := reflect.TypeOf(r).Elem().Field(i)
				if field.Type.Kind() != reflect.String {
					continue
				}
				fields++
				reflect.ValueOf(r).Elem().Field(i).SetString(bad)
				err := b.Change(b.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
					return splitpin.Writes{Create: []splitpin.Record{&splitpin.AuditEvent{Number: 1 << 40}, r}}, nil
				})
				if !errors.Is(err, splitpin.ErrText) {
					b.Errorf("%T.%s = %q: got error %v, want ErrText", r, field.Name, bad, err)
				}
			}
			if fields == 0 {
				b.Errorf("a %T has no text", fresh())
			}
		}
		if events := must[[]*splitpin.AuditEvent](b)(b.AuditEvents(b.Context(), splitpin.AuditFilter{}, 9)); len(events) != 0 {
			b.Fatal("something of a step that was refused is there")
		}
		changed := *u
		changed.Locale = bad
		if err := b.put(splitpin.Reads{User: u.Number}, &changed); !errors.Is(err, splitpin.ErrText) {
			b.Errorf("putting %q: got error %v, want ErrText", bad, err)
		}
		want(b, "user", b.load(splitpin.Reads{User: u.Number}).User, u)

		for _, reads := range []splitpin.Reads{
			{Project: bad},
			{Name: splitpin.Name{Project: u.Project, Identifier: bad}, Sessions: true},
			{UserID: splitpin.UserKey{Project: u.Project, ClientUserID: bad}, Sessions: true},
			{Credential: splitpin.CredentialKey{Project: u.Project, Kind: splitpin.CredentialKind(bad), Key: [32]byte{1}}, Credentials: true},
		} {
			want(b, "reading by "+bad, b.load(reads), &splitpin.Records{})
			err := b.Change(b.Context(), reads, func(r *splitpin.Records) (splitpin.Writes, error) {
				want(b, "a step by "+bad, r, &splitpin.Records{})
				return splitpin.Writes{}, nil
			})
			if err != nil {
				b.Errorf("a step by %q: %v", bad, err)
			}
		}
		for _, reads := range []splitpin.Reads{
			{Attempt: a.ID.Number, Name: splitpin.Name{Project: u.Project, Identifier: bad}},
			{Attempt: a.ID.Number, Credential: splitpin.CredentialKey{Project: u.Project, Kind: splitpin.CredentialKind(bad), Key: [32]byte{1}}},
		} {
			want(b, "an attempt joined by "+bad, b.load(reads), &splitpin.Records{Attempt: a})
		}
		want(b, "an id that is right", b.load(splitpin.Reads{UserID: splitpin.UserKey{Project: u.Project, ID: u.ID, ClientUserID: bad}}).User, u)
		want(b, "messages", must[[]*splitpin.Message](b)(b.Messages(b.Context(), splitpin.MessageFilter{To: bad}, 9)), nil)
		want(b, "events", must[[]*splitpin.AuditEvent](b)(b.AuditEvents(b.Context(), splitpin.AuditFilter{Kind: bad}, 9)), nil)
	}
	fine := User(b.number(), u.Project)
	fine.Locale = strings.Repeat("\U0010ffff\u0001\ufffd\t", 100)
	b.create(fine)
	want(b, "odd, but text", b.load(splitpin.Reads{User: fine.Number}).User, fine)
}

// unloadedPuts: only what a step loaded may it replace, as nothing else is locked.
func unloadedPuts(b *bench) {
	u, other := b.user(), b.user()
	a := b.attempt(u)
	s, c := LiveSession(b.number(), u), Credential(b.number(), u)
	b.create(s, c)
	for _, test := range []struct {
		name   string
		reads  splitpin.Reads
		record splitpin.Record
	}{
		{"nothing was loaded", splitpin.Reads{}, u},
		{"another user was loaded", splitpin.Reads{User: other.Number}, u},
		{"the user was loaded, not the session", splitpin.Reads{User: u.Number}, s},
		{"the user was loaded, not the credential", splitpin.Reads{User: u.Number}, c},
		{"a name that nobody has", splitpin.Reads{Name: splitpin.Name{Project: u.Project, Identifier: "nobody@example.com"}}, User(b.number(), u.Project)},
		{"an attempt that is not there", splitpin.Reads{Attempt: 1 << 60}, a},
		{"an event", splitpin.Reads{User: u.Number}, AuditEvent(b.number(), u)},
		{"a user who was loaded without a lock", splitpin.Reads{User: u.Number, Unlocked: true}, u},
	} {
		runs := 0
		err := b.Change(b.Context(), test.reads, func(*splitpin.Records) (splitpin.Writes, error) {
			runs++
			return splitpin.Writes{Create: []splitpin.Record{&splitpin.AuditEvent{Number: 1 << 40}}, Put: []splitpin.Record{test.record}}, nil
		})
		if err == nil || splitpin.ErrorOf(err) != nil || runs < 1 {
			b.Errorf("%s: got error %v, want an internal one", test.name, err)
		}
	}
	// Nor does another key make the record another that is locked.
	err := b.Change(b.Context(), splitpin.Reads{User: u.Number}, func(r *splitpin.Records) (splitpin.Writes, error) {
		r.User.Number, r.User.Identifier, r.User.ID, r.User.ClientUserID = other.Number, "new@example.com", splitpin.NewUUID(), ""
		return splitpin.Writes{Put: []splitpin.Record{r.User}}, nil
	})
	if err == nil || splitpin.ErrorOf(err) != nil {
		b.Errorf("another key: got error %v, want an internal one", err)
	}
	for _, same := range []*splitpin.User{u, other} {
		want(b, "user", b.load(splitpin.Reads{User: same.Number}).User, same)
	}
	want(b, "events", must[[]*splitpin.AuditEvent](b)(b.AuditEvents(b.Context(), splitpin.AuditFilter{}, 9)), nil)
}
