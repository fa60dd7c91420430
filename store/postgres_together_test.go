package store

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/store/storetest"
)

// A crowd is a store with people in it, of whom each has an open attempt, a grant and
// a session: for the person n, the attempt and the grant n+100 and the session n+200.
type crowd struct {
	*Postgres
	t       *testing.T
	users   []*splitpin.User
	commits []Commit
}

func newCrowd(t *testing.T, database string, o PostgresOptions) *crowd {
	t.Helper()
	c := &crowd{t: t}
	o.Unsafe, o.Committed = true, func(one Commit) { c.commits = append(c.commits, one) }
	c.Postgres = openPostgres(t, database, o)
	for n := range int64(4) {
		u := storetest.User(n+1, 1)
		a := storetest.Attempt(n+101, u)
		c.save(u, a, storetest.Grant(n+101, a, u), storetest.LiveSession(n+201, u))
		c.users = append(c.users, u)
	}
	c.save(storetest.Attempt(150, storetest.User(50, 1))) // of somebody who is not there yet
	c.commits = nil
	return c
}

func (c *crowd) save(records ...splitpin.Record) {
	c.t.Helper()
	err := c.Change(c.t.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
		return splitpin.Writes{Create: records}, nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// refreshed is a step that moves a session on.
func refreshed(session int64) *stepCall {
	return &stepCall{call: newCall(), reads: splitpin.Reads{Session: session}, decide: func(r *splitpin.Records) (splitpin.Writes, error) {
		r.Session.Counter++
		return splitpin.Writes{Put: []splitpin.Record{r.Session}}, nil
	}}
}

// answered is a step that charges a try, and creates the user where there is none.
func answered(attempt int64, newcomer *splitpin.User) *stepCall {
	return &stepCall{call: newCall(), reads: splitpin.Reads{Attempt: attempt}, decide: func(r *splitpin.Records) (w splitpin.Writes, err error) {
		r.Attempt.Tries++
		w.Put = append(w.Put, r.Attempt)
		if r.User == nil {
			w.Create = append(w.Create, newcomer)
		}
		return w, nil
	}}
}

// together runs steps as one group, and returns which of them are to run alone.
func (c *crowd) together(steps ...*stepCall) (alone []int) {
	c.t.Helper()
	g := c.newGroup(steps)
	g.run()
	for i, s := range steps {
		if !s.resolved {
			alone = append(alone, i)
		} else if s.err != nil {
			c.t.Errorf("step %d: %v", i, s.err)
		}
	}
	return alone
}

func (c *crowd) counter(session int64) uint32 {
	c.t.Helper()
	r, err := c.Load(c.t.Context(), splitpin.Reads{Session: session})
	if err != nil {
		c.t.Fatal(err)
	}
	return r.Session.Counter
}

func (c *crowd) tries(attempt int64) int {
	c.t.Helper()
	r, err := c.Load(c.t.Context(), splitpin.Reads{Attempt: attempt})
	if err != nil {
		c.t.Fatal(err)
	}
	return r.Attempt.Tries
}

func TestTogether(t *testing.T) {
	c := newCrowd(t, prepared(t), PostgresOptions{})
	before, tries := c.counter(201), c.tries(102)
	name := splitpin.Name{Project: 1, Identifier: c.users[3].Identifier}
	newcomer := storetest.User(50, 1)
	started := &stepCall{call: newCall(), reads: splitpin.Reads{Name: name, Unlocked: true}, decide: func(r *splitpin.Records) (splitpin.Writes, error) {
		if r.User == nil || r.User.Number != 4 || r.Guesses != nil {
			t.Errorf("by name were loaded %v and %v, want user 4 and no guesses", r.User, r.Guesses)
		}
		return splitpin.Writes{Create: []splitpin.Record{storetest.Attempt(300, c.users[3])}}, nil
	}}
	collected := &stepCall{call: newCall(), reads: splitpin.Reads{Grant: 103}, decide: func(r *splitpin.Records) (splitpin.Writes, error) {
		if r.Grant.Number != 103 || r.Attempt.ID.Number != 103 || r.User.Number != 3 {
			t.Errorf("by grant were loaded %v, %v and %v", r.Grant, r.Attempt, r.User)
		}
		r.Grant.Session = 777
		return splitpin.Writes{Put: []splitpin.Record{r.Grant}}, nil
	}}
	refusal := errors.New("not like that")
	refused := &stepCall{call: newCall(), reads: splitpin.Reads{Session: 204}, decide: func(*splitpin.Records) (splitpin.Writes, error) {
		return splitpin.Writes{}, refusal
	}}
	g := c.newGroup([]*stepCall{refreshed(201), answered(102, nil), collected, started, answered(150, newcomer), refused})
	g.run()
	for i, s := range g.calls {
		if want := map[bool]error{s == refused: refusal}[true]; !s.resolved || s.err != want {
			t.Errorf("step %d: resolved %v with %v, want %v", i, s.resolved, s.err, want)
		}
	}
	if len(c.commits) != 1 || c.commits[0].Steps != 5 || c.commits[0].Failed {
		t.Errorf("commits %+v, want one of 5 steps", c.commits)
	}
	if got := c.counter(201); got != before+1 {
		t.Errorf("the session was moved on to %d, want %d", got, before+1)
	}
	if got := c.tries(102); got != tries+1 {
		t.Errorf("%d tries were charged, want %d", got, tries+1)
	}
	for _, reads := range []splitpin.Reads{{Attempt: 300}, {Attempt: 150}, {Grant: 103}} {
		r, err := c.Load(t.Context(), reads)
		if err != nil || r.Attempt == nil || r.User == nil || r.Grant != nil && r.Grant.Session != 777 {
			t.Errorf("of %+v there is %+v, error %v", reads, r, err)
		}
	}
}

// TestTogetherWaitsForNobody: what somebody else has locked keeps back the step that
// wants it, and no neighbour.
func TestTogetherWaitsForNobody(t *testing.T) {
	database := prepared(t)
	c := newCrowd(t, database, PostgresOptions{})
	other, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.Background())
	collected := func(grant int64) *stepCall {
		return &stepCall{call: newCall(), reads: splitpin.Reads{Grant: grant}, decide: func(r *splitpin.Records) (splitpin.Writes, error) {
			return splitpin.Writes{Put: []splitpin.Record{r.Grant}}, nil
		}}
	}
	for row, want := range map[string][]int{
		"sessions WHERE number = 201": {0},
		"users WHERE number = 2":      {1},
		"attempts WHERE number = 102": {1},
		"users WHERE number = 3":      {2},
		"attempts WHERE number = 103": {2},
		"grants WHERE number = 103":   {2},
		"attempts WHERE number = 150": {3},
		"users WHERE number = 1":      {0},
	} {
		tx, err := other.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "SELECT FROM "+row+" FOR UPDATE"); err != nil {
			t.Fatal(err)
		}
		charged := answered(150, nil)
		charged.decide = func(r *splitpin.Records) (splitpin.Writes, error) {
			r.Attempt.Tries++
			return splitpin.Writes{Put: []splitpin.Record{r.Attempt}}, nil
		}
		if alone := c.together(refreshed(201), answered(102, nil), collected(103), charged, refreshed(204)); !slices.Equal(alone, want) {
			t.Errorf("%s is locked: steps %v ran alone, want %v", row, alone, want)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTogetherOneEach: nothing goes to two steps of a group, or one would overwrite
// what the other saved.
func TestTogetherOneEach(t *testing.T) {
	c := newCrowd(t, prepared(t), PostgresOptions{})
	c.save(storetest.LiveSession(301, c.users[0]), storetest.Attempt(151, storetest.User(50, 1)))
	collected := &stepCall{call: newCall(), reads: splitpin.Reads{Grant: 102}, decide: func(r *splitpin.Records) (splitpin.Writes, error) {
		r.Attempt.Tries++
		return splitpin.Writes{Put: []splitpin.Record{r.Attempt}}, nil
	}}
	tests := []struct {
		name  string
		steps []*stepCall
	}{
		{"the same session", []*stepCall{refreshed(201), refreshed(201)}},
		{"the same attempt", []*stepCall{answered(101, nil), answered(101, nil)}},
		{"two sessions of a user", []*stepCall{refreshed(201), refreshed(301)}},
		{"an attempt and a session of a user", []*stepCall{answered(101, nil), refreshed(201)}},
		{"an attempt and its grant", []*stepCall{answered(102, nil), collected}},
		{"the same new user", []*stepCall{answered(150, storetest.User(50, 1)), answered(151, storetest.User(50, 1))}},
	}
	for _, test := range tests {
		if alone := c.together(test.steps...); len(alone) != 1 {
			t.Errorf("%s: steps %v run alone, want one of two", test.name, alone)
		}
	}
	// What was guessed at is not asked for by a group at all.
	c.save(storetest.Guesses(c.users[2]))
	if alone := c.together(answered(103, nil), refreshed(204)); !slices.Equal(alone, []int{0}) {
		t.Errorf("with guesses: steps %v run alone, want the first", alone)
	}
}

// TestTogetherFails: what one step does wrong harms no neighbour, and nothing of a
// group that failed is kept.
func TestTogetherFails(t *testing.T) {
	c := newCrowd(t, prepared(t), PostgresOptions{})
	c.save(storetest.AuditEvent(400, c.users[0]))
	wrong := func(w splitpin.Writes) *stepCall {
		return &stepCall{call: newCall(), reads: splitpin.Reads{Session: 202}, decide: func(*splitpin.Records) (splitpin.Writes, error) { return w, nil }}
	}
	creates := func(r splitpin.Record) splitpin.Writes { return splitpin.Writes{Create: []splitpin.Record{r}} }
	bad := storetest.AuditEvent(401, c.users[0])
	bad.Detail = "no\x00text"
	tests := []struct {
		name  string
		step  *stepCall
		alone []int
		err   error // where it runs alone
	}{
		{"creates what is there", wrong(creates(storetest.AuditEvent(400, c.users[0]))), []int{0, 1}, splitpin.ErrConflict},
		{"creates nothing", wrong(creates((*splitpin.Session)(nil))), []int{0, 1}, nil},
		{"saves what is no text", wrong(creates(bad)), []int{0, 1}, splitpin.ErrText},
		{"puts what it did not load", wrong(splitpin.Writes{Put: []splitpin.Record{storetest.LiveSession(201, c.users[0])}}), []int{1}, nil},
		{"changes the settings", wrong(creates(storetest.DataKey("test", 1))), []int{1}, nil},
		{"deletes", wrong(splitpin.Writes{Delete: []splitpin.Record{storetest.AuditEvent(400, c.users[0])}}), []int{1}, nil},
	}
	for _, test := range tests {
		before := c.counter(201)
		c.commits = nil
		alone := c.together(refreshed(201), test.step)
		if !slices.Equal(alone, test.alone) {
			t.Errorf("%s: steps %v run alone, want %v", test.name, alone, test.alone)
		}
		for _, commit := range c.commits {
			if commit.Failed {
				t.Errorf("%s: a commit is counted that was never sent", test.name)
			}
		}
		if got, want := c.counter(201), before+uint32(2-len(alone)); got != want {
			t.Errorf("%s: the neighbour's session is at %d, want %d", test.name, got, want)
		}
		if test.err != nil {
			if err := c.Change(t.Context(), test.step.reads, test.step.decide); !errors.Is(err, test.err) {
				t.Errorf("%s: alone it ends with %v, want %v", test.name, err, test.err)
			}
		}
	}
}

// TestTogetherUnwinds: a closure that panics or ends its goroutine does so before its
// own caller, and the next group is none the worse.
func TestTogetherUnwinds(t *testing.T) {
	c := newCrowd(t, prepared(t), PostgresOptions{})
	before := c.counter(201)
	for range 5 { // more often than there are lanes
		func() {
			defer func() {
				if got := recover(); got != "at the disco" {
					t.Errorf("the caller met %v, want the panic of its closure", got)
				}
			}()
			c.Change(t.Context(), splitpin.Reads{Session: 202}, func(*splitpin.Records) (splitpin.Writes, error) { panic("at the disco") })
		}()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			c.Change(context.Background(), splitpin.Reads{Session: 202}, func(*splitpin.Records) (splitpin.Writes, error) {
				runtime.Goexit()
				return splitpin.Writes{}, nil
			})
			t.Error("the caller went on, though its closure ended the goroutine")
		}()
		<-ended
		step := refreshed(201)
		if err := c.Change(t.Context(), step.reads, step.decide); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	}
	if got := c.counter(201); got != before+5 {
		t.Errorf("the session was moved on to %d, want %d", got, before+5)
	}
}

// TestTogetherLost: where the answer to a group's commit is lost, all its steps are
// told the truth.
func TestTogetherLost(t *testing.T) {
	database := prepared(t)
	cut, through := newCutter(t, database)
	c := newCrowd(t, through, PostgresOptions{Pooler: true})
	before := c.counter(201)
	cut.armed.Store(cutAfter)
	if alone := c.together(refreshed(201), refreshed(202)); len(alone) > 0 {
		t.Errorf("the answer was lost: steps %v run alone, want none", alone)
	}
	cut.armed.Store(cutBefore)
	if alone := c.together(refreshed(201), refreshed(202)); len(alone) != 2 {
		t.Errorf("the commit was lost: steps %v run alone, want both", alone)
	}
	if got := c.counter(201); got != before+1 {
		t.Errorf("the session was moved on to %d, want %d", got, before+1)
	}
	if want := []Commit{{Steps: 2}, {Steps: 2, Failed: true}}; len(c.commits) != 2 || c.commits[0].Failed || !c.commits[1].Failed {
		t.Errorf("commits %+v, want %+v", c.commits, want)
	}

	cut.armed.Store(cutAfter)
	crash := func() {
		admin, err := pgx.Connect(t.Context(), database)
		if err != nil {
			t.Fatal(err)
		}
		defer admin.Close(context.Background())
		if _, err := admin.Exec(t.Context(), "DELETE FROM incarnation"); err != nil { // as a crash does
			t.Error(err)
		}
	}
	cut.after.Store(&crash)
	steps := []*stepCall{refreshed(201), refreshed(202)}
	g := c.newGroup(steps)
	g.run()
	for i, s := range steps {
		if !s.resolved || !errors.Is(s.err, splitpin.ErrUncertain) {
			t.Errorf("the server crashed meanwhile: step %d ends with %v, want ErrUncertain", i, s.err)
		}
	}
}

// TestTogetherUnable: a server that cannot, or does not answer, is not asked once more
// by everybody in the group.
func TestTogetherUnable(t *testing.T) {
	for _, test := range []struct {
		why   fate
		err   error
		took  time.Duration
		alone bool
	}{
		{unable, &pgconn.PgError{Code: "53100"}, 0, false},
		{unable, &pgconn.PgError{Code: "55P03"}, lockTimeout, true}, // one of them waited in vain
		{lost, errors.New("no"), stepTime, false},
		{lost, errors.New("no"), 0, true},
		{taken, &pgconn.PgError{Code: "23505"}, 0, true},
	} {
		step := &stepCall{}
		g := new(Postgres).newGroup([]*stepCall{step})
		g.failed(test.why, test.err, test.took)
		if step.resolved == test.alone || step.resolved && !errors.Is(step.err, splitpin.ErrUnavailable) {
			t.Errorf("fate %d after %v: resolved %v with %v, want it alone: %v", test.why, test.took, step.resolved, step.err, test.alone)
		}
	}
}

// TestLookedUpTogether: whoever asks for the same session gets records of their own.
func TestLookedUpTogether(t *testing.T) {
	c := newCrowd(t, prepared(t), PostgresOptions{})
	c.save(storetest.LiveSession(888, storetest.User(77, 1))) // the user was erased
	calls := []*lookCall{{session: 201}, {session: 202}, {session: 999}, {session: 201}, {session: 888}}
	c.looks.work(calls)
	if r := calls[4].records; calls[4].err != nil || r.Session == nil || r.User != nil {
		t.Errorf("of a session without its user were found %+v, error %v", r, calls[4].err)
	}
	for i, want := range []int64{201, 202, 0, 201} {
		switch r := calls[i].records; {
		case calls[i].err != nil:
			t.Error(calls[i].err)
		case want == 0 && (r.Session != nil || r.User != nil),
			want != 0 && (r.Session == nil || r.Session.Number != want || r.User == nil || r.User.Number != want-200):
			t.Errorf("call %d found %+v, want session %d and its user", i, r, want)
		}
	}
	if calls[0].records.Session == calls[3].records.Session || calls[0].records.User == calls[3].records.User {
		t.Error("two calls share a record, which each may alter")
	}
}

// A numbered call is one of a queue's tests.
type numbered struct {
	call
	n int
}

func TestQueue(t *testing.T) {
	var groups [][]int
	held, release := make(chan struct{}), make(chan struct{})
	q := queue[*numbered]{lanes: 1, group: 3, work: func(calls []*numbered) {
		var group []int
		for _, c := range calls {
			group = append(group, c.n)
		}
		if groups = append(groups, group); len(groups) == 1 {
			close(held)
			<-release
		}
	}}
	q.start(4)
	var callers sync.WaitGroup
	do := func(ctx context.Context, n int) *numbered {
		c := &numbered{newCall(), n}
		callers.Go(func() {
			if err := q.do(ctx, c); err != nil && ctx.Err() == nil {
				t.Errorf("call %d: %v", n, err)
			}
		})
		for n > 0 && len(q.calls) < n {
			runtime.Gosched()
		}
		return c
	}
	do(t.Context(), 0)
	<-held
	ctx, leave := context.WithCancel(t.Context())
	do(t.Context(), 1)
	left := do(ctx, 2)
	do(t.Context(), 3)
	do(t.Context(), 4)
	if err := q.do(t.Context(), &numbered{newCall(), 5}); !errors.Is(err, splitpin.ErrUnavailable) || q.refused.Load() != 1 {
		t.Errorf("the full queue says %v and counts %d refusals, want ErrUnavailable and 1", err, q.refused.Load())
	}
	leave()
	for left.state.Load() != givenUp {
		runtime.Gosched()
	}
	if err := q.do(ctx, &numbered{newCall(), 6}); !errors.Is(err, splitpin.ErrUnavailable) {
		t.Errorf("who has left already is told %v, want ErrUnavailable", err)
	}
	close(release)
	q.stop()
	callers.Wait()
	var all []int
	for _, group := range groups {
		if len(group) > 3 {
			t.Errorf("a group of %v, want at most 3", group)
		}
		all = append(all, group...)
	}
	if !slices.Equal(all, []int{0, 1, 3, 4}) {
		t.Errorf("done were %v, want 0, 1, 3 and 4 in groups", groups)
	}
	if err := q.do(t.Context(), &numbered{newCall(), 7}); !errors.Is(err, splitpin.ErrUnavailable) {
		t.Errorf("the stopped queue says %v, want ErrUnavailable", err)
	}
}

// TestQueueGoesOn: a group that takes too long holds up no other, as long as there are
// lanes.
func TestQueueGoesOn(t *testing.T) {
	release, quick := make(chan struct{}), make(chan int, 1)
	q := queue[*numbered]{lanes: 2, group: 1, patience: time.Millisecond, work: func(calls []*numbered) {
		if calls[0].n == 0 {
			<-release
			return
		}
		quick <- calls[0].n
	}}
	q.start(10)
	var callers sync.WaitGroup
	callers.Go(func() { q.do(t.Context(), &numbered{newCall(), 0}) })
	for i := range 3 {
		if err := q.do(t.Context(), &numbered{newCall(), i + 1}); err != nil || <-quick != i+1 {
			t.Errorf("beside one that hangs: %v", err)
		}
	}
	close(release)
	callers.Wait()
	q.stop()
}

// TestQueuePatience: nobody waits for ever behind a group that hangs, but who has begun
// is told what came of it.
func TestQueuePatience(t *testing.T) {
	held, release := make(chan struct{}), make(chan struct{})
	q := queue[*numbered]{line: line[*numbered]{wait: time.Millisecond}, lanes: 1, group: 1, work: func([]*numbered) {
		close(held)
		<-release
	}}
	q.start(10)
	var callers sync.WaitGroup
	callers.Go(func() {
		if err := q.do(t.Context(), &numbered{newCall(), 0}); err != nil {
			t.Errorf("the call that was done: %v", err)
		}
	})
	<-held
	err := q.do(t.Context(), &numbered{newCall(), 1})
	if e := splitpin.ErrorOf(err); !errors.Is(err, splitpin.ErrUnavailable) || e.RetryAfter <= 0 || q.refused.Load() != 1 {
		t.Errorf("behind a group that hangs: %v after %d refusals, want ErrUnavailable with a time to wait", err, q.refused.Load())
	}
	close(release)
	q.stop()
	callers.Wait()
}
