package postgrestest_test

import (
	"testing"

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
