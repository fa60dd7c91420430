package postgrestest_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/splitpin/splitpin/store/postgrestest"
)

func TestDatabase(t *testing.T) {
	one, two := postgrestest.Database(t), postgrestest.Database(t)
	if one == two {
		t.Fatalf("two tests would share %s", one)
	}
	for _, database := range []string{one, two} {
		conn, err := pgx.Connect(t.Context(), database)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		if _, err := conn.Exec(t.Context(), "CREATE TABLE t (n bigint)"); err != nil {
			t.Error(err)
		}
	}
}

// TestPrepared: what one test did is gone for the next, and so is whoever it left
// connected.
func TestPrepared(t *testing.T) {
	if os.Getenv("TEST_POSTGRES") != "" {
		t.Skip("nothing is kept on a server that goes on")
	}
	made := 0
	prepare := func(database string) error {
		made++
		conn, err := pgx.Connect(t.Context(), database)
		if err != nil {
			return err
		}
		defer conn.Close(t.Context())
		_, err = conn.Exec(t.Context(), "CREATE TABLE t AS SELECT 7 AS n; CREATE TABLE empty (n bigint)", pgx.QueryExecModeSimpleProtocol)
		return err
	}
	var left *pgx.Conn
	for round := range 2 {
		t.Run("", func(t *testing.T) {
			conn, err := pgx.Connect(t.Context(), postgrestest.Prepared(t, prepare))
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			err = conn.QueryRow(t.Context(), "SELECT sum(n) * 10 + (SELECT count(*) FROM empty) FROM t").Scan(&n)
			if err != nil || n != 70 {
				t.Errorf("round %d: found %d, error %v; want 70", round, n, err)
			}
			if _, err := conn.Exec(t.Context(), "UPDATE t SET n = 8; INSERT INTO empty VALUES (1)", pgx.QueryExecModeSimpleProtocol); err != nil {
				t.Error(err)
			}
			if round == 0 {
				left = conn // with a transaction that locks what it changed
				if _, err := conn.Exec(t.Context(), "BEGIN; UPDATE t SET n = 9", pgx.QueryExecModeSimpleProtocol); err != nil {
					t.Error(err)
				}
				return
			}
			conn.Close(t.Context())
		})
	}
	if made != 1 {
		t.Errorf("%d databases were made for two tests, one after the other", made)
	}
	if err := left.Ping(t.Context()); err == nil {
		t.Error("a connection that a test left is alive")
	}
}

func TestKill(t *testing.T) {
	s := postgrestest.New(t, postgrestest.Options{Durable: true})
	database := s.Database(t)
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "CREATE TABLE t AS SELECT 7 AS n"); err != nil {
		t.Fatal(err)
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("a server that was killed answers")
	}
	if err := s.Run(); err != nil {
		t.Fatal(err)
	}
	again, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close(t.Context())
	n := 0
	if err := again.QueryRow(t.Context(), "SELECT n FROM t").Scan(&n); err != nil || n != 7 {
		t.Errorf("what was committed is %d (error %v), want 7", n, err)
	}
}

func TestStandby(t *testing.T) {
	s := postgrestest.New(t, postgrestest.Options{Durable: true})
	database := s.Database(t)
	f, err := s.Standby(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Stop)
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "CREATE TABLE t AS SELECT 7 AS n"); err != nil {
		t.Fatal(err)
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := f.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, err := pgx.Connect(t.Context(), strings.Replace(database, s.Address(), f.Address(), 1))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close(t.Context())
	n := 0
	if err := again.QueryRow(t.Context(), "UPDATE t SET n = n + 1 RETURNING n").Scan(&n); err != nil || n != 8 {
		t.Errorf("what was committed before the failover is %d (error %v), want 8", n, err)
	}
}

func TestFreeze(t *testing.T) {
	s := postgrestest.New(t, postgrestest.Options{})
	database := s.Database(t)
	ask := func(patience time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		conn, err := pgx.Connect(ctx, database)
		if err != nil {
			return err
		}
		defer conn.Close(t.Context())
		return conn.Ping(ctx)
	}
	if err := s.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := ask(100 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a frozen server says %v, want nothing", err)
	}
	if err := s.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := ask(30 * time.Second); err != nil {
		t.Errorf("a server that was thawed does not answer: %v", err)
	}
}
