package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/splitpin/splitpin"
)

// errTaken says that a record to create is there already.
var errTaken = errors.New("a record to create exists already")

// bindAll binds as many columns of a record as the statement has parameters.
func bindAll[R any](c *connection, t *table[R], q *query, r *R) (*sqlite.Stmt, error) {
	stmt, err := c.prepare(q)
	if err != nil {
		return nil, err
	}
	c.bind = binder{stmt: stmt, limit: stmt.BindParamCount()}
	t.visit(r, &c.bind)
	return stmt, c.bind.err
}

// run runs a statement with the columns of a record and returns how many rows
// it changed.
func run[R any](c *connection, t *table[R], q *query, r *R) (int, error) {
	stmt, err := bindAll(c, t, q, r)
	if err != nil {
		return 0, err
	}
	_, err = stmt.Step()
	if err != nil {
		stmt.Reset()
		return 0, err
	}
	n := c.Changes()
	return n, stmt.Reset()
}

func create[R any](c *connection, t *table[R], r *R) error {
	switch _, err := run(c, t, t.create, r); sqlite.ErrCode(err) {
	case sqlite.ResultOK:
		keep(c, t, r)
		return t.changed(c)
	case sqlite.ResultConstraintPrimaryKey, sqlite.ResultConstraintUnique, sqlite.ResultConstraintRowID:
		return errTaken
	default:
		return fmt.Errorf("creating in %s: %w", t.name, err)
	}
}

func put[R any](c *connection, t *table[R], r *R) error {
	n := 0
	var err error
	if t.same != nil {
		n, err = run(c, t, t.same, r)
	}
	if n == 0 && err == nil {
		n, err = run(c, t, t.put, r)
	}
	switch {
	case err != nil:
		return fmt.Errorf("replacing in %s: %w", t.name, err)
	case n == 0:
		return fmt.Errorf("replacing in %s: the record is not there", t.name)
	}
	keep(c, t, r)
	return t.changed(c)
}

func remove[R any](c *connection, t *table[R], r *R) error {
	n, err := run(c, t, t.delete, r)
	if err != nil {
		return fmt.Errorf("deleting from %s: %w", t.name, err)
	}
	drop(c, t, r)
	if n == 0 {
		return nil
	}
	return t.changed(c)
}

func (t *table[R]) changed(c *connection) error {
	if !t.bumps {
		return nil
	}
	return c.execute(counterAdd, "version", 1)
}

// all returns the records that a query finds.
func all[R any](c *connection, t *table[R], q *query, args ...any) (found []*R, err error) {
	err = c.query(q, func(stmt *sqlite.Stmt) error {
		r := new(R)
		c.scan = scanner{stmt: stmt}
		t.visit(r, &c.scan)
		found = append(found, r)
		return c.scan.err
	}, args...)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", t.name, err)
	}
	return found, nil
}

// list is all for one of several queries: it keeps the first error in failed, and
// after that does nothing.
func list[R any](c *connection, failed *error, t *table[R], q *query, args ...any) []*R {
	if *failed != nil {
		return nil
	}
	found, err := all(c, t, q, args...)
	*failed = err
	return found
}

// get is list for a query that finds one record or none, which is nil.
func get[R any](c *connection, failed *error, t *table[R], q *query, args ...any) *R {
	found := list(c, failed, t, q, args...)
	if len(found) == 0 {
		return nil
	}
	return found[0]
}

// sessionWithUser returns a session and the user it is of, or nil for what is not
// there.
func (c *connection) sessionWithUser(number int64) (session *splitpin.Session, user *splitpin.User, err error) {
	err = c.query(sessionUser, func(stmt *sqlite.Stmt) error {
		session, user = new(splitpin.Session), new(splitpin.User)
		c.scan = scanner{stmt: stmt}
		sessionColumns(session, &c.scan)
		userColumns(user, &c.scan)
		return c.scan.err
	}, number)
	if err != nil {
		return nil, nil, fmt.Errorf("reading sessions: %w", err)
	}
	if user != nil && user.Number == 0 {
		user = nil
	}
	return session, user, nil
}

// load loads what reads names.
func (c *connection) load(reads splitpin.Reads) (*splitpin.Records, error) {
	r := new(splitpin.Records)
	var err error
	if reads.Project != "" {
		r.Project = get(c, &err, projects, projectByID, reads.Project)
	}
	user, name := reads.User, reads.Name
	guessed := name // whose guesses
	if key := reads.Credential; !key.IsZero() {
		r.Credential = get(c, &err, credentials, credentialKeyed, key.Project, string(key.Kind), key.Key[:])
		if r.Credential != nil {
			user = r.Credential.User
		}
	}
	switch {
	case reads.Attempt != 0:
		r.Attempt = lately(c, &err, attempts, attemptByKey, reads.Attempt)
		if r.Attempt != nil && name.Identifier == "" {
			guessed = splitpin.Name{Project: r.Attempt.Project, Identifier: r.Attempt.Identifier}
			if user == 0 && reads.Credential.IsZero() {
				name = guessed
			}
		}
	case reads.Grant != 0:
		if r.Grant = lately(c, &err, grants, grantByKey, reads.Grant); r.Grant != nil {
			r.Attempt = lately(c, &err, attempts, attemptByKey, r.Grant.Attempt)
			user = r.Grant.User
		}
	case reads.Session != 0:
		if err == nil {
			r.Session, r.User, err = c.sessionWithUser(reads.Session)
		}
	}
	switch id := reads.UserID; {
	case user != 0:
		r.User = lately(c, &err, users, userByNumber, user)
	case !id.ID.IsZero():
		r.User = get(c, &err, users, userByID, id.Project, id.ID[:])
	case id.ClientUserID != "":
		r.User = get(c, &err, users, userByClient, id.Project, id.ClientUserID)
	case name.Identifier != "":
		r.User = c.named(&err, name)
	}
	if guessed.Identifier != "" {
		r.Guesses = c.guessed(&err, guessed)
	}
	if reads.Sessions && r.User != nil {
		r.Sessions = list(c, &err, sessions, sessionsLive, r.User.Number)
	}
	if reads.Credentials && r.User != nil {
		r.Credentials = list(c, &err, credentials, credentialsOf, r.User.Number)
		unite(r)
	}
	for _, number := range reads.Messages {
		if m := lately(c, &err, messages, messageByKey, number); m != nil {
			r.Messages = append(r.Messages, m)
		}
	}
	if reads.Settings {
		r.Projects = list(c, &err, projects, projectsAll)
		r.DataKeys = list(c, &err, dataKeys, dataKeysAll)
		r.SigningKeys = list(c, &err, signingKeys, signingAll)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// save saves what a step decided. On an error some of it may have been saved;
// the caller rolls back.
func (c *connection) save(w splitpin.Writes, there keys) error {
	for _, record := range w.Delete {
		if err := apply(c, record, deleting); err != nil {
			return err
		}
	}
	for _, record := range w.Create {
		if err := apply(c, record, creating); err != nil {
			return err
		}
	}
	for _, record := range w.Put {
		if err := there.check(record); err != nil {
			return err
		}
		if err := apply(c, record, putting); err != nil {
			return err
		}
	}
	return nil
}

type verb int

const (
	deleting verb = iota
	creating
	putting
)

func apply(c *connection, record splitpin.Record, v verb) error {
	switch r := record.(type) {
	case *splitpin.Project:
		return applyTo(c, projects, r, v)
	case *splitpin.DataKey:
		return applyTo(c, dataKeys, r, v)
	case *splitpin.SigningKey:
		return applyTo(c, signingKeys, r, v)
	case *splitpin.User:
		return applyTo(c, users, r, v)
	case *splitpin.Attempt:
		return applyTo(c, attempts, r, v)
	case *splitpin.Grant:
		return applyTo(c, grants, r, v)
	case *splitpin.Guesses:
		return applyTo(c, guesses, r, v)
	case *splitpin.Session:
		return applyTo(c, sessions, r, v)
	case *splitpin.Credential:
		return applyTo(c, credentials, r, v)
	case *splitpin.Message:
		return applyTo(c, messages, r, v)
	case *splitpin.AuditEvent:
		return applyTo(c, auditEvents, r, v)
	}
	return fmt.Errorf("a record of type %T has no table", record)
}

func applyTo[R any](c *connection, t *table[R], r *R, v verb) error {
	if r == nil {
		return fmt.Errorf("a nil record for %s", t.name)
	}
	switch v {
	case deleting:
		return remove(c, t, r)
	case creating:
		return create(c, t, r)
	}
	return put(c, t, r)
}

// Load implements [splitpin.Store].
func (s *SQLite) Load(ctx context.Context, reads splitpin.Reads) (r *splitpin.Records, err error) {
	load := func(c *connection) (err error) {
		r, err = c.load(reads)
		return err
	}
	if only(reads, splitpin.Reads{Session: reads.Session, User: reads.User, UserID: reads.UserID}) {
		err = s.borrow(ctx, load) // one statement, which by itself sees one moment
	} else {
		err = s.read(ctx, load)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// listed reads records on a connection of its own.
func listed[R any](ctx context.Context, s *SQLite, t *table[R], q *query, args ...any) (found []*R, err error) {
	err = s.scanning(ctx, func(c *connection) (err error) {
		found, err = all(c, t, q, args...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Projects implements [splitpin.Store].
func (s *SQLite) Projects(ctx context.Context) ([]*splitpin.Project, error) {
	return listed(ctx, s, projects, projectsAll)
}

// DataKeys implements [splitpin.Store].
func (s *SQLite) DataKeys(ctx context.Context) ([]*splitpin.DataKey, error) {
	return listed(ctx, s, dataKeys, dataKeysAll)
}

// SigningKeys implements [splitpin.Store].
func (s *SQLite) SigningKeys(ctx context.Context) ([]*splitpin.SigningKey, error) {
	return listed(ctx, s, signingKeys, signingLeft)
}

// Users implements [splitpin.Store].
func (s *SQLite) Users(ctx context.Context, project int64, offset, limit int) ([]*splitpin.User, error) {
	return listed(ctx, s, users, usersNewest, project, max(limit, 0), max(offset, 0))
}

// Sessions implements [splitpin.Store].
func (s *SQLite) Sessions(ctx context.Context, user int64) ([]*splitpin.Session, error) {
	return listed(ctx, s, sessions, sessionsLive, user)
}

// Sites implements [splitpin.Store].
func (s *SQLite) Sites(ctx context.Context, project int64, kind splitpin.CredentialKind) ([]*splitpin.Credential, error) {
	return listed(ctx, s, credentials, credentialSites, project, string(kind))
}

// CountAt implements [splitpin.Store].
func (s *SQLite) CountAt(ctx context.Context, project int64, kind splitpin.CredentialKind, site string) (n int64, err error) {
	err = s.read(ctx, func(c *connection) (err error) {
		n, err = c.number(credentialsAt, project, string(kind), site)
		return err
	})
	return n, err
}

// Messages implements [splitpin.Store].
func (s *SQLite) Messages(ctx context.Context, f splitpin.MessageFilter, limit int) ([]*splitpin.Message, error) {
	return listed(ctx, s, messages, messagesNewer, f.Project, f.Attempt, f.To, asked(f.GivenUp), max(limit, 0))
}

// AuditEvents implements [splitpin.Store].
func (s *SQLite) AuditEvents(ctx context.Context, f splitpin.AuditFilter, limit int) ([]*splitpin.AuditEvent, error) {
	return newestEvents(f, limit, func(q *query, args ...any) ([]*splitpin.AuditEvent, error) {
		return listed(ctx, s, auditEvents, q, args...)
	})
}

// asked is how the shared statements take a condition: as a number, since engines
// differ about what equals a truth value.
func asked(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Version implements [splitpin.Store].
func (s *SQLite) Version(ctx context.Context) (version int64, err error) {
	err = s.read(ctx, func(c *connection) (err error) {
		version, err = c.number(counterGet, "version")
		return err
	})
	return version, err
}

// Engine implements [Database].
func (s *SQLite) Engine() string { return "sqlite" }

// Now implements [splitpin.Store]. Whoever opens the file has the same clock.
func (s *SQLite) Now(ctx context.Context) (time.Time, error) {
	err := s.read(ctx, func(*connection) error { return nil })
	return time.Now().UTC().Truncate(time.Microsecond), err
}
