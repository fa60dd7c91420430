package store_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/store/enginetest"
	"github.com/splitpin/splitpin/store/postgrestest"
	"github.com/splitpin/splitpin/store/storetest"
)

func TestPostgres(t *testing.T) {
	storetest.Run(t, func(t *testing.T, dir string) splitpin.Store {
		s, err := store.OpenPostgres(t.Context(), databaseOf(t, dir), store.PostgresOptions{Unsafe: true, Connections: 8})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
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
	})
}
