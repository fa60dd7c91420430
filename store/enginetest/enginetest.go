// Package enginetest opens a store for the tests of what is built on stores, on the
// engine that whoever runs them chooses.
package enginetest

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/store/postgrestest"
)

// Open opens an empty store that closes when the test ends. TEST_ENGINE
// chooses the engine: "sqlite", as without it; "postgres"; or "pooler", which is
// PostgreSQL behind PgBouncer.
func Open(t testing.TB) store.Database {
	t.Helper()
	var database string
	options := store.Options{Postgres: store.PostgresOptions{Unsafe: true}}
	switch engine := os.Getenv("TEST_ENGINE"); engine {
	case "", "sqlite":
		database = filepath.Join(t.TempDir(), "splitpin.db")
	case "postgres":
		database = Postgres(t)
	case "pooler":
		database, options.Postgres.Pooler = postgrestest.Pooler(t, Postgres(t)), true
	default:
		t.Fatalf("TEST_ENGINE is %q; it may be sqlite, postgres or pooler", engine)
	}
	// Tests close it before the database goes to another, also when they ended.
	db, err := store.Open(context.WithoutCancel(t.Context()), database, options)
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

// Postgres returns the URL of a database on PostgreSQL with our tables, and nothing in
// them. It is the test's until that ends.
func Postgres(t testing.TB) string {
	t.Helper()
	return postgrestest.Prepared(t, func(database string) error {
		db, err := store.OpenPostgres(context.WithoutCancel(t.Context()), database, store.PostgresOptions{Unsafe: true})
		if err != nil {
			return err
		}
		return db.Close()
	})
}
