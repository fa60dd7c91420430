package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/splitpin/splitpin"
)

// A Memory is the data of an installation that is gone when the program ends: for
// tests and simulations. It does everything that a database does but keep, in an
// order that depends on its callers alone: the same calls give the same answers.
//
// It looks through all records of a kind where a database has an index, which is
// quick for thousands of them.
type Memory struct {
	// steps holds a token while a step runs: one at a time, over all stores.
	steps   chan struct{}
	waiting atomic.Int32 // for that token

	mu      sync.Mutex // of what follows; held for a moment, never while a step decides
	number  int64
	version int64
	limits  map[int64]int64 // LimitKey → when its bucket is full again, µs

	projects    shelf[int64, splitpin.Project]
	dataKeys    shelf[dataKeyID, splitpin.DataKey]
	signingKeys shelf[int64, splitpin.SigningKey]
	users       shelf[int64, splitpin.User]
	attempts    shelf[int64, splitpin.Attempt]
	grants      shelf[int64, splitpin.Grant]
	guesses     shelf[int64, splitpin.Guesses]
	sessions    shelf[int64, splitpin.Session]
	credentials shelf[int64, splitpin.Credential]
	messages    shelf[int64, splitpin.Message]
	auditEvents shelf[int64, splitpin.AuditEvent]
}

type dataKeyID struct {
	purpose    string
	generation int
}

// NewMemory returns an empty installation.
func NewMemory() *Memory {
	return &Memory{steps: make(chan struct{}, 1), limits: map[int64]int64{}}
}

// Open returns a store of these data. Several may be open at once, as nodes share
// a database; what one saved the others find, and Close ends that one alone.
func (m *Memory) Open() splitpin.Store { return &memoryStore{data: m} }

// Waits reports whether a step waits for another to end.
func (m *Memory) Waits() bool { return m.waiting.Load() > 0 }

// A shelf holds the records of one kind. What lies there is never altered, only
// replaced, and nobody else has a pointer to it.
type shelf[K comparable, R any] map[K]*R

// get returns a copy of the record with that key, or nil.
func (s shelf[K, R]) get(key K) *R {
	if r := s[key]; r != nil {
		return copied(r)
	}
	return nil
}

// find returns copies of the records that match, in the order of less.
func (s shelf[K, R]) find(match func(*R) bool, less func(a, b *R) int) []*R {
	var found []*R
	for _, r := range s {
		if match(r) {
			found = append(found, copied(r))
		}
	}
	slices.SortFunc(found, less)
	return found
}

// only returns a copy of the record that matches, of which there is one at most.
func (s shelf[K, R]) only(match func(*R) bool) *R {
	for _, r := range s {
		if match(r) {
			return copied(r)
		}
	}
	return nil
}

// copied returns a copy of a record that shares no memory with it.
func copied[R any](r *R) *R {
	c := *r
	switch c := any(&c).(type) {
	case *splitpin.Project:
		c.Secrets = slices.Clone(c.Secrets)
		c.Settings.Origins = slices.Clone(c.Settings.Origins)
		c.Settings.ReturnPages = slices.Clone(c.Settings.ReturnPages)
		c.Settings.Logo = slices.Clone(c.Settings.Logo)
		c.Settings.Methods = slices.Clone(c.Settings.Methods)
		c.Settings.FormerSites = slices.Clone(c.Settings.FormerSites)
		c.Settings.Phone.Channels = slices.Clone(c.Settings.Phone.Channels)
		c.Settings.Phone.Countries = slices.Clone(c.Settings.Phone.Countries)
		c.Settings.Phone.Prices = maps.Clone(c.Settings.Phone.Prices)
		c.Settings.Forms = maps.Clone(c.Settings.Forms)
		for id, list := range c.Settings.Forms {
			list.Identifiers, list.Domains = slices.Clone(list.Identifiers), slices.Clone(list.Domains)
			c.Settings.Forms[id] = list
		}
		c.Settings.Site = c.Settings.Site.Clone()
		c.Settings.Providers = slices.Clone(c.Settings.Providers)
		for i := range c.Settings.Providers {
			p := &c.Settings.Providers[i]
			p.Sealed, p.Scopes, p.Domains = slices.Clone(p.Sealed), slices.Clone(p.Scopes), slices.Clone(p.Domains)
		}
	case *splitpin.DataKey:
		c.Wrapped = slices.Clone(c.Wrapped)
	case *splitpin.SigningKey:
		c.Public, c.Wrapped = slices.Clone(c.Public), slices.Clone(c.Wrapped)
	case *splitpin.Attempt:
		c.Data, c.ClientData, c.Pending = slices.Clone(c.Data), slices.Clone(c.ClientData), slices.Clone(c.Pending)
	case *splitpin.Credential:
		c.Data, c.Sealed = slices.Clone(c.Data), slices.Clone(c.Sealed)
	}
	return &c
}

// asKept makes of a record what a database would give back.
func asKept[R any](record *R) error {
	var s shaper
	switch r := any(record).(type) {
	case *splitpin.Project:
		projectColumns(r, &s)
	case *splitpin.DataKey:
		dataKeyColumns(r, &s)
	case *splitpin.SigningKey:
		signingKeyColumns(r, &s)
	case *splitpin.User:
		userColumns(r, &s)
	case *splitpin.Attempt:
		attemptColumns(r, &s)
	case *splitpin.Grant:
		grantColumns(r, &s)
	case *splitpin.Guesses:
		guessesColumns(r, &s)
	case *splitpin.Session:
		sessionColumns(r, &s)
	case *splitpin.Credential:
		credentialColumns(r, &s)
	case *splitpin.Message:
		messageColumns(r, &s)
	case *splitpin.AuditEvent:
		auditEventColumns(r, &s)
	}
	return s.err
}

// A shaper brings the columns that it visits into the form in which they are kept.
type shaper struct{ err error }

func (s *shaper) Int64(*int64)    {}
func (s *shaper) Int(v *int)      { s.err = cmp.Or(s.err, checkInt(*v)) }
func (s *shaper) Int8(*int8)      {}
func (s *shaper) Uint32(*uint32)  {}
func (s *shaper) Bool(*bool)      {}
func (s *shaper) Text(v *string)  { s.err = cmp.Or(s.err, checkText(*v)) }
func (s *shaper) Bytes(v *[]byte) {}
func (s *shaper) Fixed([]byte)    {}
func (s *shaper) Time(v *time.Time) {
	*v = fromMicros(micros(*v))
}
func (s *shaper) JSON(any) {}

// A memoryStore is one node's way to a Memory.
type memoryStore struct {
	data *Memory

	mu     sync.Mutex
	closed bool
}

var _ splitpin.Store = (*memoryStore)(nil)

// Close implements [splitpin.Store].
func (s *memoryStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// ready reports why nothing can be done: the store is closed, or the caller left.
func (s *memoryStore) ready(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return unavailable(errClosed)
	}
	if ctx.Err() != nil {
		return unavailable(context.Cause(ctx))
	}
	return nil
}

// locked does f with the data, where that can be done.
func (s *memoryStore) locked(ctx context.Context, f func(*Memory)) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	s.data.mu.Lock()
	defer s.data.mu.Unlock()
	f(s.data)
	return nil
}

// step does f while no other step runs.
func (s *memoryStore) step(ctx context.Context, f func() error) error {
	s.data.waiting.Add(1)
	select {
	case s.data.steps <- struct{}{}:
		s.data.waiting.Add(-1)
	case <-ctx.Done():
		s.data.waiting.Add(-1)
		return unavailable(context.Cause(ctx))
	}
	defer func() { <-s.data.steps }()
	if err := s.ready(ctx); err != nil {
		return err
	}
	return f()
}

// Change implements [splitpin.Store].
func (s *memoryStore) Change(ctx context.Context, reads splitpin.Reads, decide func(*splitpin.Records) (splitpin.Writes, error)) error {
	return s.step(ctx, func() error {
		for range attemptsPerStep {
			s.data.mu.Lock()
			records := s.data.load(reads)
			s.data.mu.Unlock()
			there := keysOf(records, reads)
			writes, err := decide(records)
			if err != nil {
				return err
			}
			s.data.mu.Lock()
			err = s.data.save(writes, there)
			s.data.mu.Unlock()
			if !errors.Is(err, errTaken) {
				return err
			}
		}
		return splitpin.ErrConflict.Because(errTaken)
	})
}

// Load implements [splitpin.Store].
func (s *memoryStore) Load(ctx context.Context, reads splitpin.Reads) (r *splitpin.Records, err error) {
	err = s.locked(ctx, func(m *Memory) { r = m.load(reads) })
	return r, err
}

func (m *Memory) load(reads splitpin.Reads) *splitpin.Records {
	r := new(splitpin.Records)
	if reads.Project != "" {
		r.Project = m.projects.only(func(p *splitpin.Project) bool { return p.ID == reads.Project })
	}
	user, name := reads.User, reads.Name
	guessed := name // whose guesses
	if key := reads.Credential; !key.IsZero() {
		r.Credential = m.credentials.only(func(c *splitpin.Credential) bool {
			return c.Project == key.Project && c.Kind == key.Kind && c.Key == key.Key
		})
		if r.Credential != nil {
			user = r.Credential.User
		}
	}
	switch {
	case reads.Attempt != 0:
		r.Attempt = m.attempts.get(reads.Attempt)
		if r.Attempt != nil && name.Identifier == "" {
			guessed = splitpin.Name{Project: r.Attempt.Project, Identifier: r.Attempt.Identifier}
			if user == 0 && reads.Credential.IsZero() {
				name = guessed
			}
		}
	case reads.Grant != 0:
		if r.Grant = m.grants.get(reads.Grant); r.Grant != nil {
			r.Attempt, user = m.attempts.get(r.Grant.Attempt), r.Grant.User
		}
	case reads.Session != 0:
		if r.Session = m.sessions.get(reads.Session); r.Session != nil {
			user = r.Session.User
		}
	}
	switch id := reads.UserID; {
	case user != 0:
		r.User = m.users.get(user)
	case !id.ID.IsZero():
		r.User = m.users.only(func(u *splitpin.User) bool { return u.Project == id.Project && u.ID == id.ID })
	case id.ClientUserID != "":
		r.User = m.users.only(func(u *splitpin.User) bool { return u.Project == id.Project && u.ClientUserID == id.ClientUserID })
	case name.Identifier != "":
		r.User = m.users.only(func(u *splitpin.User) bool { return u.Project == name.Project && u.Identifier == name.Identifier })
	}
	if guessed.Identifier != "" {
		r.Guesses = m.guesses.get(splitpin.GuessesKey(guessed.Project, guessed.Identifier))
	}
	if reads.Sessions && r.User != nil {
		r.Sessions = m.liveSessions(r.User.Number)
	}
	if reads.Credentials && r.User != nil {
		r.Credentials = m.credentials.find(
			func(c *splitpin.Credential) bool { return c.User == r.User.Number },
			func(a, b *splitpin.Credential) int { return newest(a.CreatedAt, b.CreatedAt, a.Number, b.Number) })
		unite(r)
	}
	for _, number := range reads.Messages {
		if message := m.messages.get(number); message != nil {
			r.Messages = append(r.Messages, message)
		}
	}
	if reads.Settings {
		r.Projects, r.DataKeys = m.allProjects(), m.allDataKeys()
		r.SigningKeys = m.signingKeys.find(every[splitpin.SigningKey], func(a, b *splitpin.SigningKey) int { return cmp.Compare(a.Number, b.Number) })
	}
	return r
}

// save saves all of w, or nothing.
func (m *Memory) save(w splitpin.Writes, there keys) (err error) {
	var undo []func()
	defer func() {
		if err != nil {
			for _, f := range slices.Backward(undo) {
				f()
			}
		}
	}()
	for v, records := range [][]splitpin.Record{deleting: w.Delete, creating: w.Create, putting: w.Put} {
		for _, record := range records {
			if verb(v) == putting {
				if err := there.check(record); err != nil {
					return err
				}
			}
			f, err := m.apply(record, verb(v))
			if err != nil {
				return err
			}
			undo = append(undo, f)
		}
	}
	return nil
}

// apply saves one record and returns how to undo that.
func (m *Memory) apply(record splitpin.Record, v verb) (undo func(), err error) {
	switch r := record.(type) {
	case *splitpin.Project:
		return bumped(m)(m.projects.apply(r.Number, r, v, func(o *splitpin.Project) bool { return o.ID == r.ID }))
	case *splitpin.DataKey:
		return bumped(m)(m.dataKeys.apply(dataKeyID{r.Purpose, r.Generation}, r, v, nil))
	case *splitpin.SigningKey:
		return bumped(m)(m.signingKeys.apply(r.Number, r, v, nil))
	case *splitpin.User:
		return m.users.apply(r.Number, r, v, func(o *splitpin.User) bool {
			return o.Project == r.Project && (o.ID == r.ID || o.Identifier == r.Identifier ||
				o.ClientUserID == r.ClientUserID && r.ClientUserID != "")
		})
	case *splitpin.Attempt:
		return m.attempts.apply(r.ID.Number, r, v, nil)
	case *splitpin.Grant:
		return m.grants.apply(r.Number, r, v, nil)
	case *splitpin.Guesses:
		return m.guesses.apply(r.Key, r, v, nil)
	case *splitpin.Session:
		return m.sessions.apply(r.Number, r, v, nil)
	case *splitpin.Credential:
		return m.credentials.apply(r.Number, r, v, func(o *splitpin.Credential) bool {
			return o.Project == r.Project && o.Kind == r.Kind && o.Key == r.Key
		})
	case *splitpin.Message:
		return m.messages.apply(r.Number, r, v, nil)
	case *splitpin.AuditEvent:
		return m.auditEvents.apply(r.Number, r, v, nil)
	}
	return nil, fmt.Errorf("a record of type %T has no shelf", record)
}

// bumped counts a change of what Version tells about.
func bumped(m *Memory) func(undo func(), err error) (func(), error) {
	return func(undo func(), err error) (func(), error) {
		if err != nil {
			return nil, err
		}
		m.version++
		return func() { undo(); m.version-- }, nil
	}
}

// apply saves one record under its key. same reports whether another record
// has what must be unique besides the key; nil: nothing must be.
func (s *shelf[K, R]) apply(key K, r *R, v verb, same func(*R) bool) (undo func(), err error) {
	if *s == nil {
		*s = shelf[K, R]{}
	}
	old, there := (*s)[key]
	undo = func() {
		if there {
			(*s)[key] = old
		} else {
			delete(*s, key)
		}
	}
	if v == deleting {
		delete(*s, key)
		return undo, nil
	}
	taken := false
	if same != nil {
		for k, o := range *s {
			taken = taken || k != key && same(o)
		}
	}
	switch {
	case v == creating && (there || taken):
		return nil, errTaken
	case v == putting && !there:
		return nil, fmt.Errorf("replacing a %T: the record is not there", r)
	case v == putting && taken:
		return nil, fmt.Errorf("replacing a %T: another has what must be unique", r)
	}
	kept := copied(r)
	if err := asKept(kept); err != nil {
		return nil, err
	}
	(*s)[key] = kept
	return undo, nil
}

// NextNumber implements [splitpin.Store].
func (s *memoryStore) NextNumber(ctx context.Context) (number int64, err error) {
	err = s.locked(ctx, func(m *Memory) { m.number++; number = m.number })
	return number, err
}

// Take implements [splitpin.Store].
func (s *memoryStore) Take(ctx context.Context, now time.Time, charges ...splitpin.Charge) (refused int, wait time.Duration, err error) {
	if err := distinct(charges); err != nil {
		return -1, 0, err
	}
	refused = -1
	err = s.locked(ctx, func(m *Memory) { refused, wait = m.take(now, charges) })
	return refused, wait, err
}

func (m *Memory) take(now time.Time, charges []splitpin.Charge) (refused int, wait time.Duration) {
	marks := make([]int64, len(charges))
	for i, c := range charges {
		marks[i], wait = charge(m.limits[c.Key], c, now)
		if wait > 0 {
			m.limits[c.Key] = marks[i] // pulled back, where a clock had jumped
			return i, wait
		}
	}
	for i, c := range charges {
		m.limits[c.Key] = marks[i]
	}
	return -1, 0
}

func every[R any](*R) bool { return true }

// newest orders by time and then by number, descending.
func newest(a, b time.Time, m, n int64) int {
	return cmp.Or(b.Compare(a), cmp.Compare(n, m))
}

// cut returns at most limit of a list.
func cut[R any](list []R, limit int) []R { return list[:min(len(list), max(limit, 0))] }

func (m *Memory) allProjects() []*splitpin.Project {
	return m.projects.find(every[splitpin.Project], func(a, b *splitpin.Project) int { return cmp.Compare(a.Number, b.Number) })
}

func (m *Memory) allDataKeys() []*splitpin.DataKey {
	return m.dataKeys.find(every[splitpin.DataKey], func(a, b *splitpin.DataKey) int {
		return cmp.Or(cmp.Compare(a.Purpose, b.Purpose), cmp.Compare(a.Generation, b.Generation))
	})
}

func (m *Memory) liveSessions(user int64) []*splitpin.Session {
	return m.sessions.find(
		func(x *splitpin.Session) bool { return x.User == user && x.RevokedAt.IsZero() },
		func(a, b *splitpin.Session) int { return newest(a.CreatedAt, b.CreatedAt, a.Number, b.Number) })
}

// Projects implements [splitpin.Store].
func (s *memoryStore) Projects(ctx context.Context) (list []*splitpin.Project, err error) {
	err = s.locked(ctx, func(m *Memory) { list = m.allProjects() })
	return list, err
}

// DataKeys implements [splitpin.Store].
func (s *memoryStore) DataKeys(ctx context.Context) (list []*splitpin.DataKey, err error) {
	err = s.locked(ctx, func(m *Memory) { list = m.allDataKeys() })
	return list, err
}

// SigningKeys implements [splitpin.Store].
func (s *memoryStore) SigningKeys(ctx context.Context) (list []*splitpin.SigningKey, err error) {
	err = s.locked(ctx, func(m *Memory) {
		list = m.signingKeys.find(func(k *splitpin.SigningKey) bool { return k.GoneAt.IsZero() },
			func(a, b *splitpin.SigningKey) int { return cmp.Compare(a.Number, b.Number) })
	})
	return list, err
}

// Users implements [splitpin.Store].
func (s *memoryStore) Users(ctx context.Context, project int64, offset, limit int) (list []*splitpin.User, err error) {
	err = s.locked(ctx, func(m *Memory) {
		list = m.users.find(func(u *splitpin.User) bool { return u.Project == project },
			func(a, b *splitpin.User) int { return newest(a.CreatedAt, b.CreatedAt, a.Number, b.Number) })
		list = cut(list[min(max(offset, 0), len(list)):], limit)
	})
	return list, err
}

// Sessions implements [splitpin.Store].
func (s *memoryStore) Sessions(ctx context.Context, user int64) (list []*splitpin.Session, err error) {
	err = s.locked(ctx, func(m *Memory) { list = m.liveSessions(user) })
	return list, err
}

// Sites implements [splitpin.Store].
func (s *memoryStore) Sites(ctx context.Context, project int64, kind splitpin.CredentialKind) (list []*splitpin.Credential, err error) {
	err = s.locked(ctx, func(m *Memory) {
		list = slices.CompactFunc(m.credentials.find(
			func(c *splitpin.Credential) bool { return c.Project == project && c.Kind == kind },
			func(a, b *splitpin.Credential) int {
				return cmp.Or(cmp.Compare(a.Site, b.Site), cmp.Compare(a.Number, b.Number))
			},
		), func(a, b *splitpin.Credential) bool { return a.Site == b.Site })
	})
	return list, err
}

// CountAt implements [splitpin.Store].
func (s *memoryStore) CountAt(ctx context.Context, project int64, kind splitpin.CredentialKind, site string) (n int64, err error) {
	err = s.locked(ctx, func(m *Memory) {
		n = int64(len(m.credentials.find(
			func(c *splitpin.Credential) bool { return c.Project == project && c.Kind == kind && c.Site == site },
			func(a, b *splitpin.Credential) int { return cmp.Compare(a.Number, b.Number) })))
	})
	return n, err
}

// Messages implements [splitpin.Store].
func (s *memoryStore) Messages(ctx context.Context, f splitpin.MessageFilter, limit int) (list []*splitpin.Message, err error) {
	err = s.locked(ctx, func(m *Memory) {
		list = cut(m.messages.find(func(x *splitpin.Message) bool {
			return (f.Project == 0 || f.Project == x.Project) && (f.Attempt == 0 || f.Attempt == x.Attempt) &&
				(f.To == "" || f.To == x.To) && (!f.GivenUp || !x.GivenUpAt.IsZero())
		}, func(a, b *splitpin.Message) int { return cmp.Compare(b.Number, a.Number) }), limit)
	})
	return list, err
}

// AuditEvents implements [splitpin.Store].
func (s *memoryStore) AuditEvents(ctx context.Context, f splitpin.AuditFilter, limit int) (list []*splitpin.AuditEvent, err error) {
	err = s.locked(ctx, func(m *Memory) {
		list = cut(m.auditEvents.find(func(e *splitpin.AuditEvent) bool {
			return (f.Project == 0 || f.Project == e.Project) && (f.User == 0 || f.User == e.User) &&
				(f.Session == 0 || f.Session == e.Session) && (f.Kind == "" || f.Kind == e.Kind) &&
				(f.Subject == [12]byte{} || f.Subject == e.Subject)
		}, func(a, b *splitpin.AuditEvent) int {
			return cmp.Or(b.At.Compare(a.At), cmp.Compare(b.Number, a.Number))
		}), limit)
	})
	return list, err
}

// ClaimMessages implements [splitpin.Store].
func (s *memoryStore) ClaimMessages(ctx context.Context, now, until time.Time, limit int) (claimed []splitpin.Claimed, err error) {
	err = s.step(ctx, func() error {
		return s.locked(ctx, func(m *Memory) {
			due := cut(m.messages.find(func(x *splitpin.Message) bool {
				return !x.DueAt.After(now) && x.SentAt.IsZero() && x.GivenUpAt.IsZero()
			}, func(a, b *splitpin.Message) int {
				return cmp.Or(a.DueAt.Compare(b.DueAt), cmp.Compare(a.Number, b.Number))
			}), limit)
			for _, message := range due {
				message.DueAt = until.Truncate(time.Microsecond).UTC()
				message.Tries++
				m.messages[message.Number] = copied(message)
				claimed = append(claimed, splitpin.Claimed{Message: message, Attempt: m.attempts.get(message.Attempt)})
			}
		})
	})
	return claimed, err
}

// Version implements [splitpin.Store].
func (s *memoryStore) Version(ctx context.Context) (version int64, err error) {
	err = s.locked(ctx, func(m *Memory) { version = m.version })
	return version, err
}

// Now implements [splitpin.Store]: the clock of this machine.
func (s *memoryStore) Now(ctx context.Context) (time.Time, error) {
	err := s.locked(ctx, func(*Memory) {})
	return time.Now().UTC().Truncate(time.Microsecond), err
}

// Sweep implements [splitpin.Store]. It looks at everything.
func (s *memoryStore) Sweep(ctx context.Context, now, auditBefore time.Time, limit int) (swept int, err error) {
	expired := now.Add(-keptAfter)
	today := now.Unix() / (24 * 60 * 60)
	err = s.step(ctx, func() error {
		return s.locked(ctx, func(m *Memory) {
			swept += discard(m.grants, limit-swept, func(g *splitpin.Grant) bool { return !g.ExpiresAt.After(expired) })
			swept += discard(m.messages, limit-swept, func(x *splitpin.Message) bool { return !x.ExpiresAt.After(expired) })
			swept += discard(m.attempts, limit-swept, func(a *splitpin.Attempt) bool { return !a.ExpiresAt.After(expired) })
			swept += discard(m.sessions, limit-swept, func(x *splitpin.Session) bool { return !x.Live(now) })
			swept += discard(m.credentials, limit-swept, func(c *splitpin.Credential) bool { return !c.Live(now) })
			swept += discard(m.guesses, limit-swept, func(g *splitpin.Guesses) bool { return g.Day < today-31 })
			swept += discard(m.auditEvents, limit-swept, func(e *splitpin.AuditEvent) bool { return e.At.Before(auditBefore) })
			full := now.UnixMicro()
			swept += discard(m.limits, limit-swept, func(mark int64) bool { return mark <= full })
		})
	})
	return swept, err
}

// discard deletes at most limit of what is over, by key.
func discard[R any](s map[int64]R, limit int, over func(R) bool) (swept int) {
	var dead []int64
	for key, r := range s {
		if over(r) {
			dead = append(dead, key)
		}
	}
	slices.Sort(dead)
	dead = cut(dead, limit)
	for _, key := range dead {
		delete(s, key)
	}
	return len(dead)
}
