package store

import (
	"bytes"
	"time"

	"github.com/splitpin/splitpin"
)

// A recent keeps what the writer saved a moment ago, and whom it looked for by name:
// a sign-in makes an attempt, and within seconds loads it twice, the same user three
// times, and its message and its grant once. It belongs to the transaction that runs:
// what undoes any of that, or writes other than through create, put and remove, clears
// it, and so does begin when another process has written to the file.
type recent struct {
	version int64 // of the file, as this connection sees it

	attempts drawer[int64, *splitpin.Attempt]
	grants   drawer[int64, *splitpin.Grant]
	messages drawer[int64, *splitpin.Message]
	users    drawer[int64, *splitpin.User]
	guesses  drawer[int64, *splitpin.Guesses] // nil: there are none
	names    drawer[splitpin.Name, int64]     // the number of the user who had that name once
}

func (r *recent) clear() {
	if r != nil {
		*r = recent{version: r.version}
	}
}

var dataVersion = newQuery("PRAGMA data_version")

// follow clears what another process may have changed. It is called when a transaction
// has begun to write, so that nobody else can.
func (r *recent) follow(c *connection) error {
	if r == nil {
		return nil
	}
	version, err := c.number(dataVersion)
	if version != r.version {
		r.version = version
		r.clear()
	}
	return err
}

// A drawer holds up to twice drawerSize values, the newer ones for certain.
type drawer[K comparable, V any] struct{ young, old map[K]V }

// drawerSize is several times what 32 people at once need between two of their steps.
// More would be memory: the collector lets three times as much lie.
const drawerSize = 128

func (s *drawer[K, V]) find(key K) (value V, there bool) {
	if value, there = s.young[key]; !there {
		value, there = s.old[key]
	}
	return value, there
}

func (s *drawer[K, V]) keep(key K, value V) {
	if _, there := s.young[key]; !there && len(s.young) >= drawerSize || s.young == nil {
		s.young, s.old = s.old, s.young
		clear(s.young)
		if s.young == nil {
			s.young = make(map[K]V)
		}
	}
	s.young[key] = value
}

func (s *drawer[K, V]) drop(key K) {
	delete(s.young, key)
	delete(s.old, key)
}

// kept says where the records of a table are kept, and under which number.
type kept[R any] struct {
	drawer func(*recent) *drawer[int64, *R]
	key    func(*R) int64
}

func init() {
	attempts.kept = &kept[splitpin.Attempt]{
		func(r *recent) *drawer[int64, *splitpin.Attempt] { return &r.attempts },
		func(a *splitpin.Attempt) int64 { return a.ID.Number }}
	grants.kept = &kept[splitpin.Grant]{
		func(r *recent) *drawer[int64, *splitpin.Grant] { return &r.grants },
		func(g *splitpin.Grant) int64 { return g.Number }}
	messages.kept = &kept[splitpin.Message]{
		func(r *recent) *drawer[int64, *splitpin.Message] { return &r.messages },
		func(m *splitpin.Message) int64 { return m.Number }}
	users.kept = &kept[splitpin.User]{
		func(r *recent) *drawer[int64, *splitpin.User] { return &r.users },
		func(u *splitpin.User) int64 { return u.Number }}
	guesses.kept = &kept[splitpin.Guesses]{
		func(r *recent) *drawer[int64, *splitpin.Guesses] { return &r.guesses },
		func(g *splitpin.Guesses) int64 { return g.Key }}
}

// keep keeps a copy of a record as the table has it now.
func keep[R any](c *connection, t *table[R], r *R) {
	if c.recent != nil && t.kept != nil {
		t.kept.drawer(c.recent).keep(t.kept.key(r), t.copyOf(r))
	}
}

// drop forgets a record that is deleted.
func drop[R any](c *connection, t *table[R], r *R) {
	if c.recent != nil && t.kept != nil {
		t.kept.drawer(c.recent).drop(t.kept.key(r))
	}
}

// lately is get by the number of a record, which need not be asked for where it is
// kept.
func lately[R any](c *connection, failed *error, t *table[R], q *query, number int64) *R {
	if c.recent != nil && *failed == nil {
		if r, there := t.kept.drawer(c.recent).find(number); there {
			return t.copyOf(r)
		}
	}
	return get(c, failed, t, q, number)
}

// named returns who has a name, and keeps that user.
func (c *connection) named(failed *error, n splitpin.Name) *splitpin.User {
	if c.recent == nil {
		return get(c, failed, users, userByName, n.Project, n.Identifier)
	}
	if number, there := c.recent.names.find(n); there {
		// Names change: what counts is the one in the user, which is never out of date.
		if r, there := c.recent.users.find(number); there && r.Project == n.Project && r.Identifier == n.Identifier {
			return users.copyOf(r)
		}
	}
	u := get(c, failed, users, userByName, n.Project, n.Identifier)
	if u != nil {
		c.recent.names.keep(n, u.Number)
		keep(c, users, u)
	}
	return u
}

// guessed returns the guesses at a name, and keeps that there are none.
func (c *connection) guessed(failed *error, n splitpin.Name) *splitpin.Guesses {
	key := splitpin.GuessesKey(n.Project, n.Identifier)
	g := lately(c, failed, guesses, guessesByKey, key)
	if c.recent != nil && *failed == nil && g == nil {
		c.recent.guesses.keep(key, nil)
	}
	return g
}

// copyOf returns a record as it would come back from the table; nil of nil.
func (t *table[R]) copyOf(r *R) *R {
	if r == nil {
		return nil
	}
	out := new(R)
	*out = *r
	t.visit(out, settler{})
	return out
}

// A settler turns the columns it visits into what would come back.
type settler struct{}

func (settler) Int64(*int64)      {}
func (settler) Int(*int)          {}
func (settler) Int8(*int8)        {}
func (settler) Uint32(*uint32)    {}
func (settler) Bool(*bool)        {}
func (settler) Text(*string)      {}
func (settler) Fixed([]byte)      {}
func (settler) Time(v *time.Time) { *v = fromMicros(micros(*v)) }
func (settler) JSON(any)          { panic("a record with JSON is not kept") }
func (settler) Bytes(v *[]byte) {
	*v = bytes.Clone(*v)
	if len(*v) == 0 {
		*v = nil
	}
}
