// Package enginetest opens a store for the tests of what is built on stores, on the
// engine that whoever runs them chooses.
package enginetest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/store/postgrestest"
)

// Open opens an empty store that closes when the test ends: on SQLite, or where
// SPLITPIN_TEST_ENGINE is "postgres", on PostgreSQL.
func Open(t testing.TB) store.Database {
	t.Helper()
	database := filepath.Join(t.TempDir(), "splitpin.db")
	switch engine := os.Getenv("SPLITPIN_TEST_ENGINE"); engine {
	case "", "sqlite":
	case "postgres":
		database = postgrestest.Database(t)
	default:
		t.Fatalf("SPLITPIN_TEST_ENGINE is %q; it may be sqlite or postgres", engine)
	}
	db, err := store.Open(t.Context(), database, store.Options{Postgres: store.PostgresOptions{Unsafe: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	})
	return db
}
