package store

import (
	"context"
	"strings"

	"github.com/splitpin/splitpin"
)

// A Database is a store with what those must know who open one without knowing of
// which engine it is.
type Database interface {
	splitpin.Store
	Backupable

	// Current reports whether the database is still the one that this process opened,
	// and has only gone forward since. The error wraps ErrReplaced where it is not:
	// a backup was restored below it, or what was committed is lost. The process must
	// end then, and may be started again. Any other error says that it could not be
	// told.
	Current(ctx context.Context) error

	// Engine names the engine: "sqlite" or "postgres".
	Engine() string

	// Mark returns a mark of the installation, empty where there is none; SetMark
	// sets one, or with the empty text removes it.
	Mark(ctx context.Context, name MarkName) (string, error)
	SetMark(ctx context.Context, name MarkName, value string) error

	// Stats returns what the store knows of itself; it is quick and never waits.
	Stats() Stats
	// Backlog returns what the outbox has not finished.
	Backlog(ctx context.Context) (Backlog, error)
}

// Open opens a database: on PostgreSQL where it begins with postgres://, otherwise
// the SQLite file of that name. What is missing in it is made.
func Open(ctx context.Context, database string, o Options) (Database, error) {
	// Each returns a pointer, which must not become an interface that holds nil.
	if IsPostgres(database) {
		o.Postgres.Committed, o.Postgres.moved = o.Committed, o.Moved
		db, err := OpenPostgres(ctx, database, o.Postgres)
		if err != nil {
			return nil, err
		}
		return db, nil
	}
	db, err := OpenSQLite(ctx, database, o)
	if err != nil {
		return nil, err
	}
	return db, nil
}

// IsPostgres reports whether database is the URL of a PostgreSQL database, and not
// the path of a file.
func IsPostgres(database string) bool {
	return strings.HasPrefix(database, "postgres://") || strings.HasPrefix(database, "postgresql://")
}
