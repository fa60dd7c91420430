package store

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/store/postgrestest"
)

// These tests force what would happen by chance only: somebody who holds a lock just
// then, an answer that is lost, a transaction that the server gives up.

// An admin is a connection to the database of a test, beside the store.
type admin struct {
	*pgx.Conn
	t *testing.T
}

func newAdmin(t *testing.T, database string) *admin {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return &admin{conn, t}
}

func (a *admin) exec(statement string, args ...any) {
	a.t.Helper()
	if _, err := a.Exec(a.t.Context(), statement, args...); err != nil {
		a.t.Fatalf("%s: %v", statement, err)
	}
}

// holding runs f inside a transaction that ends with it.
func (a *admin) holding(statement string, f func()) {
	a.t.Helper()
	a.exec("BEGIN")
	a.exec(statement)
	f()
	a.exec("ROLLBACK")
}

// untilWaiting returns when somebody waits for a lock in this database.
func (a *admin) untilWaiting() {
	a.t.Helper()
	for waits := false; !waits; {
		a.exec("SELECT pg_stat_clear_snapshot()") // a transaction would see the same again and again
		if err := a.QueryRow(a.t.Context(), `SELECT EXISTS
			(SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&waits); err != nil {
			a.t.Fatal(err)
		}
	}
}

// free reports whether a statement waits for nobody.
func (a *admin) free(statement string) bool {
	a.t.Helper()
	a.exec("SET LOCAL lock_timeout = '1ms'")
	_, err := a.Exec(a.t.Context(), statement)
	var answer *pgconn.PgError
	if err != nil && (!errors.As(err, &answer) || answer.Code != "55P03") {
		a.t.Fatalf("%s: %v", statement, err)
	}
	return err == nil
}

func anHour(key int64, burst int) splitpin.Charge {
	return splitpin.Charge{Key: key, Burst: burst, Period: time.Hour, Cost: 1}
}

// TestTakeLocksInOrder: whoever waits for a limit holds none of those with a greater
// key, however it named them, and whether or not there are rows: two nodes that wait
// for each other would stop all limits for a second.
func TestTakeLocksInOrder(t *testing.T) {
	for _, test := range []struct {
		name         string
		made         []int64 // the greater first, so that it lies before the other
		hold, second string
	}{
		{"rows that are there", []int64{2, 1}, "SELECT FROM limits WHERE key = 1 FOR UPDATE", "SELECT FROM limits WHERE key = 2 FOR UPDATE"},
		{"rows to be made", nil, "INSERT INTO limits (key, mark) VALUES (1, 1)", "INSERT INTO limits (key, mark) VALUES (2, 1)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			database := prepared(t)
			s := openPostgres(t, database, PostgresOptions{Unsafe: true})
			for _, key := range test.made {
				if _, _, err := s.Take(t.Context(), time.Now(), anHour(key, 5)); err != nil {
					t.Fatal(err)
				}
			}
			a := newAdmin(t, database)
			var wg sync.WaitGroup
			a.holding(test.hold, func() {
				wg.Go(func() {
					if refused, _, err := s.Take(t.Context(), time.Now(), anHour(2, 5), anHour(1, 5)); refused != -1 || err != nil {
						t.Errorf("refused %d, error %v", refused, err)
					}
				})
				a.untilWaiting()
				if !a.free(test.second) {
					t.Error("it holds the second limit while it waits for the first")
				}
			})
			wg.Wait()
		})
	}
}

// TestTakeWhoseAnswerIsLost: it may have been charged, and is not charged again.
func TestTakeWhoseAnswerIsLost(t *testing.T) {
	database := prepared(t)
	c, through := newCutter(t, database)
	s := openPostgres(t, through, PostgresOptions{Unsafe: true, Pooler: true})
	direct := openPostgres(t, database, PostgresOptions{Unsafe: true})
	now := time.Now()
	c.armed.Store(cutAfter)
	if refused, _, err := s.Take(t.Context(), now, anHour(1, 2)); refused != -1 || !errors.Is(err, splitpin.ErrUnavailable) {
		t.Errorf("refused %d, error %v; want ErrUnavailable", refused, err)
	}
	for i, want := range []int{-1, 0} { // of two one was taken
		if refused, _, err := direct.Take(t.Context(), now, anHour(1, 2)); refused != want || err != nil {
			t.Errorf("charge %d after it: refused %d, error %v; want refused %d", i+1, refused, err, want)
		}
	}
}

// TestCommitUnderWay: where the server is still at it when the connection is lost, the
// outcome is waited for.
func TestCommitUnderWay(t *testing.T) {
	database := postgrestest.Database(t)
	c, through := newCutter(t, database)
	s := openPostgres(t, through, PostgresOptions{Unsafe: true, Pooler: true})
	a := newAdmin(t, database)
	// COMMIT waits for a lock that the test holds.
	a.exec(`CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NULL; END $$;
		CREATE CONSTRAINT TRIGGER slowly AFTER INSERT ON audit_events DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slowly()`)
	e, runs := newEventIn(t, s), 0
	var ended atomic.Bool
	var wg sync.WaitGroup
	a.holding("SELECT pg_advisory_xact_lock(7)", func() {
		c.armed.Store(cutUnanswered)
		wg.Go(func() {
			defer ended.Store(true)
			err := s.Change(t.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
				runs++
				return splitpin.Writes{Create: []splitpin.Record{e}}, nil
			})
			if err != nil || runs != 1 {
				t.Errorf("got error %v after %d runs, want none after 1", err, runs)
			}
		})
		for c.asked.Load() < 2 && !ended.Load() { // the first question was answered, and it asks again
			runtime.Gosched()
		}
	})
	wg.Wait()
	if !events(t, s)[e.Number] {
		t.Error("what was committed is not there")
	}
}

// TestQueueForConnections: beyond Queue, nobody else waits for a connection.
func TestQueueForConnections(t *testing.T) {
	database := prepared(t)
	s := openPostgres(t, database, PostgresOptions{Unsafe: true, Connections: 2, Queue: 1})
	event := &splitpin.AuditEvent{Number: 1 << 40}
	hold := func(held func()) {
		if err := s.Change(t.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
			held()
			return splitpin.Writes{}, nil
		}); err != nil {
			t.Error(err)
		}
	}
	var wg sync.WaitGroup
	hold(func() {
		hold(func() { // both connections are at work
			wg.Go(func() {
				if err := creating1(t.Context(), s, event); err != nil {
					t.Errorf("the one that waited: %v", err)
				}
			})
			for s.Stats().Awaiting < 1 {
				runtime.Gosched()
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			refused := make(chan error, 1)
			go func() { _, err := s.Version(ctx); refused <- err }()
			for s.Stats().Awaiting == 1 && s.Stats().Refused == 0 {
				runtime.Gosched()
			}
			if s.Stats().Refused != 1 {
				t.Error("a second one waits where one may")
				cancel()
			}
			err := <-refused
			if e := splitpin.ErrorOf(err); e == nil || !errors.Is(err, splitpin.ErrUnavailable) || e.RetryAfter <= 0 {
				t.Errorf("got error %v, want ErrUnavailable with a time to wait", err)
			}
		})
	})
	wg.Wait()
	if !events(t, s)[event.Number] {
		t.Error("what waited for a connection was not saved")
	}
}

// TestClosing: from the moment of Close on, no call begins, though those under way go
// on and have connections.
func TestClosing(t *testing.T) {
	database := prepared(t)
	s := openPostgres(t, database, PostgresOptions{Unsafe: true})
	a := newAdmin(t, database)
	if _, _, err := s.Take(t.Context(), time.Now(), anHour(1, 5)); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	a.holding("SELECT FROM limits WHERE key = 1 FOR UPDATE", func() {
		wg.Go(func() {
			if refused, _, err := s.Take(t.Context(), time.Now(), anHour(1, 5)); refused != -1 || err != nil {
				t.Errorf("the call under way: refused %d, error %v", refused, err)
			}
		})
		a.untilWaiting()
		wg.Go(func() { s.Close() })
		<-s.closing
		if _, err := s.Load(t.Context(), splitpin.Reads{User: 1}); !errors.Is(err, splitpin.ErrUnavailable) {
			t.Errorf("Load: got error %v, want ErrUnavailable", err)
		}
		if err := creating1(t.Context(), s, &splitpin.AuditEvent{Number: 1 << 40}); !errors.Is(err, splitpin.ErrUnavailable) {
			t.Errorf("Change: got error %v, want ErrUnavailable", err)
		}
	})
	wg.Wait()
}

// TestTakeHasTimeouts: a node that died in the midst of Take holds its limits no longer
// than any step, also behind a pooler.
func TestTakeHasTimeouts(t *testing.T) {
	for _, pooler := range []bool{false, true} {
		database := postgrestest.Database(t)
		s := openPostgres(t, database, PostgresOptions{Unsafe: true, Pooler: pooler})
		a := newAdmin(t, database)
		a.exec(`CREATE TABLE told (timeouts text);
			CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				INSERT INTO told SELECT string_agg(current_setting(name), ' ' ORDER BY place) FROM unnest(ARRAY[
					'idle_in_transaction_session_timeout', 'lock_timeout', 'statement_timeout']) WITH ORDINALITY AS asked (name, place);
				RETURN NEW; END $$;
			CREATE TRIGGER tell BEFORE INSERT ON limits FOR EACH ROW EXECUTE FUNCTION tell()`)
		if _, _, err := s.Take(t.Context(), time.Now(), anHour(1, 5)); err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := a.QueryRow(t.Context(), "SELECT timeouts FROM told").Scan(&got); err != nil || got != "10s 5s 30s" {
			t.Errorf("pooler %v: the timeouts are %q, error %v", pooler, got, err)
		}
	}
}

// TestGivenUpByTheServer: a transaction that the server gives up, because it stands in
// the way of others, runs again; and one of Take also as often as other nodes made the
// row meanwhile.
func TestGivenUpByTheServer(t *testing.T) {
	for _, code := range []string{"40001", "40P01", "23505"} {
		database := postgrestest.Database(t)
		s := openPostgres(t, database, PostgresOptions{Unsafe: true})
		a := newAdmin(t, database)
		// A sequence does not go back with the transaction.
		a.exec(`CREATE SEQUENCE runs; CREATE FUNCTION give_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				IF nextval('runs') % 4 <> 0 THEN RAISE EXCEPTION 'on purpose' USING ERRCODE = '` + code + `'; END IF;
				RETURN NEW; END $$;
			CREATE TRIGGER give_up BEFORE INSERT ON audit_events FOR EACH ROW EXECUTE FUNCTION give_up();
			CREATE TRIGGER give_up BEFORE INSERT ON limits FOR EACH ROW EXECUTE FUNCTION give_up()`)
		if code != "23505" {
			e, runs := newEventIn(t, s), 0
			err := s.Change(t.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
				runs++
				return splitpin.Writes{Create: []splitpin.Record{e}}, nil
			})
			if err != nil || runs != 4 || !events(t, s)[e.Number] {
				t.Errorf("%s: error %v after %d runs, saved %v; want none after 4, saved", code, err, runs, events(t, s)[e.Number])
			}
		}
		if refused, _, err := s.Take(t.Context(), time.Now(), anHour(1, 1)); refused != -1 || err != nil {
			t.Errorf("%s: Take: refused %d, error %v", code, refused, err)
		}
		if refused, _, err := s.Take(t.Context(), time.Now(), anHour(1, 1)); refused != 0 || err != nil {
			t.Errorf("%s: the second of one: refused %d, error %v", code, refused, err)
		}
	}
}
