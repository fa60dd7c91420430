package store_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/store/enginetest"
	"github.com/splitpin/splitpin/store/postgrestest"
	"github.com/splitpin/splitpin/store/storetest"
)

func TestPostgres(t *testing.T) {
	runPostgres(t, store.PostgresOptions{Unsafe: true, Connections: 8})
}

// TestPostgresAlone is the suite without groups: two steps that meet in one are kept apart
// by it, and the locks that keep them apart on two nodes would not be missed.
func TestPostgresAlone(t *testing.T) {
	runPostgres(t, store.PostgresOptions{Unsafe: true, Connections: 8}.Alone())
}

func runPostgres(t *testing.T, o store.PostgresOptions) {
	storetest.Run(t, func(t *testing.T, dir string) splitpin.Store {
		s, err := store.OpenPostgres(t.Context(), databaseOf(t, dir), o)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}, waitsInPostgres)
}

// waitsInPostgres asks the server itself, on a connection of its own.
func waitsInPostgres(t *testing.T, dir string, s splitpin.Store) func() bool {
	conn, err := pgx.Connect(t.Context(), databaseOf(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	var mu sync.Mutex // a connection is for one caller at a time
	return func() (waits bool) {
		mu.Lock()
		defer mu.Unlock()
		err := conn.QueryRow(context.Background(), `SELECT EXISTS
			(SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&waits)
		if err != nil {
			t.Errorf("asking who waits: %v", err)
		}
		return waits || err != nil || s.(*store.Postgres).Held() > 0
	}
}

// databaseOf returns the database that belongs to a folder, which is found when it is
// first asked for.
func databaseOf(t *testing.T, dir string) string {
	t.Helper()
	note := filepath.Join(dir, "database")
	b, err := os.ReadFile(note)
	if errors.Is(err, fs.ErrNotExist) {
		b = []byte(enginetest.Postgres(t))
		err = os.WriteFile(note, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestPooled is the suite by way of a pooler, with fewer connections behind it than
// before it.
func TestPooled(t *testing.T) {
	storetest.Run(t, func(t *testing.T, dir string) splitpin.Store {
		note := filepath.Join(dir, "pooler")
		b, err := os.ReadFile(note)
		if errors.Is(err, fs.ErrNotExist) {
			b = []byte(postgrestest.Pooler(t, databaseOf(t, dir)))
			err = os.WriteFile(note, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		s, err := store.OpenPostgres(t.Context(), string(b), store.PostgresOptions{Unsafe: true, Connections: 8, Pooler: true})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}, waitsInPostgres)
}
