package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"zombiezen.com/go/sqlite"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/store/postgrestest"
	"github.com/splitpin/splitpin/store/storetest"
)

func openPostgres(t testing.TB, database string, o PostgresOptions) *Postgres {
	t.Helper()
	s, err := OpenPostgres(t.Context(), database, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// prepared returns a database that has the tables.
func prepared(t testing.TB) string {
	t.Helper()
	return postgrestest.Prepared(t, func(database string) error {
		s, err := OpenPostgres(context.WithoutCancel(t.Context()), database, PostgresOptions{Unsafe: true})
		if err != nil {
			return err
		}
		return s.Close()
	})
}

func newEventIn(t testing.TB, s splitpin.Store) *splitpin.AuditEvent {
	t.Helper()
	n, err := s.NextNumber(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &splitpin.AuditEvent{Number: n, Kind: "test"}
}

func creating1(ctx context.Context, s splitpin.Store, r splitpin.Record) error {
	return s.Change(ctx, splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
		return splitpin.Writes{Create: []splitpin.Record{r}}, nil
	})
}

func events(t testing.TB, s splitpin.Store) map[int64]bool {
	t.Helper()
	list, err := s.AuditEvents(t.Context(), splitpin.AuditFilter{}, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	found := map[int64]bool{}
	for _, e := range list {
		found[e.Number] = true
	}
	return found
}

// A cutter passes bytes on between a store and its server, and cuts the connection on
// which the next COMMIT comes. The store must not prepare its statements, or their
// texts are not seen.
type cutter struct {
	server string
	armed  atomic.Int32           // nothing, or cut before the server hears of it, when it did, or when it answered
	after  atomic.Pointer[func()] // between the commit and the cut; nil: nothing
	asked  atomic.Int32           // how often somebody asked what became of a transaction
}

const (
	idle int32 = iota
	cutBefore
	cutUnanswered
	cutAfter
)

func newCutter(t *testing.T, database string) (*cutter, string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{server: u.Host}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go c.pass(conn)
		}
	}()
	u.Host = l.Addr().String()
	return c, u.String()
}

func (c *cutter) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", c.server)
	if err != nil {
		return
	}
	defer server.Close()
	var cutting atomic.Bool
	answered, cut := make(chan struct{}), make(chan struct{})
	go func() {
		defer client.Close()
		buffer := make([]byte, 64<<10)
		for {
			n, err := server.Read(buffer)
			if cutting.Load() {
				close(answered) // and dropped
				<-cut
				return
			}
			if err != nil {
				return
			}
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		if bytes.HasPrefix(buffer[:n], []byte{0, 0, 0, 16, 4, 210, 22, 46}) {
			return // a request to cancel is lost too
		}
		if bytes.Contains(buffer[:n], []byte("pg_xact_status")) {
			c.asked.Add(1)
		}
		if bytes.Contains(buffer[:n], []byte("COMMIT\x00")) {
			switch mode := c.armed.Swap(idle); mode {
			case cutBefore:
				return
			case cutUnanswered, cutAfter:
				cutting.Store(true)
				server.Write(buffer[:n])
				if mode == cutUnanswered {
					client.Close()
				}
				<-answered
				if after := c.after.Load(); after != nil {
					(*after)()
				}
				close(cut)
				return
			}
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// TestLostAnswers: whatever is lost of a commit, the caller is told the truth.
func TestLostAnswers(t *testing.T) {
	database := prepared(t)
	c, through := newCutter(t, database)
	var failed []bool // of the commits that whoever watches was told of
	s := openPostgres(t, through, PostgresOptions{Unsafe: true, Pooler: true, Committed: func(c Commit) { failed = append(failed, c.Failed) }})
	direct := openPostgres(t, database, PostgresOptions{Unsafe: true})
	admin, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.Background())
	change := func(mode int32) (*splitpin.AuditEvent, int, error) {
		e, runs := newEventIn(t, s), 0
		failed = nil
		c.armed.Store(mode)
		err := s.Change(t.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
			runs++
			return splitpin.Writes{Create: []splitpin.Record{e}}, nil
		})
		return e, runs, err
	}

	e, runs, err := change(cutAfter)
	if err != nil || runs != 1 || !events(t, direct)[e.Number] {
		t.Errorf("the answer was lost: error %v after %d runs, saved %v; want none after 1, saved", err, runs, events(t, direct)[e.Number])
	}
	if want := []bool{false}; !slices.Equal(failed, want) {
		t.Errorf("the answer was lost, and the commit was there: commits that failed %v, want %v", failed, want)
	}
	e, runs, err = change(cutBefore)
	if err != nil || runs != 2 || !events(t, direct)[e.Number] {
		t.Errorf("the commit was lost: error %v after %d runs, saved %v; want none after 2, saved", err, runs, events(t, direct)[e.Number])
	}
	if want := []bool{true, false}; !slices.Equal(failed, want) {
		t.Errorf("the commit was lost: commits that failed %v, want %v", failed, want)
	}

	// The server crashed meanwhile: its ids may have been told twice.
	deleted := make(chan error, 1)
	after := func() {
		_, err := admin.Exec(context.Background(), "DELETE FROM incarnation")
		deleted <- err
	}
	c.after.Store(&after)
	_, runs, err = change(cutAfter)
	if err := <-deleted; err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, splitpin.ErrUncertain) || errors.Is(err, splitpin.ErrUnavailable) || runs != 1 {
		t.Errorf("the answer was lost in a crash: error %v after %d runs, want ErrUncertain after 1", err, runs)
	}
	if want := []bool{true}; !slices.Equal(failed, want) {
		t.Errorf("nobody can tell: commits that failed %v, want %v", failed, want)
	}
}

// TestPostgresLoose: a step waits for the disk, unless it says that it need not.
func TestPostgresLoose(t *testing.T) {
	server := postgrestest.New(t, postgrestest.Options{})
	url := server.Database(t)
	s := openPostgres(t, url, PostgresOptions{Unsafe: true})
	admin, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.Background())
	if _, err := admin.Exec(t.Context(), `CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN NEW.detail := current_setting(''synchronous_commit''); RETURN NEW; END';
		CREATE TRIGGER tell BEFORE INSERT ON audit_events FOR EACH ROW EXECUTE FUNCTION tell()`); err != nil {
		t.Fatal(err)
	}
	told := func(e *splitpin.AuditEvent) (detail string) {
		t.Helper()
		if err := admin.QueryRow(t.Context(), "SELECT detail FROM audit_events WHERE number = $1", e.Number).Scan(&detail); err != nil {
			t.Fatal(err)
		}
		return detail
	}
	for _, step := range []struct {
		loose bool
		want  string
	}{{false, "on"}, {true, "off"}, {false, "on"}} {
		e := newEventIn(t, s)
		err := s.Change(t.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
			return splitpin.Writes{Create: []splitpin.Record{e}, Loose: step.loose}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := told(e); got != step.want {
			t.Errorf("loose %v: synchronous_commit was %q, want %q", step.loose, got, step.want)
		}
	}
	// In a group, one that must be durable decides for all.
	for _, test := range []struct {
		loose []bool
		want  string
	}{{[]bool{true, true}, "off"}, {[]bool{true, false}, "on"}, {[]bool{false, true}, "on"}} {
		var calls []*stepCall
		e := newEventIn(t, s)
		for i, loose := range test.loose {
			w := splitpin.Writes{Create: []splitpin.Record{e}, Loose: loose}
			if i > 0 {
				w.Create = []splitpin.Record{newEventIn(t, s)}
			}
			calls = append(calls, &stepCall{reads: splitpin.Reads{Name: splitpin.Name{Project: 1, Identifier: fmt.Sprint(i)}, Unlocked: true},
				decide: func(*splitpin.Records) (splitpin.Writes, error) { return w, nil }})
		}
		g := s.newGroup(calls)
		if g.run(); calls[0].err != nil || !calls[0].resolved {
			t.Fatalf("the group ended with %v", calls[0].err)
		}
		if got := told(e); got != test.want {
			t.Errorf("a group of loose %v: synchronous_commit was %q, want %q", test.loose, got, test.want)
		}
	}
}

// TestPostgresRestarts: connections that a restart or a crash killed are replaced at
// once, and what was acknowledged is there.
func TestPostgresRestarts(t *testing.T) {
	server := postgrestest.New(t, postgrestest.Options{Durable: true})
	s := openPostgres(t, server.Database(t), PostgresOptions{})
	for _, how := range []struct {
		name string
		do   func() error
	}{
		{"restarted", server.Restart},
		{"killed", func() error { return errors.Join(server.Kill(), server.Run()) }},
	} {
		var saved []int64
		var wg sync.WaitGroup
		var mu sync.Mutex
		for range 8 { // so that several connections are open
			e := newEventIn(t, s)
			wg.Go(func() {
				if err := creating1(t.Context(), s, e); err != nil {
					t.Error(err)
				}
				mu.Lock()
				saved = append(saved, e.Number)
				mu.Unlock()
			})
		}
		wg.Wait()
		if err := how.do(); err != nil {
			t.Fatal(err)
		}
		if err := creating1(t.Context(), s, newEventIn(t, s)); err != nil {
			t.Errorf("%s: the first step after it: %v", how.name, err)
		}
		found := events(t, s)
		for _, n := range saved {
			if !found[n] {
				t.Errorf("%s: an event that was acknowledged is gone", how.name)
			}
		}
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := creating1(t.Context(), s, &splitpin.AuditEvent{Number: 1 << 50}); !errors.Is(err, splitpin.ErrUnavailable) {
		t.Errorf("without a server: error %v, want ErrUnavailable", err)
	}
	if _, _, err := s.Take(t.Context(), time.Now(), splitpin.Charge{Key: 1, Burst: 1, Period: time.Hour, Cost: 1}); !errors.Is(err, splitpin.ErrUnavailable) {
		t.Errorf("without a server: error %v, want ErrUnavailable", err)
	}
	if err := server.Run(); err != nil {
		t.Fatal(err)
	}
	if err := creating1(t.Context(), s, newEventIn(t, s)); err != nil {
		t.Errorf("service does not return: %v", err)
	}
}

// TestTakeOnTwoNodes: a limit is exact over all nodes, also one that has no row yet.
func TestTakeOnTwoNodes(t *testing.T) {
	database := prepared(t)
	nodes := []*Postgres{openPostgres(t, database, PostgresOptions{Unsafe: true}), openPostgres(t, database, PostgresOptions{Unsafe: true})}
	now := time.Now()
	const fresh = 300
	var admitted, hot atomic.Int64
	var wg sync.WaitGroup
	for i := range 16 {
		s := nodes[i%2]
		wg.Go(func() {
			for key := range int64(fresh) {
				for _, c := range []struct {
					splitpin.Charge
					count *atomic.Int64
				}{
					{splitpin.Charge{Key: 1000 + key, Burst: 1, Period: time.Hour, Cost: 1}, &admitted},
					{splitpin.Charge{Key: 1, Burst: 777, Period: 1000 * time.Hour, Cost: 1}, &hot},
				} {
					refused, _, err := s.Take(t.Context(), now, c.Charge)
					if err != nil {
						t.Error(err)
						return
					}
					if refused == -1 {
						c.count.Add(1)
					}
				}
			}
		})
	}
	wg.Wait()
	if admitted.Load() != fresh || hot.Load() != 777 {
		t.Errorf("%d of %d were admitted that admit one each, and %d of 777", admitted.Load(), fresh, hot.Load())
	}
}

// TestTakeGathers: what waits while a transaction is under way shares the next.
func TestTakeGathers(t *testing.T) {
	database := prepared(t)
	s := openPostgres(t, database, PostgresOptions{Unsafe: true})
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	c := splitpin.Charge{Key: 1, Burst: 1000, Period: time.Hour, Cost: 1}
	if _, _, err := s.Take(t.Context(), time.Now(), c); err != nil {
		t.Fatal(err)
	}
	var before int64
	if err := conn.QueryRow(t.Context(), "SELECT xmin::text::bigint FROM limits WHERE key = 1").Scan(&before); err != nil {
		t.Fatal(err)
	}
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT * FROM limits FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	const callers = 100
	var wg sync.WaitGroup
	take := func() {
		if refused, _, err := s.Take(t.Context(), time.Now(), c); refused != -1 || err != nil {
			t.Errorf("refused %d, error %v", refused, err)
		}
	}
	wg.Go(take)
	for waits := false; !waits; { // for the row
		if err := tx.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)").Scan(&waits); err != nil {
			t.Fatal(err)
		}
	}
	for range callers - 1 { // they wait for the first
		wg.Go(take)
	}
	for s.Stats().Taking < callers-1 {
		runtime.Gosched()
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	var after int64
	if err := conn.QueryRow(t.Context(), "SELECT xmin::text::bigint FROM limits WHERE key = 1").Scan(&after); err != nil {
		t.Fatal(err)
	}
	// Every transaction that writes takes a number: the one that waited, the one that
	// the others shared, and those of this test and of the autovacuum.
	if spent := after - before; spent < 1 || spent > 10 {
		t.Errorf("%d callers took %d transactions", callers, spent)
	}
}

// TestClaimAndSweepPassBy: a row that a step has locked holds up neither the outbox
// nor the sweep.
func TestClaimAndSweepPassBy(t *testing.T) {
	s := openPostgres(t, prepared(t), PostgresOptions{Unsafe: true})
	now := time.Now().UTC().Truncate(time.Microsecond)
	held, free := newEventIn(t, s).Number, newEventIn(t, s).Number
	for _, n := range []int64{held, free} {
		if err := creating1(t.Context(), s, &splitpin.Message{Number: n, DueAt: now, ExpiresAt: now}); err != nil {
			t.Fatal(err)
		}
	}
	// Nor does it take a session from a step that loaded all of its user: their own lock
	// is what keeps it away, as it does not ask for that of the user.
	u := &splitpin.User{Number: newEventIn(t, s).Number, Identifier: "a@example.com"}
	idle := &splitpin.Session{Number: newEventIn(t, s).Number, User: u.Number, IdleUntil: now, ExpiresAt: now}
	if err := errors.Join(creating1(t.Context(), s, u), creating1(t.Context(), s, idle)); err != nil {
		t.Fatal(err)
	}
	err := s.Change(t.Context(), splitpin.Reads{User: u.Number, Sessions: true, Messages: []int64{held}}, func(*splitpin.Records) (splitpin.Writes, error) {
		claimed, err := s.ClaimMessages(t.Context(), now, now.Add(time.Minute), 10)
		if err != nil || len(claimed) != 1 || claimed[0].Message.Number != free {
			t.Errorf("%d messages were claimed, error %v; want the one that is free", len(claimed), err)
		}
		swept, err := s.Sweep(t.Context(), now.Add(2*time.Hour), time.Time{}, 10)
		if err != nil || swept != 1 {
			t.Errorf("%d messages were swept, error %v; want the one that is free", swept, err)
		}
		return splitpin.Writes{}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestUnloadedPut: an UPDATE of a row that is not locked by the step is refused before
// it is sent.
func TestUnloadedPut(t *testing.T) {
	s := openPostgres(t, prepared(t), PostgresOptions{Unsafe: true})
	u := &splitpin.User{Number: newEventIn(t, s).Number, Identifier: "a@example.com"}
	if err := creating1(t.Context(), s, u); err != nil {
		t.Fatal(err)
	}
	err := s.Change(t.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
		return splitpin.Writes{Create: []splitpin.Record{&splitpin.AuditEvent{Number: 77}}, Put: []splitpin.Record{u}}, nil
	})
	if err == nil || splitpin.ErrorOf(err) != nil || events(t, s)[77] {
		t.Errorf("error %v, and saved: %v; want an internal one, and nothing saved", err, events(t, s)[77])
	}
}

// TestTimeouts: the locks of a node that died end by themselves, also behind a pooler.
func TestTimeouts(t *testing.T) {
	for _, pooler := range []bool{false, true} {
		s := openPostgres(t, prepared(t), PostgresOptions{Unsafe: true, Pooler: pooler})
		r, err := s.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		trip := r.Value().trip(t.Context(), stepTime)
		s.begin(trip)
		if err := trip.end(); err != nil {
			t.Fatal(err)
		}
		got, err := r.Value().text(t.Context(), `SELECT current_setting('idle_in_transaction_session_timeout') || ' ' ||
			current_setting('lock_timeout') || ' ' || current_setting('statement_timeout')`)
		if err != nil || got != "10s 5s 30s" {
			t.Errorf("pooler %v: the timeouts are %s, error %v", pooler, got, err)
		}
		s.release(r)
	}
}

func TestPostgresRefusals(t *testing.T) {
	database := postgrestest.Database(t)
	open := func(change func(*url.URL), o PostgresOptions) error {
		u, err := url.Parse(database)
		if err != nil {
			t.Fatal(err)
		}
		change(u)
		s, err := OpenPostgres(t.Context(), u.String(), o)
		if err == nil {
			s.Close()
		}
		return err
	}
	same := func(*url.URL) {}
	for _, test := range []struct {
		name   string
		change func(*url.URL)
		unsafe bool
		want   string
	}{
		{"a server that may forget", same, false, "fsync off"},
		{"commits that may be forgotten", func(u *url.URL) {
			u.RawQuery += "&synchronous_commit=off"
		}, false, "off"},
		{"no such database", func(u *url.URL) { u.Path = "/nowhere" }, true, "make the database first: CREATE DATABASE nowhere OWNER splitpin"},
		{"no such user", func(u *url.URL) { u.User = url.UserPassword("nobody", "hunter2") }, true, `does not let the user "nobody" in`},
		{"nobody there", func(u *url.URL) { u.Host = "127.0.0.1:1" }, true, "see whether PostgreSQL runs there"},
		{"not an address", func(u *url.URL) { u.Host = "127.0.0.1:port"; u.User = url.UserPassword("nobody", "hunter2") }, true, "is not the address of a PostgreSQL database"},
	} {
		err := open(test.change, PostgresOptions{Unsafe: test.unsafe})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got error %v, want one with %q", test.name, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error tells the password: %v", test.name, err)
		}
	}

	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	exec := func(statement string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE TABLE users (name text)")
	if err := open(same, PostgresOptions{Unsafe: true}); err == nil || !strings.Contains(err.Error(), "tables of another program") {
		t.Errorf("tables of another program: got error %v", err)
	}
	exec("DROP TABLE users")
	if err := open(same, PostgresOptions{Unsafe: true}); err != nil {
		t.Error(err)
	}
	exec("UPDATE schema_version SET version = version + 1")
	if err := open(same, PostgresOptions{Unsafe: true}); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("tables of a newer version: got error %v", err)
	}
}

// TestManyMigrateAtOnce: however many nodes start together, each migration runs once.
func TestManyMigrateAtOnce(t *testing.T) {
	database := postgrestest.Database(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := OpenPostgres(t.Context(), database, PostgresOptions{Unsafe: true})
			if err != nil {
				t.Error(err)
				return
			}
			if err := creating1(t.Context(), s, newEventIn(t, s)); err != nil {
				t.Error(err)
			}
			s.Close()
		})
	}
	wg.Wait()
}

// madeOf makes, for each engine, a database of the first migrations, and returns what
// runs statements on it.
var madeOf = map[string]func(t *testing.T, all []migration) (database string, run func(statements []string)){
	"postgres": func(t *testing.T, all []migration) (string, func([]string)) {
		database := postgrestest.Database(t)
		conn, err := pgx.Connect(t.Context(), database)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close(context.Background()) })
		l := &link{PgConn: conn.PgConn(), unnamed: true}
		if err := l.migrateBy(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		return database, func(statements []string) {
			for _, statement := range statements {
				if _, err := l.text(t.Context(), statement); err != nil {
					t.Fatalf("%s: %v", statement, err)
				}
			}
		}
	},
	"sqlite": func(t *testing.T, all []migration) (string, func([]string)) {
		path := filepath.Join(t.TempDir(), "splitpin.db")
		c, err := open(path, sqlite.OpenReadWrite|sqlite.OpenCreate, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Conn.Close() })
		for _, m := range all {
			if err := c.apply(m); err != nil {
				t.Fatal(err)
			}
		}
		return path, func(statements []string) {
			for _, statement := range statements {
				if err := c.each(statement, none); err != nil {
					t.Fatalf("%s: %v", statement, err)
				}
			}
		}
	},
}

// TestMigrationsFromEveryVersion: a database that was made at any earlier version, with
// something in it, is brought up to date.
func TestMigrationsFromEveryVersion(t *testing.T) {
	for engine, made := range madeOf {
		all, err := migrationsFor(engine)
		if err != nil {
			t.Fatal(err)
		}
		other, err := migrationsFor(map[string]string{"postgres": "sqlite", "sqlite": "postgres"}[engine])
		if err != nil || len(other) != len(all) {
			t.Fatalf("the engines have %d and %d migrations, error %v", len(all), len(other), err)
		}
		for i, m := range all {
			if other[i].name != m.name {
				t.Errorf("%s and %s stand at the same place", m.name, other[i].name)
			}
			t.Run(fmt.Sprintf("%s from %d", engine, i), func(t *testing.T) {
				database, _ := made(t, all[:i])
				s, err := Open(t.Context(), database, Options{Postgres: PostgresOptions{Unsafe: true}})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				e := newEventIn(t, s)
				if err := creating1(t.Context(), s, e); err != nil {
					t.Fatal(err)
				}
				if err := s.SetMark(t.Context(), BackupAt, "now"); err != nil {
					t.Error(err)
				}
				if !events(t, s)[e.Number] {
					t.Error("what was saved is not there")
				}
			})
		}
	}
}

// TestVersionBeforeGoesOn: rows of the version before, written until the tables were
// altered and after, come back as they were, with every new column empty.
func TestVersionBeforeGoesOn(t *testing.T) {
	const theirs = 2 // migrations that it has
	ours, err := migrationsFor("sqlite")
	if err != nil {
		t.Fatal(err)
	}
	reference, err := emptyTables(ours[:theirs])
	if err != nil {
		t.Fatal(err)
	}
	defer reference.Close()
	olds, err := shapesOf(reference)
	if err != nil {
		t.Fatal(err)
	}
	source := opened(t, filepath.Join(t.TempDir(), "splitpin.db"))
	u := []*splitpin.User{storetest.User(1, 7), storetest.User(11, 7)} // before and after
	for _, u := range u {
		a := storetest.Attempt(u.Number, u)
		mustSave(t, source, u, a, storetest.Session(u.Number, u), storetest.Message(u.Number, a), storetest.Grant(u.Number, a, u))
	}
	rows := func(db Backupable, table *shape) (found []row) {
		t.Helper()
		from, err := db.snapshot(t.Context(), storetest.Now)
		if err != nil {
			t.Fatal(err)
		}
		defer from.close()
		err = from.scan(t.Context(), table, 0, 1<<62, 9, func(r row) error { found = append(found, r); return nil })
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	tables := []*shape{shapeOf(users, true), shapeOf(attempts, true), shapeOf(sessions, true), shapeOf(messages, true), shapeOf(grants, true)}
	for engine, made := range madeOf {
		t.Run(engine, func(t *testing.T) {
			all, err := migrationsFor(engine)
			if err != nil {
				t.Fatal(err)
			}
			database, run := made(t, all[:theirs])
			// written returns what writes the i-th row of each table, in the columns that the
			// version before knows.
			written := func(i int) (statements []string) {
				for _, now := range tables {
					old := olds[slices.IndexFunc(olds, func(s *shape) bool { return s.name == now.name })]
					var names, values []string
					for n, value := range rows(source, now)[i] {
						if slices.Contains(old.columns, now.columns[n]) {
							names, values = append(names, now.columns[n]), append(values, literal(engine, now.kinds[n], value))
						}
					}
					statements = append(statements, fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", now.name, strings.Join(names, ", "), strings.Join(values, ", ")))
				}
				return statements
			}
			run(written(0))
			s, err := Open(t.Context(), database, Options{Postgres: PostgresOptions{Unsafe: true}})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			run(written(1))
			for _, now := range tables {
				old := olds[slices.IndexFunc(olds, func(s *shape) bool { return s.name == now.name })]
				want, got := rows(source, now), rows(s.(Backupable), now)
				if len(got) != len(want) {
					t.Fatalf("%s has %d rows, want %d", now.name, len(got), len(want))
				}
				for i := range want {
					for n, column := range now.columns {
						if !slices.Contains(old.columns, column) {
							want[i][n] = map[kind]any{integer: int64(0), truth: int64(0), text: "", blob: []byte{}}[now.kinds[n]]
						}
						if !reflect.DeepEqual(got[i][n], want[i][n]) {
							t.Errorf("row %d of %s: %s is %v, want %v", i, now.name, column, got[i][n], want[i][n])
						}
					}
				}
			}
		})
	}
}

// literal writes a value of a row in the dialect of an engine.
func literal(engine string, k kind, value any) string {
	switch v := value.(type) {
	case string:
		return quoted(v)
	case []byte:
		if engine == "postgres" {
			return fmt.Sprintf("'\\x%x'", v)
		}
		return fmt.Sprintf("x'%x'", v)
	}
	if k == truth {
		return fmt.Sprintf("(%d = 1)", value)
	}
	return fmt.Sprint(value)
}

// TestMigrationGivesWay: a migration that waits for a step which waits for it is tried
// again, whichever of the two the server ends.
func TestMigrationGivesWay(t *testing.T) {
	all, err := migrationsFor("postgres")
	if err != nil {
		t.Fatal(err)
	}
	database, _ := madeOf["postgres"](t, all[:2])
	connect := func() *pgx.Conn {
		conn, err := pgx.Connect(t.Context(), database)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close(context.Background()) })
		return conn
	}
	step, watcher, migrating := connect(), connect(), connect()
	do := func(statement string) {
		t.Helper()
		var answer *pgconn.PgError
		if _, err := step.Exec(t.Context(), statement); err != nil && (!errors.As(err, &answer) || answer.Code != "40P01") {
			t.Fatal(err)
		}
	}
	do("BEGIN; LOCK TABLE messages IN ACCESS SHARE MODE")
	done := make(chan error, 1)
	go func() {
		done <- (&link{PgConn: migrating.PgConn(), unnamed: true}).migrateBy(context.Background(), all)
	}()
	for waits := false; !waits; {
		if err := watcher.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'messages'::regclass)").Scan(&waits); err != nil {
			t.Fatal(err)
		}
	}
	do("LOCK TABLE users IN ACCESS SHARE MODE") // the migration waits longer, so that it is ended
	do("COMMIT")
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestOnlyKnowsEveryRead: Load leaves out its transaction where only one thing is read.
// A field of Reads that only did not know would be left out too.
func TestOnlyKnowsEveryRead(t *testing.T) {
	fields := reflect.TypeFor[splitpin.Reads]()
	for i := range fields.NumField() {
		one := splitpin.Reads{Session: 7}
		if fields.Field(i).Name == "Session" {
			one = splitpin.Reads{User: 7}
		}
		if !only(one, one) {
			t.Fatalf("%+v is not only itself", one)
		}
		more := one
		storetest.Fill(&more, 1)
		both := one
		reflect.ValueOf(&both).Elem().Field(i).Set(reflect.ValueOf(more).Field(i))
		if only(both, one) {
			t.Errorf("where %s is read as well, %+v counts as all", fields.Field(i).Name, one)
		}
	}
}

// TestUnlockedWaitsForNobody: whoever only looks at a user is not held up by whoever
// holds that user's lock, or the wait would tell that there is such a user.
func TestUnlockedWaitsForNobody(t *testing.T) {
	s := openPostgres(t, prepared(t), PostgresOptions{Unsafe: true})
	u := &splitpin.User{Number: 7, ID: splitpin.NewUUID(), Project: 1, Identifier: "ada@example.com"}
	if err := creating1(t.Context(), s, u); err != nil {
		t.Fatal(err)
	}
	name := splitpin.Reads{Name: splitpin.Name{Project: u.Project, Identifier: u.Identifier}}
	err := s.Change(t.Context(), name, func(held *splitpin.Records) (splitpin.Writes, error) {
		if held.User == nil {
			t.Fatal("the user is not there")
		}
		looking := name
		looking.Unlocked = true
		event := newEventIn(t, s)
		if err := s.Change(t.Context(), looking, func(r *splitpin.Records) (splitpin.Writes, error) {
			if r.User == nil {
				t.Error("the user is not seen")
			}
			return splitpin.Writes{Create: []splitpin.Record{event}}, nil
		}); err != nil {
			t.Errorf("a step that only looks waited for the lock: %v", err)
		}
		return splitpin.Writes{}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
