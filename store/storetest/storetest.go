// Package storetest holds what every [splitpin.Store] must pass, and fixtures
// with every field set, for anybody who tests with a real store.
//
// Nothing here is peculiar to one engine. Where two steps must meet, the first waits
// inside its closure until the second is there too, which catches an engine that does
// not keep them apart, or until the engine says that the second waits for it.
package storetest

import (
	"cmp"
	"context"
	"errors"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/splitpin/splitpin"
)

// An Open opens the store that belongs to dir, an empty directory at first. The
// same dir gives the same data again, also to two that are open at once. The
// suite closes what it opened.
type Open func(t *testing.T, dir string) splitpin.Store

// A Waits returns what reports whether a step on the data of dir, which s has open,
// waits for another step: for a lock, or in a queue.
type Waits func(t *testing.T, dir string, s splitpin.Store) func() bool

// Run runs the suite, each test with a store of its own.
func Run(t *testing.T, open Open, waits Waits) {
	for _, test := range []struct {
		name string
		run  func(*bench)
	}{
		{"fixtures are complete", fixturesAreComplete},
		{"every field of every noun", everyField},
		{"large values", largeValues},
		{"what fits", extremes},
		{"text that is none", noText},
		{"a put of what was not loaded", unloadedPuts},
		{"reads", reads},
		{"reads that find nothing", readsThatFindNothing},
		{"a verdict commits, an error rolls back", verdicts},
		{"records belong to the closure", ownership},
		{"delete, create, put", order},
		{"creating what exists", createExisting},
		{"a conflict settled by running again", conflictSettled},
		{"neighbours", neighbours},
		{"panics", panics},
		{"no increment is lost", increments},
		{"two increments that meet", incrementsThatMeet},
		{"every kind of record that meets", everythingMeets},
		{"a user who appears", userAppears},
		{"loads see one moment", oneMoment},
		{"a grant is spent once", spendOnce},
		{"two who create one user", createOnce},
		{"guesses that meet", guessesThatMeet},
		{"two settings steps that meet", settingsThatMeet},
		{"two sessions steps that meet", sessionsThatMeet},
		{"two credentials steps that meet", credentialsThatMeet},
		{"two who add one credential", addOnce},
		{"a credential loaded twice", oneCredential},
		{"steps that lock the same in every way", locksInOrder},
		{"contexts", contexts},
		{"a context that ends while waiting", contextWhileWaiting},
		{"numbers", numbers},
		{"lists", lists},
		{"audit filters", auditFilters},
		{"message filters", messageFilters},
		{"claiming", claiming},
		{"two who claim", claimingThatMeets},
		{"limits", limits},
		{"limits are charged together or not at all", limitsTogether},
		{"limits and clocks that jump", limitsAndClocks},
		{"limits under contention", limitsContended},
		{"sweeping", sweeping},
		{"sweeping by and by", sweepingLimit},
		{"versions", versions},
		{"the clock", clock},
		{"reopening", reopening},
		{"two stores on the same data", twoStores},
		{"after Close", afterClose},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			b := &bench{T: t, dir: dir, open: open, waits: waits}
			b.Store = b.another()
			test.run(b)
		})
	}
}

// A bench is a test with its store. Its methods end the test on an error.
type bench struct {
	*testing.T
	splitpin.Store
	dir   string
	open  Open
	waits Waits
}

// another opens the same data once more.
func (b *bench) another() splitpin.Store {
	b.Helper()
	s := b.open(b.T, b.dir)
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Errorf("closing: %v", err)
		}
	})
	return s
}

func (b *bench) number() int64 {
	b.Helper()
	n, err := b.NextNumber(b.Context())
	if err != nil {
		b.Fatalf("getting a number: %v", err)
	}
	return n
}

// save saves w, which puts nothing but what reads name.
func (b *bench) save(reads splitpin.Reads, w splitpin.Writes) {
	b.Helper()
	err := b.Change(b.Context(), reads, func(*splitpin.Records) (splitpin.Writes, error) { return w, nil })
	if err != nil {
		b.Fatalf("saving: %v", err)
	}
}

func (b *bench) create(records ...splitpin.Record) {
	b.Helper()
	b.save(splitpin.Reads{}, splitpin.Writes{Create: records})
}

func (b *bench) load(r splitpin.Reads) *splitpin.Records {
	b.Helper()
	got, err := b.Load(b.Context(), r)
	if err != nil {
		b.Fatalf("loading %+v: %v", r, err)
	}
	return got
}

// user creates a user of a project of its own.
func (b *bench) user() *splitpin.User {
	b.Helper()
	u := User(b.number(), b.number())
	b.create(u)
	return u
}

func (b *bench) attempt(u *splitpin.User) *splitpin.Attempt {
	b.Helper()
	a := Attempt(b.number(), u)
	b.create(a)
	return a
}

// want compares, with nil and empty the same.
func want[T any](b *bench, what string, got, expected T) {
	b.Helper()
	if diff := gocmp.Diff(expected, got, cmpopts.EquateEmpty()); diff != "" {
		b.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// must returns a list that was read without error.
func must[T any](b *bench) func(T, error) T {
	return func(v T, err error) T {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
		return v
	}
}

func fixturesAreComplete(b *bench) {
	u := User(1, 2)
	a := Attempt(3, u)
	for _, record := range []splitpin.Record{
		Project(4), DataKey("codes", 5), SigningKey(6, 7), u, a, Grant(8, a, u), Guesses(u),
		Session(9, u), Message(10, a), AuditEvent(11, u), Credential(12, u),
	} {
		checkFilled(b, reflect.TypeOf(record).String(), reflect.ValueOf(record).Elem())
	}
}

func checkFilled(b *bench, path string, v reflect.Value) {
	if v.IsZero() {
		b.Errorf("%s is zero", path)
	}
	if v.Kind() != reflect.Struct || v.Type() == reflect.TypeFor[time.Time]() {
		return
	}
	for i := range v.NumField() {
		checkFilled(b, path+"."+v.Type().Field(i).Name, v.Field(i))
	}
}

// everyField creates, replaces, empties and deletes one record of each kind.
func everyField(b *bench) {
	project := b.number()
	owner := User(b.number(), project)
	attempt := Attempt(b.number(), owner)
	b.create(owner, attempt)

	aProject := Project(b.number())
	check(b, splitpin.Reads{Project: aProject.ID}, aProject, func(seed int64) *splitpin.Project {
		p := Fill(new(splitpin.Project), seed)
		p.Number, p.ID = aProject.Number, aProject.ID
		return p
	}, &splitpin.Project{Number: aProject.Number, ID: aProject.ID}, func() *splitpin.Project {
		return b.load(splitpin.Reads{Project: aProject.ID}).Project
	})

	check(b, splitpin.Reads{Settings: true}, DataKey("codes", 3), func(seed int64) *splitpin.DataKey {
		k := Fill(new(splitpin.DataKey), seed)
		k.Purpose, k.Generation = "codes", 3
		return k
	}, &splitpin.DataKey{Purpose: "codes", Generation: 3}, func() *splitpin.DataKey {
		return first(must[[]*splitpin.DataKey](b)(b.DataKeys(b.Context())))
	})

	number := b.number()
	check(b, splitpin.Reads{Settings: true}, SigningKey(number, project), func(seed int64) *splitpin.SigningKey {
		k := Fill(new(splitpin.SigningKey), seed)
		k.Number = number
		return k
	}, &splitpin.SigningKey{Number: number}, func() *splitpin.SigningKey {
		return first(b.load(splitpin.Reads{Settings: true}).SigningKeys)
	})

	number = b.number()
	check(b, splitpin.Reads{User: number}, User(number, project), func(seed int64) *splitpin.User {
		u := Fill(new(splitpin.User), seed)
		u.Number = number
		return u
	}, &splitpin.User{Number: number}, func() *splitpin.User {
		return b.load(splitpin.Reads{User: number}).User
	})

	number = b.number()
	check(b, splitpin.Reads{Attempt: number}, Attempt(number, owner), func(seed int64) *splitpin.Attempt {
		a := Fill(new(splitpin.Attempt), seed)
		a.ID.Number = number
		return a
	}, &splitpin.Attempt{ID: splitpin.AttemptID{Number: number}}, func() *splitpin.Attempt {
		return b.load(splitpin.Reads{Attempt: number}).Attempt
	})

	number = b.number()
	check(b, splitpin.Reads{Grant: number}, Grant(number, attempt, owner), func(seed int64) *splitpin.Grant {
		g := Fill(new(splitpin.Grant), seed)
		g.Number = number
		return g
	}, &splitpin.Grant{Number: number}, func() *splitpin.Grant {
		return b.load(splitpin.Reads{Grant: number}).Grant
	})

	key := splitpin.GuessesKey(owner.Project, owner.Identifier)
	check(b, splitpin.Reads{Attempt: attempt.ID.Number}, Guesses(owner), func(seed int64) *splitpin.Guesses {
		g := Fill(new(splitpin.Guesses), seed)
		g.Key = key
		return g
	}, &splitpin.Guesses{Key: key}, func() *splitpin.Guesses {
		return b.load(splitpin.Reads{Attempt: attempt.ID.Number}).Guesses
	})

	number = b.number()
	check(b, splitpin.Reads{Session: number}, Session(number, owner), func(seed int64) *splitpin.Session {
		s := Fill(new(splitpin.Session), seed)
		s.Number = number
		return s
	}, &splitpin.Session{Number: number}, func() *splitpin.Session {
		return b.load(splitpin.Reads{Session: number}).Session
	})

	credential := Credential(b.number(), owner)
	shown := CredentialKey(credential)
	check(b, splitpin.Reads{Credential: shown}, credential, func(seed int64) *splitpin.Credential {
		c := Fill(new(splitpin.Credential), seed)
		c.Number, c.Project, c.Kind, c.Key = credential.Number, shown.Project, shown.Kind, shown.Key
		return c
	}, &splitpin.Credential{Number: credential.Number, Project: shown.Project, Kind: shown.Kind, Key: shown.Key}, func() *splitpin.Credential {
		return b.load(splitpin.Reads{Credential: shown}).Credential
	})

	number = b.number()
	check(b, splitpin.Reads{Messages: []int64{number}}, Message(number, attempt), func(seed int64) *splitpin.Message {
		m := Fill(new(splitpin.Message), seed)
		m.Number = number
		return m
	}, &splitpin.Message{Number: number}, func() *splitpin.Message {
		return first(b.load(splitpin.Reads{Messages: []int64{number}}).Messages)
	})

	number = b.number()
	check(b, splitpin.Reads{}, AuditEvent(number, owner), func(seed int64) *splitpin.AuditEvent {
		e := Fill(new(splitpin.AuditEvent), seed)
		e.Number = number
		return e
	}, &splitpin.AuditEvent{Number: number}, func() *splitpin.AuditEvent {
		return first(must[[]*splitpin.AuditEvent](b)(b.AuditEvents(b.Context(), splitpin.AuditFilter{}, 1)))
	})
}

// check takes one record through its life: created, replaced by another with
// the same key and every field set, emptied, filled again, deleted twice. A record
// that no reads lead to cannot be put, so it is deleted and created instead.
func check[R any, P interface {
	*R
	splitpin.Record
}](b *bench, reads splitpin.Reads, fixture P, filled func(seed int64) P, empty P, get func() P) {
	b.Helper()
	kind := reflect.TypeFor[R]().Name()
	if got := get(); got != nil {
		b.Errorf("%s: found before it was created: %+v", kind, got)
	}
	b.create(fixture)
	want(b, kind+" created", get(), fixture)
	for _, r := range []struct {
		what string
		save P
	}{{"replaced", filled(777)}, {"emptied", empty}, {"filled", filled(778)}} {
		w := splitpin.Writes{Put: []splitpin.Record{r.save}}
		if reflect.ValueOf(reads).IsZero() {
			w = splitpin.Writes{Delete: []splitpin.Record{empty}, Create: []splitpin.Record{r.save}}
		}
		b.save(reads, w)
		want(b, kind+" "+r.what, get(), r.save)
	}
	for range 2 {
		b.save(splitpin.Reads{}, splitpin.Writes{Delete: []splitpin.Record{empty}}) // the key is enough
		if got := get(); got != nil {
			b.Errorf("%s: found after it was deleted: %+v", kind, got)
		}
	}
}

func first[R any](list []*R) *R {
	if len(list) == 0 {
		return nil
	}
	return list[0]
}

func largeValues(b *bench) {
	p := Project(b.number())
	p.Settings.Logo = make([]byte, 64<<10)
	for i := range p.Settings.Logo {
		p.Settings.Logo[i] = byte(i * 7)
	}
	for range 500 {
		p.Settings.Origins = append(p.Settings.Origins, "https://a-rather-long-name.example.com:8443")
	}
	b.create(p)
	want(b, "project", b.load(splitpin.Reads{Project: p.ID}).Project, p)

	a := Attempt(b.number(), User(b.number(), p.Number))
	a.Data = make([]byte, 100_000) // zeros are data too
	b.create(a)
	want(b, "attempt", b.load(splitpin.Reads{Attempt: a.ID.Number}).Attempt, a)
}

func reads(b *bench) {
	p := Project(b.number())
	u, other := User(b.number(), p.Number), User(b.number(), p.Number)
	stranger := User(b.number(), b.number()) // the same names in another project
	stranger.ID, stranger.Identifier, stranger.ClientUserID = u.ID, u.Identifier, u.ClientUserID
	a := Attempt(b.number(), u)
	a.User = 0 // nobody yet: the user is found by the identifier
	g, m, m2 := Grant(b.number(), a, other), Message(b.number(), a), Message(b.number(), a)
	guesses := Guesses(u)
	revoked := Session(b.number(), u)
	older, newer := LiveSession(b.number(), u), LiveSession(b.number(), u)
	foreign := LiveSession(b.number(), other)
	older.CreatedAt, newer.CreatedAt = Now, Now.Add(time.Microsecond)
	active, gone := SigningKey(b.number(), p.Number), SigningKey(b.number(), p.Number)
	active.GoneAt = time.Time{}
	k1, k2, k3 := DataKey("codes", 1), DataKey("codes", 2), DataKey("a", 7)
	p2 := Project(b.number())
	nameless := Attempt(b.number(), u) // the answer will tell who it is
	nameless.Identifier, nameless.User = "", 0
	ofOther := Guesses(other)
	oldest, second, newest := Credential(b.number(), u), Credential(b.number(), u), Credential(b.number(), u)
	oldest.CreatedAt, second.CreatedAt, newest.CreatedAt = Now, Now.Add(time.Second), Now.Add(time.Second)
	oldest.ExpiresAt = Now.Add(-time.Hour) // over, but nobody swept it
	others := Credential(b.number(), other)
	sameKey := Credential(b.number(), stranger) // in another project, and of another kind
	sameKey.Kind, sameKey.Key = second.Kind, second.Key
	otherKind := Credential(b.number(), other)
	otherKind.Key = second.Key
	b.create(p2, p, u, other, stranger, a, g, m, m2, guesses, revoked, newer, older, foreign, gone, active, k2, k3, k1,
		nameless, ofOther, newest, oldest, others, sameKey, second, otherKind)
	live := []*splitpin.Session{newer, older}
	all := []*splitpin.Credential{newest, second, oldest}
	allOfOther := []*splitpin.Credential{otherKind, others}

	for _, test := range []struct {
		name  string
		reads splitpin.Reads
		want  splitpin.Records
	}{
		{"nothing", splitpin.Reads{}, splitpin.Records{}},
		{"project", splitpin.Reads{Project: p.ID}, splitpin.Records{Project: p}},
		{"attempt", splitpin.Reads{Attempt: a.ID.Number}, splitpin.Records{Attempt: a, User: u, Guesses: guesses}},
		{"grant", splitpin.Reads{Grant: g.Number}, splitpin.Records{Grant: g, Attempt: a, User: other}},
		{"messages", splitpin.Reads{Messages: []int64{m2.Number, 1 << 60, m.Number}}, splitpin.Records{Messages: []*splitpin.Message{m, m2}}},
		{"session", splitpin.Reads{Session: older.Number}, splitpin.Records{Session: older, User: u}},
		{"session that ended", splitpin.Reads{Session: revoked.Number, Sessions: true}, splitpin.Records{Session: revoked, User: u, Sessions: live}},
		{"session and its neighbours", splitpin.Reads{Session: older.Number, Sessions: true}, splitpin.Records{Session: older, User: u, Sessions: live}},
		{"user", splitpin.Reads{User: u.Number}, splitpin.Records{User: u}},
		{"user and sessions", splitpin.Reads{User: u.Number, Sessions: true}, splitpin.Records{User: u, Sessions: live}},
		{"user by id", splitpin.Reads{UserID: splitpin.UserKey{Project: p.Number, ID: u.ID}}, splitpin.Records{User: u}},
		{"user by client id", splitpin.Reads{UserID: splitpin.UserKey{Project: p.Number, ClientUserID: u.ClientUserID}, Sessions: true}, splitpin.Records{User: u, Sessions: live}},
		{"an id counts before a client id", splitpin.Reads{UserID: splitpin.UserKey{Project: p.Number, ID: u.ID, ClientUserID: other.ClientUserID}}, splitpin.Records{User: u}},
		{"name", splitpin.Reads{Name: splitpin.Name{Project: p.Number, Identifier: u.Identifier}, Sessions: true}, splitpin.Records{User: u, Guesses: guesses, Sessions: live}},
		{"name of another", splitpin.Reads{Name: splitpin.Name{Project: p.Number, Identifier: other.Identifier}}, splitpin.Records{User: other, Guesses: ofOther}},
		{"name in another project, without guesses", splitpin.Reads{Name: splitpin.Name{Project: stranger.Project, Identifier: u.Identifier}}, splitpin.Records{User: stranger}},
		{"credential", splitpin.Reads{Credential: CredentialKey(second)}, splitpin.Records{Credential: second, User: u}},
		{"credential in another project", splitpin.Reads{Credential: CredentialKey(sameKey)}, splitpin.Records{Credential: sameKey, User: stranger}},
		{"credential of another kind", splitpin.Reads{Credential: CredentialKey(otherKind), Credentials: true}, splitpin.Records{
			Credential: otherKind, User: other, Credentials: allOfOther}},
		{"credential and what its user has", splitpin.Reads{Credential: CredentialKey(second), Credentials: true, Sessions: true}, splitpin.Records{
			Credential: second, User: u, Credentials: all, Sessions: live}},
		{"credentials by user", splitpin.Reads{User: u.Number, Credentials: true}, splitpin.Records{User: u, Credentials: all}},
		{"credentials by id", splitpin.Reads{UserID: splitpin.UserKey{Project: p.Number, ID: u.ID}, Credentials: true}, splitpin.Records{User: u, Credentials: all}},
		{"credentials by client id", splitpin.Reads{UserID: splitpin.UserKey{Project: p.Number, ClientUserID: u.ClientUserID}, Credentials: true}, splitpin.Records{User: u, Credentials: all}},
		{"credentials by name", splitpin.Reads{Name: splitpin.Name{Project: p.Number, Identifier: u.Identifier}, Credentials: true}, splitpin.Records{User: u, Guesses: guesses, Credentials: all}},
		{"credentials by attempt", splitpin.Reads{Attempt: a.ID.Number, Credentials: true}, splitpin.Records{Attempt: a, User: u, Guesses: guesses, Credentials: all}},
		{"credentials by grant", splitpin.Reads{Grant: g.Number, Credentials: true}, splitpin.Records{Grant: g, Attempt: a, User: other, Credentials: allOfOther}},
		{"credentials by session", splitpin.Reads{Session: older.Number, Credentials: true}, splitpin.Records{Session: older, User: u, Credentials: all}},
		{"attempt without a name", splitpin.Reads{Attempt: nameless.ID.Number, Credentials: true}, splitpin.Records{Attempt: nameless}},
		{"attempt without a name, and credential", splitpin.Reads{Attempt: nameless.ID.Number, Credential: CredentialKey(second), Credentials: true, Sessions: true}, splitpin.Records{
			Attempt: nameless, Credential: second, User: u, Credentials: all, Sessions: live}},
		{"attempt without a name, and credential alone", splitpin.Reads{Attempt: nameless.ID.Number, Credential: CredentialKey(second)}, splitpin.Records{
			Attempt: nameless, Credential: second, User: u}},
		{"attempt without a name, and name", splitpin.Reads{Attempt: nameless.ID.Number, Name: splitpin.Name{Project: p.Number, Identifier: u.Identifier}}, splitpin.Records{
			Attempt: nameless, User: u, Guesses: guesses}},
		{"attempt of one and credential of another", splitpin.Reads{Attempt: a.ID.Number, Credential: CredentialKey(others)}, splitpin.Records{
			Attempt: a, Credential: others, User: other, Guesses: guesses}},
		{"attempt and a credential that nobody has", splitpin.Reads{Attempt: a.ID.Number, Credential: splitpin.CredentialKey{Project: p.Number, Kind: second.Kind, Key: others.Key}, Credentials: true},
			splitpin.Records{Attempt: a, Guesses: guesses}},
		{"attempt and user", splitpin.Reads{Attempt: a.ID.Number, User: other.Number, Sessions: true}, splitpin.Records{
			Attempt: a, User: other, Guesses: guesses, Sessions: []*splitpin.Session{foreign}}},
		{"attempt and a user who is gone", splitpin.Reads{Attempt: a.ID.Number, User: 1 << 60}, splitpin.Records{Attempt: a, Guesses: guesses}},
		{"attempt without a name, and user", splitpin.Reads{Attempt: nameless.ID.Number, User: u.Number}, splitpin.Records{Attempt: nameless, User: u}},
		{"attempt and name", splitpin.Reads{Attempt: a.ID.Number, Name: splitpin.Name{Project: p.Number, Identifier: other.Identifier}}, splitpin.Records{
			Attempt: a, User: other, Guesses: ofOther}},
		{"attempt and a name that nobody has", splitpin.Reads{Attempt: a.ID.Number, Name: splitpin.Name{Project: p.Number, Identifier: "nobody@example.com"}}, splitpin.Records{Attempt: a}},
		{"attempt that is gone, and name", splitpin.Reads{Attempt: 1 << 60, Name: splitpin.Name{Project: p.Number, Identifier: u.Identifier}}, splitpin.Records{User: u, Guesses: guesses}},
		{"attempt that is gone, and credential", splitpin.Reads{Attempt: 1 << 60, Credential: CredentialKey(second)}, splitpin.Records{Credential: second, User: u}},
		{"settings", splitpin.Reads{Settings: true}, splitpin.Records{
			Projects:    []*splitpin.Project{p, p2},
			DataKeys:    []*splitpin.DataKey{k3, k1, k2},
			SigningKeys: []*splitpin.SigningKey{active, gone},
		}},
		{"several", splitpin.Reads{Project: p.ID, Attempt: a.ID.Number, Messages: []int64{m.Number}}, splitpin.Records{
			Project: p, Attempt: a, Messages: []*splitpin.Message{m}, User: u, Guesses: guesses,
		}},
	} {
		want(b, "Load: "+test.name, sorted(b.load(test.reads)), &test.want)
		err := b.Change(b.Context(), test.reads, func(r *splitpin.Records) (splitpin.Writes, error) {
			want(b, "Change: "+test.name, sorted(r), &test.want)
			return splitpin.Writes{}, nil
		})
		if err != nil {
			b.Errorf("Change: %s: %v", test.name, err)
		}
	}
}

// sorted puts messages in order, which stores need not.
func sorted(r *splitpin.Records) *splitpin.Records {
	slices.SortFunc(r.Messages, func(x, y *splitpin.Message) int { return cmp.Compare(x.Number, y.Number) })
	return r
}

func readsThatFindNothing(b *bench) {
	u := b.user()
	u2 := User(b.number(), u.Project)
	u2.ClientUserID = ""
	noKind, noKey := Credential(b.number(), u), Credential(b.number(), u)
	noKind.Kind, noKind.Key = "", [32]byte{1}
	noKey.Kind, noKey.Key = splitpin.PasskeyCredential, [32]byte{}
	b.create(u2, noKind, noKey)
	const missing = 1 << 60
	for name, reads := range map[string]splitpin.Reads{
		"project":    {Project: "nobody"},
		"attempt":    {Attempt: missing, Sessions: true},
		"grant":      {Grant: missing, Sessions: true},
		"session":    {Session: missing, Sessions: true},
		"messages":   {Messages: []int64{missing, missing + 1}},
		"user":       {User: missing, Sessions: true},
		"name":       {Name: splitpin.Name{Project: u.Project, Identifier: "nobody@example.com"}, Sessions: true},
		"settings":   {Settings: true},
		"user id":    {UserID: splitpin.UserKey{Project: u.Project, ID: splitpin.NewUUID()}},
		"credential": {Credential: splitpin.CredentialKey{Project: u.Project, Kind: splitpin.PasskeyCredential, Key: [32]byte{1}}, Sessions: true, Credentials: true},
		// Nothing is found by what is empty.
		"empty kind": {Credential: splitpin.CredentialKey{Project: u.Project, Key: [32]byte{1}}},
		"empty key":  {Credential: splitpin.CredentialKey{Project: u.Project, Kind: splitpin.PasskeyCredential}},
		// Nobody has the empty client id or the empty name.
		"empty client id": {UserID: splitpin.UserKey{Project: u.Project}},
		"empty name":      {Name: splitpin.Name{Project: u.Project}},
	} {
		want(b, name, b.load(reads), &splitpin.Records{})
	}

	// What an attempt, a grant or a session points to may be gone.
	nobody := User(b.number(), u.Project)
	a := Attempt(b.number(), nobody)
	s := Session(b.number(), nobody)
	g := Grant(b.number(), Attempt(b.number(), nobody), nobody)
	c := Credential(b.number(), nobody)
	b.create(a, s, g, c)
	want(b, "credential", b.load(splitpin.Reads{Credential: CredentialKey(c), Credentials: true}), &splitpin.Records{Credential: c})
	want(b, "attempt", b.load(splitpin.Reads{Attempt: a.ID.Number}), &splitpin.Records{Attempt: a})
	want(b, "session", b.load(splitpin.Reads{Session: s.Number, Sessions: true}), &splitpin.Records{Session: s})
	want(b, "grant", b.load(splitpin.Reads{Grant: g.Number}), &splitpin.Records{Grant: g})
}

func verdicts(b *bench) {
	a := b.attempt(b.user())
	refused := splitpin.ErrNotFound.Because(errors.New("the reason"))
	err := b.Change(b.Context(), splitpin.Reads{Attempt: a.ID.Number}, func(r *splitpin.Records) (splitpin.Writes, error) {
		r.Attempt.Tries++
		return splitpin.Writes{Put: []splitpin.Record{r.Attempt}}, refused
	})
	if err != error(refused) {
		b.Errorf("got error %v, want the closure's own", err)
	}
	want(b, "attempt after an error", b.load(splitpin.Reads{Attempt: a.ID.Number}).Attempt, a)

	a.Tries++
	err = b.Change(b.Context(), splitpin.Reads{Attempt: a.ID.Number}, func(r *splitpin.Records) (splitpin.Writes, error) {
		r.Attempt.Tries++
		return splitpin.Writes{Put: []splitpin.Record{r.Attempt}}, nil
	})
	if err != nil {
		b.Error(err)
	}
	want(b, "attempt after a verdict", b.load(splitpin.Reads{Attempt: a.ID.Number}).Attempt, a)
}

func ownership(b *bench) {
	u := b.user()
	err := b.Change(b.Context(), splitpin.Reads{User: u.Number}, func(r *splitpin.Records) (splitpin.Writes, error) {
		r.User.Locale = "changed, and not returned"
		return splitpin.Writes{}, nil
	})
	if err != nil {
		b.Fatal(err)
	}
	one, two := b.load(splitpin.Reads{User: u.Number}).User, b.load(splitpin.Reads{User: u.Number}).User
	want(b, "user", one, u)
	one.Locale = "mine"
	want(b, "another's copy", two, u)
}

// order: what is deleted makes room for what is created and what is put.
func order(b *bench) {
	one, two, mover := b.user(), b.user(), b.user()
	heir := User(b.number(), one.Project)
	heir.Identifier, heir.ID, heir.ClientUserID = one.Identifier, one.ID, one.ClientUserID
	mover.Project, mover.Identifier = two.Project, two.Identifier
	b.save(splitpin.Reads{User: mover.Number}, splitpin.Writes{
		Put:    []splitpin.Record{mover},
		Create: []splitpin.Record{heir},
		Delete: []splitpin.Record{one, two},
	})
	for what, expected := range map[string]*splitpin.User{"created": heir, "put": mover} {
		name := splitpin.Name{Project: expected.Project, Identifier: expected.Identifier}
		want(b, what, b.load(splitpin.Reads{Name: name}).User, expected)
	}
	for _, gone := range []*splitpin.User{one, two} {
		want(b, "by number", b.load(splitpin.Reads{User: gone.Number}).User, nil)
	}
}

func createExisting(b *bench) {
	u := b.user()
	p, key := Project(b.number()), SigningKey(b.number(), b.number())
	a := b.attempt(u)
	g, guesses, s := Grant(b.number(), a, u), Guesses(u), LiveSession(b.number(), u)
	m, e := Message(b.number(), a), AuditEvent(b.number(), u)
	c := Credential(b.number(), u)
	b.create(p, DataKey("codes", 1), key, g, guesses, s, m, c)
	sameKey := Credential(b.number(), u)
	sameKey.Kind, sameKey.Key = c.Kind, c.Key
	fresh := func(change func(*splitpin.User)) *splitpin.User {
		c := User(b.number(), u.Project)
		change(c)
		return c
	}
	p2 := Project(b.number())
	p2.ID = p.ID
	twice := User(b.number(), u.Project)
	for _, test := range []struct {
		name   string
		create []splitpin.Record
	}{
		{"number", []splitpin.Record{fresh(func(c *splitpin.User) { c.Number = u.Number })}},
		{"id", []splitpin.Record{fresh(func(c *splitpin.User) { c.ID = u.ID })}},
		{"identifier", []splitpin.Record{fresh(func(c *splitpin.User) { c.Identifier = u.Identifier })}},
		{"client id", []splitpin.Record{fresh(func(c *splitpin.User) { c.ClientUserID = u.ClientUserID })}},
		{"project id", []splitpin.Record{p2}},
		{"project number", []splitpin.Record{&splitpin.Project{Number: p.Number, ID: "another"}}},
		{"purpose and generation", []splitpin.Record{DataKey("codes", 1)}},
		{"signing key", []splitpin.Record{SigningKey(key.Number, key.Project)}},
		{"attempt", []splitpin.Record{Attempt(a.ID.Number, u)}},
		{"grant", []splitpin.Record{Grant(g.Number, a, u)}},
		{"guesses", []splitpin.Record{Guesses(u)}},
		{"session", []splitpin.Record{LiveSession(s.Number, u)}},
		{"message", []splitpin.Record{Message(m.Number, a)}},
		{"credential", []splitpin.Record{Credential(c.Number, u)}},
		{"project, kind and key", []splitpin.Record{sameKey}},
		{"event", []splitpin.Record{e, e}},
		{"twice in one step", []splitpin.Record{twice, twice}},
	} {
		runs := 0
		event := AuditEvent(b.number(), u)
		err := b.Change(b.Context(), splitpin.Reads{User: u.Number}, func(r *splitpin.Records) (splitpin.Writes, error) {
			runs++
			want(b, "user", r.User, u)
			return splitpin.Writes{Create: append([]splitpin.Record{event}, test.create...)}, nil
		})
		if !errors.Is(err, splitpin.ErrConflict) {
			b.Errorf("%s: got error %v, want ErrConflict", test.name, err)
		}
		if runs < 2 || runs > 100 {
			b.Errorf("%s: the closure ran %d times", test.name, runs)
		}
	}
	want(b, "events of steps that failed", must[[]*splitpin.AuditEvent](b)(b.AuditEvents(b.Context(), splitpin.AuditFilter{}, 9)), nil)

	// The empty client id is nobody's, so many have it.
	for range 2 {
		b.create(fresh(func(c *splitpin.User) { c.ClientUserID = "" }))
	}
	// A key is another one in another project, and of another kind.
	elsewhere, otherKind := Credential(b.number(), User(b.number(), b.number())), Credential(b.number(), u)
	elsewhere.Kind, elsewhere.Key, otherKind.Key = c.Kind, c.Key, c.Key
	b.create(elsewhere, otherKind)
}

func conflictSettled(b *bench) {
	u := b.user()
	runs := 0
	event := AuditEvent(b.number(), u)
	err := b.Change(b.Context(), splitpin.Reads{User: u.Number}, func(r *splitpin.Records) (splitpin.Writes, error) {
		runs++
		want(b, "user", r.User, u)
		r.User.Locale = "altered by the run before"
		w := splitpin.Writes{Create: []splitpin.Record{event}}
		if runs == 1 {
			w.Create = append(w.Create, User(u.Number, u.Project))
		}
		return w, nil
	})
	if err != nil || runs != 2 {
		b.Errorf("got error %v after %d runs, want none after 2", err, runs)
	}
	want(b, "events", must[[]*splitpin.AuditEvent](b)(b.AuditEvents(b.Context(), splitpin.AuditFilter{}, 9)), []*splitpin.AuditEvent{event})
}

// neighbours run at once: what one of them does never touches another's row.
func neighbours(b *bench) {
	u := b.user()
	outcomes := []string{"kept", "error", "panic", "conflict", "left", "kept", "kept"}
	const rounds = 8
	var wg sync.WaitGroup
	var mu sync.Mutex
	var kept []int64
	own := errors.New("own")
	start := make(chan struct{})
	for range rounds {
		for _, outcome := range outcomes {
			event := AuditEvent(b.number(), u)
			wg.Go(func() {
				ctx, cancel := context.WithCancel(b.Context())
				defer cancel()
				defer func() {
					if value := recover(); (value != nil) != (outcome == "panic") {
						b.Errorf("%s: recovered %v", outcome, value)
					}
				}()
				<-start
				err := b.Change(ctx, splitpin.Reads{User: u.Number}, func(r *splitpin.Records) (splitpin.Writes, error) {
					w := splitpin.Writes{Create: []splitpin.Record{event}}
					switch outcome {
					case "error":
						return w, own
					case "panic":
						panic("on purpose")
					case "conflict":
						w.Create = append(w.Create, u)
					case "left":
						cancel() // the caller's patience ends inside the step
					}
					return w, nil
				})
				if (err == nil) != (outcome == "kept" || outcome == "left") {
					b.Errorf("%s: got error %v", outcome, err)
				}
				if err == nil {
					mu.Lock()
					kept = append(kept, event.Number)
					mu.Unlock()
				}
			})
		}
	}
	close(start)
	wg.Wait()
	var found []int64
	for _, e := range must[[]*splitpin.AuditEvent](b)(b.AuditEvents(b.Context(), splitpin.AuditFilter{}, 1000)) {
		found = append(found, e.Number)
	}
	slices.Sort(kept)
	slices.Sort(found)
	want(b, "events", found, kept)
	if len(kept) != rounds*4 {
		b.Errorf("%d steps succeeded, want %d", len(kept), rounds*4)
	}
}

func panics(b *bench) {
	u := b.user()
	func() {
		defer func() {
			if recover() == nil {
				b.Error("the panic did not reach the caller")
			}
		}()
		b.Change(b.Context(), splitpin.Reads{User: u.Number}, func(r *splitpin.Records) (splitpin.Writes, error) {
			panic("on purpose")
		})
	}()
	b.create(AuditEvent(b.number(), u)) // the store goes on
}
