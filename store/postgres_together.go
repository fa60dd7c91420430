package store

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/splitpin/splitpin"
)

// Most steps begin at one attempt, grant or session, or only look and create. Those of
// them that wait at the same time share a transaction, so that its round trips, its
// statements and its wait for the disk are paid for once: a group locks and loads for
// all, lets each decide, and writes for all.
//
// A group waits for no row: it passes by what somebody else has locked. It waits only
// where another node is about to create the same, and all create in one order. So no two
// groups wait for each other. A step that misses a record for that reason, or whose
// record went to a neighbour, leaves the group and runs alone, as [Postgres.step] does
// it. So does everybody whose writes did not come about, whoever's fault it was, unless
// the server could not or did not answer.

func (s *Postgres) newSteps() *queue[*stepCall] {
	return &queue[*stepCall]{line: line[*stepCall]{wait: acquireTime}, lanes: 4, patience: 50 * time.Millisecond, group: 64,
		work: func(calls []*stepCall) { s.newGroup(calls).run() }}
}

// A stepCall is one call of Change on its way through the queue.
type stepCall struct {
	call
	reads  splitpin.Reads
	decide func(*splitpin.Records) (splitpin.Writes, error)

	records  splitpin.Records
	found    bool // what it begins at, and what hangs on that, is in records
	resolved bool // err is what came of it; otherwise it must run alone
	err      error
}

func (c *stepCall) resolve(err error) { c.resolved, c.err = true, err }

// gathers reports whether a step may run in a group.
func gathers(r splitpin.Reads) bool {
	if r.Project != "" || r.User != 0 || r.UserID != (splitpin.UserKey{}) || r.Credential != (splitpin.CredentialKey{}) ||
		r.Sessions || r.Credentials || r.Settings || len(r.Messages) > 0 || r.Attempt != 0 && r.Name.Identifier != "" {
		return false
	}
	if r.Unlocked {
		return r.Attempt == 0 && r.Grant == 0 && r.Session == 0 && r.Name.Identifier != ""
	}
	return r.Attempt != 0 || r.Grant != 0 || r.Session != 0
}

// A stepGroup is the steps that share a transaction.
type stepGroup struct {
	store   *Postgres
	calls   []*stepCall
	given   map[recordKey]bool // what went to one of them, and what one of them creates
	batch   batch
	writers []*stepCall // whose writes are in it
	durable bool        // those of one of them are
	spoilt  error       // why the batch holds a part only of what somebody writes
}

func (s *Postgres) newGroup(calls []*stepCall) *stepGroup {
	return &stepGroup{store: s, calls: calls, given: map[recordKey]bool{}}
}

// run runs the group once. Who is not resolved then must run alone.
func (g *stepGroup) run() {
	began := time.Now()
	why, err := g.store.conclude(context.Background(), g.transact(began))
	switch {
	case err == nil, errors.Is(err, splitpin.ErrUncertain):
		resolve(g.writers, err)
	case why == lost, why == elsewhere:
		g.store.pool.Reset() // as for a step alone
		fallthrough
	default:
		g.failed(why, err, time.Since(began))
	}
}

// transact is step for a group.
func (g *stepGroup) transact(began time.Time) outcome {
	s, ctx := g.store, context.Background()
	resource, err := s.pooled(ctx)
	if err != nil {
		return ended(unable, err)
	}
	defer s.release(resource) // also where a closure ends this goroutine
	link := resource.Value()

	t := link.trip(ctx, stepTime)
	id := s.begin(t)
	g.load(t)
	if why, err := s.ended(ctx, t); err != nil {
		return ended(why, err)
	}
	held := int32(len(g.calls))
	s.held.Add(held)
	defer func() { s.held.Add(-held) }() // also where a closure ends this goroutine
	for _, c := range g.calls {
		if c.found {
			s.held.Add(-1)
			held--
			g.decide(c)
		}
	}
	switch {
	case g.spoilt != nil:
		return ended(broken, g.spoilt)
	case len(g.writers) == 0:
		return ended(done, nil) // release rolls back
	}
	t = link.trip(ctx, stepTime+time.Duration(len(g.writers))*10*time.Millisecond)
	if !g.durable {
		t.send(pgNotDurable, nil)
	}
	if g.batch.send(t); t.err != nil { // a value that is none; nothing was sent
		return ended(broken, t.err)
	}
	return s.finish(t, *id, len(g.writers), began)
}

func resolve(calls []*stepCall, err error) {
	for _, c := range calls {
		c.resolve(err)
	}
}

// failed is what becomes of a group of which nothing was kept. A server that could not,
// or did not answer, is not asked once more by each of them; but one of them may have
// waited in vain for another node, which is no reason for the others.
func (g *stepGroup) failed(why fate, err error, took time.Duration) {
	var answer *pgconn.PgError
	waited := errors.As(err, &answer) && answer.Code == "55P03"
	if why == unable && !waited || took >= stepTime {
		if !errors.Is(err, splitpin.ErrUnavailable) {
			err = unavailable(err)
		}
		for _, c := range g.calls {
			if !c.resolved {
				c.resolve(err)
			}
		}
		return
	}
	g.store.conflicts.Add(1)
}

// decide lets a step decide, which resolves it unless there is something to save.
func (g *stepGroup) decide(c *stepCall) {
	// A panic comes again where the step runs alone, before its own caller.
	defer func() { recover() }()
	there := keysOf(&c.records, c.reads)
	w, err := c.decide(&c.records)
	switch {
	case err != nil || len(w.Delete)+len(w.Create)+len(w.Put) == 0:
		c.resolve(err)
	case g.admit(w, there):
		g.writers = append(g.writers, c)
		g.durable = g.durable || !w.Loose
	}
}

// admit adds writes to those of the group, all or none. It refuses what is rare, and
// what a neighbour creates too.
func (g *stepGroup) admit(w splitpin.Writes, there keys) bool {
	if len(w.Delete) > 0 {
		return false
	}
	for _, record := range w.Create {
		switch record.(type) {
		case *splitpin.Project, *splitpin.DataKey, *splitpin.SigningKey:
			return false
		}
		for _, key := range uniques(record) {
			if g.given[key] {
				return false
			}
		}
	}
	if there.checkAll(w.Put) != nil {
		return false
	}
	if g.spoilt = cmp.Or(g.spoilt, g.batch.addAll(w)); g.spoilt != nil {
		return true // all run alone
	}
	for _, record := range w.Create {
		for _, key := range uniques(record) {
			g.given[key] = true
		}
	}
	return true
}

// uniques is what no two records may have, besides numbers and random ids.
func uniques(record splitpin.Record) []recordKey {
	switch r := record.(type) {
	case *splitpin.User:
		list := []recordKey{{kind: 'n', number: r.Project, text: r.Identifier}}
		if r.ClientUserID != "" {
			list = append(list, recordKey{kind: 'c', number: r.Project, text: r.ClientUserID})
		}
		return list
	case *splitpin.Guesses:
		return []recordKey{{kind: 'w', number: r.Key}}
	case *splitpin.Credential:
		return []recordKey{{kind: 'y', number: r.Project, text: string(r.Kind) + " " + string(r.Key[:])}}
	}
	return nil
}

// What a group loads and locks. A row comes whole, or not where any part of it is
// locked by somebody else.
var (
	togetherSessions = newQuery(`SELECT %s, %s FROM sessions JOIN users ON users.number = sessions.of_user
		WHERE sessions.number = ANY($1) FOR NO KEY UPDATE SKIP LOCKED`, sessions.listOf("sessions"), users.listOf("users"))
	togetherGrants = newQuery(`SELECT %s, %s, %s FROM grants
		JOIN attempts ON attempts.number = grants.attempt JOIN users ON users.number = grants.for_user
		WHERE grants.number = ANY($1) FOR NO KEY UPDATE SKIP LOCKED`,
		grants.listOf("grants"), attempts.listOf("attempts"), users.listOf("users"))
	togetherAttempts = newQuery(`SELECT %s, %s FROM attempts
		JOIN users ON users.project = attempts.project AND users.identifier = attempts.identifier
		WHERE attempts.number = ANY($1) AND attempts.identifier <> '' FOR NO KEY UPDATE SKIP LOCKED`,
		attempts.listOf("attempts"), users.listOf("users"))
	togetherNewcomers = newQuery("SELECT %s FROM attempts WHERE number = ANY($1) AND NOT %s FOR NO KEY UPDATE SKIP LOCKED",
		attempts.list, attemptUser)
	// What is absent is looked for once more when the attempt is locked: the condition of
	// a row that somebody has just let go of was not held against what they left.
	togetherLooks = newQuery(`SELECT number, %s,
		EXISTS (SELECT FROM guesses WHERE key = guesses_key(attempts.project, attempts.identifier)) AND attempts.identifier <> ''
		FROM attempts WHERE number = ANY($1)`, attemptUser)

	togetherNames = newQuery(`SELECT place, %s, %s FROM unnest($1, $2, $3, $4) AS asked (place, of_project, name, guesses_key)
		LEFT JOIN users ON project = of_project AND identifier = name LEFT JOIN guesses ON key = guesses_key`,
		users.listOf("users"), guesses.listOf("guesses"))
)

const attemptUser = `EXISTS (SELECT FROM users
	WHERE users.project = attempts.project AND users.identifier = attempts.identifier AND attempts.identifier <> '')`

// load adds the statements that load for the whole group.
func (g *stepGroup) load(t *trip) {
	calls := make(map[recordKey]*stepCall, len(g.calls))
	var ofAttempts, ofGrants, ofSessions, places, projects, keys []int64
	var identifiers []string
	ask := func(kind byte, number int64, c *stepCall, numbers *[]int64) {
		calls[recordKey{kind: kind, number: number}] = c // the last of several with the same; the others run alone
		*numbers = append(*numbers, number)
	}
	for i, c := range g.calls {
		switch r := c.reads; {
		case r.Attempt != 0:
			ask('a', r.Attempt, c, &ofAttempts)
		case r.Grant != 0:
			ask('g', r.Grant, c, &ofGrants)
		case r.Session != 0:
			ask('s', r.Session, c, &ofSessions)
		default:
			places, projects, identifiers = append(places, int64(i)), append(projects, r.Name.Project), append(identifiers, r.Name.Identifier)
			keys = append(keys, splitpin.GuessesKey(r.Name.Project, r.Name.Identifier))
		}
	}
	if len(ofGrants) > 0 {
		t.send(togetherGrants, func(s *pgScanner) error {
			r := splitpin.Records{Grant: new(splitpin.Grant), Attempt: new(splitpin.Attempt), User: new(splitpin.User)}
			grantColumns(r.Grant, s)
			attemptColumns(r.Attempt, s)
			userColumns(r.User, s)
			g.give(calls[recordKey{kind: 'g', number: r.Grant.Number}], r)
			return nil
		}, ofGrants)
	}
	if len(ofSessions) > 0 {
		t.send(togetherSessions, func(s *pgScanner) error {
			r := splitpin.Records{Session: new(splitpin.Session), User: new(splitpin.User)}
			sessionColumns(r.Session, s)
			userColumns(r.User, s)
			g.give(calls[recordKey{kind: 's', number: r.Session.Number}], r)
			return nil
		}, ofSessions)
	}
	if len(ofAttempts) > 0 {
		found := func(a *splitpin.Attempt, u *splitpin.User) {
			g.give(calls[recordKey{kind: 'a', number: a.ID.Number}], splitpin.Records{Attempt: a, User: u})
		}
		t.send(togetherAttempts, func(s *pgScanner) error {
			a, u := new(splitpin.Attempt), new(splitpin.User)
			attemptColumns(a, s)
			userColumns(u, s)
			found(a, u)
			return nil
		}, ofAttempts)
		sendFor(t, attempts, togetherNewcomers, func(a *splitpin.Attempt) { found(a, nil) }, ofAttempts)
		t.send(togetherLooks, func(s *pgScanner) error {
			var user, guessed bool
			c := calls[recordKey{kind: 'a', number: s.int64()}]
			s.Bool(&user)
			s.Bool(&guessed)
			// Whoever was guessed at lately runs alone: such steps are few.
			c.found = c.found && !guessed && user == (c.records.User != nil)
			return nil
		}, ofAttempts)
	}
	if len(places) > 0 {
		t.send(togetherNames, func(s *pgScanner) error {
			c, u, w := g.calls[s.int64()], new(splitpin.User), new(splitpin.Guesses)
			c.found = true
			if userColumns(u, s); u.Number != 0 {
				c.records.User = u
			}
			if guessesColumns(w, s); w.Day != 0 {
				c.records.Guesses = w
			}
			return nil
		}, places, projects, identifiers, keys)
	}
}

// give gives a step what it asked for, unless a neighbour has a part of it.
func (g *stepGroup) give(c *stepCall, r splitpin.Records) {
	all := keysOf(&r, c.reads)
	for _, key := range all {
		if g.given[key] {
			return
		}
	}
	for _, key := range all {
		g.given[key] = true
	}
	c.records, c.found = r, true
}
