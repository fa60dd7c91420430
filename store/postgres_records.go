package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/splitpin/splitpin"
)

// A locker is a query with the same that locks what it finds.
type locker struct{ plain, locking *query }

func newLocker(plain *query) locker {
	// Nothing refers to a row by a foreign key, so the weaker of the two locks for
	// update keeps everybody out that must be.
	return locker{plain, newQuery("%s FOR NO KEY UPDATE", plain.text)}
}

func (l locker) query(locking bool) *query {
	if locking {
		return l.locking
	}
	return l.plain
}

// A way leads to a user and what is a set of that user. Where it begins at an attempt,
// grant, session or credential, it takes the key of that and goes on inside the
// statement: so one round trip locks the user before what led there. It may, as what
// leads to a user never changes.
type way struct{ user, sessions, credentials locker }

func newWay(condition string) way {
	return way{
		user: newLocker(users.where("WHERE " + condition)),
		sessions: newLocker(sessions.where("WHERE of_user = (SELECT number FROM users WHERE " + condition +
			") AND revoked_at = 0 ORDER BY number")),
		credentials: newLocker(credentials.where("WHERE of_user = (SELECT number FROM users WHERE " + condition + ") ORDER BY number")),
	}
}

var (
	wayNumber  = newWay("number = $1")
	wayID      = newWay("project = $1 AND id = $2")
	wayClient  = newWay("project = $1 AND client_user_id = $2 AND client_user_id <> ''")
	wayName    = newWay("project = $1 AND identifier = $2")
	wayAttempt = newWay("(project, identifier) = (SELECT project, identifier FROM attempts WHERE number = $1 AND identifier <> '')")
	wayGrant   = newWay("number = (SELECT for_user FROM grants WHERE number = $1)")
	waySession = newWay("number = (SELECT of_user FROM sessions WHERE number = $1)")

	wayCredential = newWay("number = (SELECT of_user FROM credentials WHERE project = $1 AND kind = $2 AND key = $3)")

	pgSession        = newLocker(sessionByKey)
	pgCredential     = newLocker(credentialKeyed)
	pgAttempt        = newLocker(attemptByKey)
	pgAttemptOfGrant = newLocker(attempts.where("WHERE number = (SELECT attempt FROM grants WHERE number = $1)"))
	pgGrant          = newLocker(grantByKey)
	pgGuesses        = newLocker(guessesByKey)
	pgGuessesOf      = newLocker(guesses.where(`WHERE key =
		(SELECT guesses_key(project, identifier) FROM attempts WHERE number = $1 AND identifier <> '')`))
	pgMessages = newLocker(messages.where("WHERE number = ANY($1) ORDER BY number"))

	pgSessionsAndUsers = newQuery("SELECT %s, %s FROM sessions LEFT JOIN users ON users.number = sessions.of_user WHERE sessions.number = ANY($1)",
		sessions.listOf("sessions"), users.listOf("users"))

	// The row of the version stands for the settings as one: who changes any of them
	// moves it.
	pgSettings = newQuery("SELECT value FROM counters WHERE name = 'version' FOR NO KEY UPDATE")

	pgTransaction = newQuery("SELECT pg_current_xact_id()")
	pgStatus      = newQuery("SELECT pg_xact_status($1::text::xid8)")
)

// load adds the statements that load what reads names, in the order of the locks.
func (t *trip) load(r *splitpin.Records, reads splitpin.Reads, locking bool) {
	*r = splitpin.Records{}
	if locking && (reads.Settings || reads.Project != "") {
		t.send(pgSettings, nil)
	}
	if reads.Project != "" {
		sendFor(t, projects, projectByID, func(p *splitpin.Project) { r.Project = p }, reads.Project)
	}
	if reads.Settings {
		sendFor(t, projects, projectsAll, func(p *splitpin.Project) { r.Projects = append(r.Projects, p) })
		sendFor(t, dataKeys, dataKeysAll, func(k *splitpin.DataKey) { r.DataKeys = append(r.DataKeys, k) })
		sendFor(t, signingKeys, signingAll, func(k *splitpin.SigningKey) { r.SigningKeys = append(r.SigningKeys, k) })
	}
	w, args, ok := wayOf(reads)
	if ok {
		sendFor(t, users, w.user.query(locking), func(u *splitpin.User) { r.User = u }, args...)
		if reads.Sessions {
			sendFor(t, sessions, w.sessions.query(locking), func(s *splitpin.Session) { r.Sessions = append(r.Sessions, s) }, args...)
		}
		if reads.Credentials {
			sendFor(t, credentials, w.credentials.query(locking), func(c *splitpin.Credential) { r.Credentials = append(r.Credentials, c) }, args...)
		}
	}
	if !reads.Credential.IsZero() {
		t.send(pgCredential.query(locking), func(s *pgScanner) error {
			r.Credential = new(splitpin.Credential)
			credentialColumns(r.Credential, s)
			if r.User != nil && r.User.Number != r.Credential.User {
				return errAppeared // the one that led to the user was swept
			}
			return nil
		}, args...)
	}
	setAttempt := func(a *splitpin.Attempt) { r.Attempt = a }
	setGuesses := func(g *splitpin.Guesses) { r.Guesses = g }
	switch {
	case reads.Attempt != 0:
		sendFor(t, attempts, pgAttempt.query(locking), setAttempt, reads.Attempt)
	case reads.Grant != 0:
		sendFor(t, attempts, pgAttemptOfGrant.query(locking), setAttempt, reads.Grant)
		sendFor(t, grants, pgGrant.query(locking), func(g *splitpin.Grant) { r.Grant = g }, reads.Grant)
	case reads.Session != 0:
		sendFor(t, sessions, pgSession.query(locking), func(s *splitpin.Session) { r.Session = s }, reads.Session)
	}
	switch {
	case reads.Name.Identifier != "":
		sendFor(t, guesses, pgGuesses.query(locking), setGuesses, splitpin.GuessesKey(reads.Name.Project, reads.Name.Identifier))
	case reads.Attempt != 0:
		sendFor(t, guesses, pgGuessesOf.query(locking), setGuesses, reads.Attempt)
	}
	if locking && (reads.Attempt != 0 || !reads.Credential.IsZero()) {
		// Who was waited for may have created the user; the attempt or the credential
		// tells of it.
		t.send(w.user.plain, func(*pgScanner) error {
			if r.User == nil {
				return errAppeared
			}
			return nil
		}, args...)
	}
	if len(reads.Messages) > 0 {
		sendFor(t, messages, pgMessages.query(locking), func(m *splitpin.Message) { r.Messages = append(r.Messages, m) }, reads.Messages)
	}
}

// errAppeared says that a record which was not there, and so not locked, is there by
// now.
var errAppeared = errors.New("a record appeared meanwhile")

// wayOf returns the way to the user that reads takes.
func wayOf(reads splitpin.Reads) (way, []any, bool) {
	switch id, key := reads.UserID, reads.Credential; {
	case reads.Grant != 0:
		return wayGrant, []any{reads.Grant}, true
	case reads.Session != 0:
		return waySession, []any{reads.Session}, true
	case reads.User != 0:
		return wayNumber, []any{reads.User}, true
	case !id.ID.IsZero():
		return wayID, []any{id.Project, id.ID[:]}, true
	case id.ClientUserID != "":
		return wayClient, []any{id.Project, id.ClientUserID}, true
	case reads.Name.Identifier != "":
		return wayName, []any{reads.Name.Project, reads.Name.Identifier}, true
	case !key.IsZero():
		return wayCredential, []any{key.Project, string(key.Kind), key.Key[:]}, true
	case reads.Attempt != 0: // last, as another may join it
		return wayAttempt, []any{reads.Attempt}, true
	}
	return way{}, nil, false
}

// arrange puts what was locked by number into the order of the contract.
func arrange(r *splitpin.Records, reads splitpin.Reads) {
	slices.SortFunc(r.Sessions, func(a, b *splitpin.Session) int { return newest(a.CreatedAt, b.CreatedAt, a.Number, b.Number) })
	slices.SortFunc(r.Credentials, func(a, b *splitpin.Credential) int { return newest(a.CreatedAt, b.CreatedAt, a.Number, b.Number) })
	if r.Credential == nil && !reads.Credential.IsZero() {
		// It was swept when it had led to the user; now it leads to nobody.
		r.User, r.Sessions, r.Credentials = nil, nil, nil
	}
	unite(r)
}

// unite makes one record of a credential that was loaded by its key and among those of
// its user.
func unite(r *splitpin.Records) {
	for _, c := range r.Credentials {
		if r.Credential != nil && c.Number == r.Credential.Number {
			r.Credential = c
		}
	}
}

// Load implements [splitpin.Store].
func (s *Postgres) Load(ctx context.Context, reads splitpin.Reads) (*splitpin.Records, error) {
	reads = legible(reads)
	if reads.Session != 0 && only(reads, splitpin.Reads{Session: reads.Session}) {
		// What is asked for most: whose token is that?
		c := &lookCall{call: newCall(), session: reads.Session}
		if err := s.looks.do(ctx, c); err != nil || c.err != nil {
			return nil, cmp.Or(err, c.err)
		}
		return &c.records, nil
	}
	r := new(splitpin.Records)
	err := s.once(ctx, func(t *trip) {
		if only(reads, splitpin.Reads{User: reads.User, UserID: reads.UserID}) { // one statement, which sees one moment by itself
			t.load(r, reads, false)
			return
		}
		t.send(pgBeginSnapshot, nil) // the statements of one transaction see one moment
		t.load(r, reads, false)
		t.send(pgCommit, nil)
	})
	if err != nil {
		return nil, err
	}
	arrange(r, reads)
	return r, nil
}

// A lookCall is a call of Load for a session and its user.
type lookCall struct {
	call
	session int64
	records splitpin.Records
	err     error
}

// newLooks makes the queue of those calls: several are one statement.
func (s *Postgres) newLooks() *queue[*lookCall] {
	return &queue[*lookCall]{line: line[*lookCall]{wait: acquireTime}, lanes: 4, patience: 5 * time.Millisecond, group: 64, work: func(calls []*lookCall) {
		numbers := make([]int64, len(calls))
		for i, c := range calls {
			numbers[i] = c.session
		}
		err := s.once(context.Background(), func(t *trip) {
			for _, c := range calls {
				c.records = splitpin.Records{} // of a run that was lost
			}
			t.send(pgSessionsAndUsers, func(row *pgScanner) error {
				var session splitpin.Session
				var user splitpin.User
				sessionColumns(&session, row)
				userColumns(&user, row)
				for _, c := range calls {
					if c.session == session.Number {
						c.found(session, user)
					}
				}
				return nil
			}, numbers)
		})
		for _, c := range calls {
			c.err = err
		}
	}}
}

// found keeps a copy of its own.
func (c *lookCall) found(s splitpin.Session, u splitpin.User) {
	c.records = splitpin.Records{Session: &s}
	if u.Number != 0 {
		c.records.User = &u
	}
}

// legible leaves out of reads what names nothing, or has it name what nobody has: the
// server takes no text that is none, not even to look for.
func legible(reads splitpin.Reads) splitpin.Reads {
	if !splitpin.IsText(reads.Project) {
		reads.Project = ""
	}
	if !splitpin.IsText(reads.UserID.ClientUserID) {
		reads.UserID.ClientUserID = ""
	}
	// With these an attempt may be joined, for which they then lead to nobody.
	if !splitpin.IsText(reads.Name.Identifier) {
		reads.Name.Identifier = rand.Text()
	}
	if !splitpin.IsText(string(reads.Credential.Kind)) {
		reads.Credential.Kind = splitpin.CredentialKind(rand.Text())
	}
	return reads
}

// only reports whether reads names nothing but what part names. It knows every field.
func only(reads, part splitpin.Reads) bool {
	return len(reads.Messages) == 0 && reads.Project == part.Project && reads.Attempt == part.Attempt &&
		reads.Grant == part.Grant && reads.Session == part.Session && reads.User == part.User &&
		reads.UserID == part.UserID && reads.Name == part.Name && reads.Credential == part.Credential && !reads.Sessions && !reads.Credentials && !reads.Settings && !reads.Unlocked
}

// Change implements [splitpin.Store].
func (s *Postgres) Change(ctx context.Context, reads splitpin.Reads, decide func(*splitpin.Records) (splitpin.Writes, error)) error {
	reads = legible(reads)
	if gathers(reads) && !s.options.alone {
		c := &stepCall{call: newCall(), reads: reads, decide: decide}
		if err := s.steps.do(ctx, c); err != nil || c.resolved {
			return cmp.Or(err, c.err)
		}
	}
	return s.repeat(ctx, func() (fate, error) { return s.conclude(ctx, s.step(ctx, reads, decide)) })
}

// An outcome is how a run of one step or of a group ended.
type outcome struct {
	why fate
	err error

	committing  bool   // a COMMIT was sent, and nobody said that it failed
	commit      Commit // as whoever watches is told of it
	transaction int64  // its id
	incarnation string // of the server that it ran on
}

func ended(why fate, err error) outcome { return outcome{why: why, err: err} }

// step runs a step once: two round trips, of which the second ends the transaction.
func (s *Postgres) step(ctx context.Context, reads splitpin.Reads, decide func(*splitpin.Records) (splitpin.Writes, error)) outcome {
	resource, err := s.acquire(ctx)
	if err != nil {
		return ended(broken, err)
	}
	defer func() { s.release(resource) }() // also where decide panics
	l := resource.Value()

	began := stopwatch(s.options.Committed)
	t := l.trip(ctx, stepTime)
	r := new(splitpin.Records)
	id := s.begin(t)
	t.load(r, reads, !reads.Unlocked)
	switch why, err := s.ended(ctx, t); {
	case errors.Is(err, errAppeared):
		return ended(conflict, err)
	case err != nil:
		return ended(why, err)
	}
	arrange(r, reads)
	there := keysOf(r, reads)

	w, err := decide(r)
	if err != nil {
		return ended(broken, err)
	}
	// What wrote nothing is rolled back: a commit would be made durable, though there is
	// nothing but locks in it.
	if len(w.Delete)+len(w.Create)+len(w.Put) == 0 {
		return ended(done, nil)
	}

	// From here on the caller's patience does not count.
	t = l.trip(context.Background(), stepTime+time.Duration(len(w.Delete)+len(w.Create)+len(w.Put))*10*time.Millisecond)
	if w.Loose {
		t.send(pgNotDurable, nil)
	}
	if err := t.save(w, there); err != nil {
		return ended(broken, err)
	}
	return s.finish(t, *id, 1, began)
}

// finish commits what a trip holds, for a number of steps that began to load at began.
func (s *Postgres) finish(t *trip, transaction int64, steps int, began time.Time) outcome {
	ran := stopwatch(s.options.Committed)
	committed := s.commit(t)
	why, err := s.ended(context.Background(), t)
	o := outcome{why: why, err: err, transaction: transaction, incarnation: t.link.incarnation,
		committing: *committed || why == lost || why == unable || why == elsewhere,
		commit:     Commit{Steps: steps, Ran: ran.Sub(began), Synced: stopwatch(s.options.Committed).Sub(ran)}}
	switch {
	case *committed:
		o.why, o.err = done, nil // whatever happened to the connection then
	case err == nil:
		o.why, o.err = broken, errors.New("a transaction ended without being committed")
	}
	return o
}

// conclude finds out what became of a commit whose answer was lost, and tells whoever
// watches. The connection was given back before: asking takes another.
func (s *Postgres) conclude(ctx context.Context, o outcome) (fate, error) {
	if o.committing && o.why == lost {
		o.why, o.err = s.settle(ctx, o.err, o.transaction, o.incarnation)
	}
	if s.options.Committed != nil && o.committing {
		o.commit.Failed = o.err != nil
		s.options.Committed(o.commit)
	}
	return o.why, o.err
}

// begin begins a transaction for a step, and tells its id, by which others can ask
// what became of it.
func (s *Postgres) begin(t *trip) (id *int64) {
	id = new(int64)
	t.send(pgBegin, nil)
	if t.link.unnamed {
		t.send(pgTimeouts, nil)
	}
	t.send(pgTransaction, func(s *pgScanner) error { s.Int64(id); return nil })
	return id
}

// commit ends a transaction, and tells whether the server said that it did.
func (s *Postgres) commit(t *trip) (committed *bool) {
	committed = new(bool)
	t.link.bind.reset(0)
	t.sendBound(pgCommit, request{query: pgCommit, done: func(tag pgconn.CommandTag) {
		*committed = tag.String() == "COMMIT" // of a transaction that failed it says ROLLBACK
	}})
	return committed
}

// save adds the statements that save what a step decided.
func (t *trip) save(w splitpin.Writes, there keys) error {
	if err := there.checkAll(w.Put); err != nil {
		return err
	}
	var b batch
	if err := b.addAll(w); err != nil {
		return err
	}
	b.send(t)
	return t.err
}

// keys are the records that a step loaded, and may put. They are few.
type keys []recordKey

// check refuses to put a record that the step did not load. What decide did to the
// records does not count: their keys were taken before.
func (k keys) check(record splitpin.Record) error {
	if key, err := keyOf(record); err != nil || !slices.Contains(k, key) {
		return errors.Join(err, fmt.Errorf("replacing a %T that this step did not load", record))
	}
	return nil
}

// checkAll is check for all of put, before anything is sent: an UPDATE of a row that is
// not there does nothing and says so too late, when the COMMIT is under way with it.
func (k keys) checkAll(put []splitpin.Record) error {
	for _, record := range put {
		if err := k.check(record); err != nil {
			return err
		}
	}
	return nil
}

type recordKey struct {
	kind   byte
	number int64
	text   string
}

func keysOf(r *splitpin.Records, reads splitpin.Reads) keys {
	if reads.Unlocked {
		return nil
	}
	there := make(keys, 0, 4)
	mark := func(record splitpin.Record) {
		if key, err := keyOf(record); err == nil {
			there = append(there, key)
		}
	}
	if r.Project != nil {
		mark(r.Project)
	}
	if r.Attempt != nil {
		mark(r.Attempt)
	}
	if r.Grant != nil {
		mark(r.Grant)
	}
	if r.Session != nil {
		mark(r.Session)
	}
	if r.Credential != nil {
		mark(r.Credential)
	}
	if r.User != nil {
		mark(r.User)
	}
	if r.Guesses != nil {
		mark(r.Guesses)
	}
	for _, x := range r.Messages {
		mark(x)
	}
	for _, x := range r.Sessions {
		mark(x)
	}
	for _, x := range r.Credentials {
		mark(x)
	}
	for _, x := range r.Projects {
		mark(x)
	}
	for _, x := range r.DataKeys {
		mark(x)
	}
	for _, x := range r.SigningKeys {
		mark(x)
	}
	return there
}

func keyOf(record splitpin.Record) (recordKey, error) {
	switch r := record.(type) {
	case *splitpin.Project:
		return recordKey{kind: 'p', number: r.Number}, nil
	case *splitpin.DataKey:
		return recordKey{kind: 'd', number: int64(r.Generation), text: r.Purpose}, nil
	case *splitpin.SigningKey:
		return recordKey{kind: 'k', number: r.Number}, nil
	case *splitpin.User:
		return recordKey{kind: 'u', number: r.Number}, nil
	case *splitpin.Attempt:
		return recordKey{kind: 'a', number: r.ID.Number}, nil
	case *splitpin.Grant:
		return recordKey{kind: 'g', number: r.Number}, nil
	case *splitpin.Guesses:
		return recordKey{kind: 'w', number: r.Key}, nil
	case *splitpin.Session:
		return recordKey{kind: 's', number: r.Number}, nil
	case *splitpin.Credential:
		return recordKey{kind: 'x', number: r.Number}, nil
	case *splitpin.Message:
		return recordKey{kind: 'm', number: r.Number}, nil
	}
	return recordKey{}, fmt.Errorf("a %T cannot be loaded", record)
}

// settleTime is how long a step whose answer was lost asks what became of it.
const settleTime = 5 * time.Second

// settle finds out what became of a transaction when the answer to its COMMIT was
// lost: nil when it was committed.
//
// An id is told a second time after a crash that lost the transaction it was told to
// first. So "committed" counts only from a server that did not crash meanwhile, which
// its incarnation tells; "aborted" is true in any case, as either transaction's fate.
func (s *Postgres) settle(ctx context.Context, cause error, id int64, incarnation string) (fate, error) {
	uncertain := splitpin.ErrUncertain.Because(fmt.Errorf("the answer to a commit was lost: %w", cause))
	s.pool.Reset()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		status, same, err := s.statusOf(ctx, id, incarnation)
		switch {
		case err == nil && !same:
			return broken, uncertain
		case err == nil && status == "committed":
			return done, nil
		case err == nil && status == "aborted":
			return lost, cause
		case err == nil && status != "in progress": // too long ago to be known
			return broken, uncertain
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return broken, uncertain
		case <-s.closing:
			return broken, uncertain
		}
	}
}

// statusOf asks for the status of a transaction, and whether the server is the one
// that it ran on.
func (s *Postgres) statusOf(ctx context.Context, id int64, incarnation string) (status string, same bool, err error) {
	r, err := s.acquire(ctx)
	if err != nil {
		return "", false, err
	}
	defer s.release(r)
	l := r.Value()
	now := ""
	t := l.trip(ctx, settleTime)
	t.send(pgIncarnation, func(s *pgScanner) error { s.Text(&now); return nil })
	t.send(pgStatus, func(s *pgScanner) error { s.Text(&status); return nil }, strconv.FormatInt(id, 10))
	err = t.end()
	var answer *pgconn.PgError
	if errors.As(err, &answer) && now != incarnation {
		return "", false, nil // another server never heard of the id
	}
	return status, now != "" && now == incarnation, err
}

// listedIn reads records in a trip of its own.
func listedIn[R any](ctx context.Context, s *Postgres, tab *table[R], q *query, args ...any) (found []*R, err error) {
	err = s.atLength(ctx, func(t *trip) {
		found = nil // of a run that was lost
		sendFor(t, tab, q, func(r *R) { found = append(found, r) }, args...)
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Projects implements [splitpin.Store].
func (s *Postgres) Projects(ctx context.Context) ([]*splitpin.Project, error) {
	return listedIn(ctx, s, projects, projectsAll)
}

// DataKeys implements [splitpin.Store].
func (s *Postgres) DataKeys(ctx context.Context) ([]*splitpin.DataKey, error) {
	return listedIn(ctx, s, dataKeys, dataKeysAll)
}

// SigningKeys implements [splitpin.Store].
func (s *Postgres) SigningKeys(ctx context.Context) ([]*splitpin.SigningKey, error) {
	return listedIn(ctx, s, signingKeys, signingLeft)
}

// Users implements [splitpin.Store].
func (s *Postgres) Users(ctx context.Context, project int64, offset, limit int) ([]*splitpin.User, error) {
	return listedIn(ctx, s, users, usersNewest, project, max(limit, 0), max(offset, 0))
}

// Sessions implements [splitpin.Store].
func (s *Postgres) Sessions(ctx context.Context, user int64) ([]*splitpin.Session, error) {
	return listedIn(ctx, s, sessions, sessionsLive, user)
}

// Sites implements [splitpin.Store].
func (s *Postgres) Sites(ctx context.Context, project int64, kind splitpin.CredentialKind) ([]*splitpin.Credential, error) {
	return listedIn(ctx, s, credentials, credentialSites, project, string(kind))
}

// CountAt implements [splitpin.Store].
func (s *Postgres) CountAt(ctx context.Context, project int64, kind splitpin.CredentialKind, site string) (int64, error) {
	if !splitpin.IsText(site) {
		return 0, nil
	}
	return s.number(ctx, credentialsAt, project, string(kind), site)
}

// Messages implements [splitpin.Store].
func (s *Postgres) Messages(ctx context.Context, f splitpin.MessageFilter, limit int) ([]*splitpin.Message, error) {
	if !splitpin.IsText(f.To) {
		return nil, nil
	}
	return listedIn(ctx, s, messages, messagesNewer, f.Project, f.Attempt, f.To, asked(f.GivenUp), max(limit, 0))
}

// AuditEvents implements [splitpin.Store].
func (s *Postgres) AuditEvents(ctx context.Context, f splitpin.AuditFilter, limit int) ([]*splitpin.AuditEvent, error) {
	if !splitpin.IsText(f.Kind) {
		return nil, nil
	}
	return newestEvents(f, limit, func(q *query, args ...any) ([]*splitpin.AuditEvent, error) {
		return listedIn(ctx, s, auditEvents, q, args...)
	})
}

// Version implements [splitpin.Store].
func (s *Postgres) Version(ctx context.Context) (int64, error) {
	return s.number(ctx, counterGet, "version")
}

// number runs a statement that returns one integer.
func (s *Postgres) number(ctx context.Context, q *query, args ...any) (n int64, err error) {
	err = s.once(ctx, func(t *trip) {
		t.send(q, func(s *pgScanner) error { s.Int64(&n); return nil }, args...)
	})
	return n, err
}

// Mark implements [Database].
func (s *Postgres) Mark(ctx context.Context, name MarkName) (value string, err error) {
	err = s.once(ctx, func(t *trip) {
		t.send(markGet, func(s *pgScanner) error { s.Text(&value); return nil }, string(name))
	})
	if err != nil {
		return "", fmt.Errorf("reading the mark %s: %w", name, err)
	}
	return value, nil
}

// SetMark implements [Database].
func (s *Postgres) SetMark(ctx context.Context, name MarkName, value string) error {
	err := s.once(ctx, func(t *trip) {
		if value == "" {
			t.send(markDelete, nil, string(name))
			return
		}
		t.send(markSet, nil, string(name), value)
	})
	if err != nil {
		return fmt.Errorf("setting the mark %s: %w", name, err)
	}
	return nil
}

// Backlog implements [Database].
func (s *Postgres) Backlog(ctx context.Context) (b Backlog, err error) {
	err = s.atLength(ctx, func(t *trip) {
		t.send(messagesWaiting, func(s *pgScanner) error {
			s.Int(&b.Messages)
			s.Time(&b.OldestDue)
			s.Time(&b.Oldest)
			return nil
		}, backlogMax)
	})
	return b, err
}
