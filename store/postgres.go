package store

import (
	"context"
	"errors"

	"github.com/splitpin/splitpin"
)

// PostgresOptions are what the URL of a database does not say. The zero value is
// usable.
type PostgresOptions struct {
	Password    splitpin.Secret // counts before that of the URL; empty: the URL's, PGPASSWORD or ~/.pgpass
	Connections int             // at most so many at once, at least two; zero: 16
	Pooler      bool            // a pooler like PgBouncer lies between, in transaction mode: nothing lasts longer than a transaction
	Unsafe      bool            // accept a server that may lose what it said was committed
}

// OpenPostgres opens a database on PostgreSQL.
func OpenPostgres(ctx context.Context, database string, o PostgresOptions) (Database, error) {
	return nil, errors.New("PostgreSQL is not there yet; use SQLite")
}
