package store

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/splitpin/splitpin"
)

// A batch is what one step or several save in a transaction, by kind, so that several
// rows go into one statement.
type batch struct {
	projects    saved[splitpin.Project]
	dataKeys    saved[splitpin.DataKey]
	signingKeys saved[splitpin.SigningKey]
	users       saved[splitpin.User]
	attempts    saved[splitpin.Attempt]
	grants      saved[splitpin.Grant]
	guesses     saved[splitpin.Guesses]
	sessions    saved[splitpin.Session]
	credentials saved[splitpin.Credential]
	messages    saved[splitpin.Message]
	events      saved[splitpin.AuditEvent]
}

// saved are the records of one kind, by verb.
type saved[R any] [putting + 1][]*R

func (s *saved[R]) add(r *R, v verb) error {
	if r == nil {
		return fmt.Errorf("a nil %T among the writes", r)
	}
	s[v] = append(s[v], r)
	return nil
}

// addAll adds what a step decided to save. Where it fails, a part of it was added.
func (b *batch) addAll(w splitpin.Writes) error {
	for v, list := range [...][]splitpin.Record{deleting: w.Delete, creating: w.Create, putting: w.Put} {
		for _, record := range list {
			if err := b.add(record, verb(v)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *batch) add(record splitpin.Record, v verb) error {
	switch r := record.(type) {
	case *splitpin.Project:
		return b.projects.add(r, v)
	case *splitpin.DataKey:
		return b.dataKeys.add(r, v)
	case *splitpin.SigningKey:
		return b.signingKeys.add(r, v)
	case *splitpin.User:
		return b.users.add(r, v)
	case *splitpin.Attempt:
		return b.attempts.add(r, v)
	case *splitpin.Grant:
		return b.grants.add(r, v)
	case *splitpin.Guesses:
		return b.guesses.add(r, v)
	case *splitpin.Session:
		return b.sessions.add(r, v)
	case *splitpin.Credential:
		return b.credentials.add(r, v)
	case *splitpin.Message:
		return b.messages.add(r, v)
	case *splitpin.AuditEvent:
		return b.events.add(r, v)
	}
	return fmt.Errorf("a record of type %T has no table", record)
}

// send adds the statements that save the batch: of each kind what is deleted, then what
// is created, then what is put. Where two nodes create the same, one waits for the
// other: all create in one order, so that it is never each for the other.
func (b *batch) send(t *trip) {
	slices.SortFunc(b.users[creating], func(a, b *splitpin.User) int {
		return cmp.Or(cmp.Compare(a.Project, b.Project), strings.Compare(a.Identifier, b.Identifier))
	})
	slices.SortFunc(b.credentials[creating], func(a, b *splitpin.Credential) int {
		return cmp.Or(cmp.Compare(a.Project, b.Project), cmp.Compare(a.Kind, b.Kind), bytes.Compare(a.Key[:], b.Key[:]))
	})
	slices.SortFunc(b.guesses[creating], func(a, b *splitpin.Guesses) int { return cmp.Compare(a.Key, b.Key) })
	if b.projects.any() || b.dataKeys.any() || b.signingKeys.any() {
		t.send(counterAdd, nil, "version", 1) // first, as settings come first in the order of locks
	}
	b.projects.send(t, &many[splitpin.Project]{table: projects})
	b.dataKeys.send(t, &many[splitpin.DataKey]{table: dataKeys})
	b.signingKeys.send(t, &many[splitpin.SigningKey]{table: signingKeys})
	b.users.send(t, manyUsers)
	b.guesses.send(t, manyGuesses)
	b.attempts.send(t, manyAttempts)
	b.grants.send(t, manyGrants)
	b.sessions.send(t, manySessions)
	b.credentials.send(t, &many[splitpin.Credential]{table: credentials})
	b.messages.send(t, manyMessages)
	b.events.send(t, manyEvents)
}

func (s *saved[R]) any() bool { return len(s[deleting])+len(s[creating])+len(s[putting]) > 0 }

// send adds statements of many rows as long as there are enough, and then of one. All
// columns are replaced by a put: where an indexed one did not change, PostgreSQL notices
// and leaves the index alone.
func (s *saved[R]) send(t *trip, m *many[R]) {
	for _, r := range s[deleting] {
		sendRecord(t, m.table, m.table.delete, r)
	}
	m.send(t, &m.create, s[creating], m.table.create)
	m.send(t, &m.put, s[putting], m.table.put)
}

// A many has the statements that save several records of a table at once, where there
// are any.
type many[R any] struct {
	table       *table[R]
	create, put manyRows
}

// manyRows is one statement for each of rowsAtOnce, largest first.
type manyRows [len(rowsAtOnce)]*query

var rowsAtOnce = [...]int{16, 4}

var (
	manyUsers    = newMany(users)
	manyAttempts = newMany(attempts)
	manyGrants   = newMany(grants)
	manyGuesses  = newMany(guesses)
	manySessions = newMany(sessions)
	manyMessages = newMany(messages)
	manyEvents   = newMany(auditEvents)
)

// newMany takes a table whose key is its first column.
func newMany[R any](t *table[R]) *many[R] {
	m := &many[R]{table: t}
	names := strings.Split(t.list, ", ")
	set := make([]string, len(names))
	for i, name := range names {
		set[i] = name + " = new." + name
	}
	for i, rows := range rowsAtOnce {
		var values strings.Builder
		for n := range rows * len(names) {
			switch {
			case n == 0:
				values.WriteString("($1")
			case n%len(names) == 0:
				fmt.Fprintf(&values, "), ($%d", n+1)
			default:
				fmt.Fprintf(&values, ", $%d", n+1)
			}
		}
		n := rows * len(names)
		m.create[i] = addQuery(fmt.Sprintf("INSERT INTO %s (%s) VALUES %s)", t.name, t.list, &values), n)
		m.put[i] = addQuery(fmt.Sprintf("UPDATE %s SET %s FROM (VALUES %s)) AS new (%s) WHERE %s.%s = new.%s",
			t.name, strings.Join(set[1:], ", "), &values, t.list, t.name, names[0], names[0]), n)
	}
	return m
}

func (m *many[R]) send(t *trip, together *manyRows, records []*R, one *query) {
	for i, rows := range rowsAtOnce {
		for ; together[i] != nil && len(records) >= rows; records = records[rows:] {
			t.link.bind.reset(together[i].parameters)
			for _, r := range records[:rows] {
				m.table.visit(r, &t.link.bind)
			}
			t.sendBound(together[i], request{query: together[i]})
		}
	}
	for _, r := range records {
		sendRecord(t, m.table, one, r)
	}
}
