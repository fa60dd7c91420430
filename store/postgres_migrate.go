package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
)

// migrationLock keeps nodes that start together from migrating at once. It is the
// lock of a transaction, so that a pooler cannot mislay it.
const migrationLock = 0x53504c54 // "SPLT"

// migrate brings the tables up to date. Each migration is a transaction, which looks
// under a lock whether another node was quicker. A migration that has to wait for the
// lock of a table gives up after a moment and tries again, since everybody would
// queue up behind it; and so does one that the server chose to end because a step
// and it waited for each other.
func (l *link) migrate(ctx context.Context) error {
	all, err := migrationsFor("postgres")
	if err != nil {
		return err
	}
	return l.migrateBy(ctx, all)
}

func (l *link) migrateBy(ctx context.Context, all []migration) error {
	version, err := l.tables(ctx)
	if err != nil {
		return err
	}
	if version > len(all) {
		return refusal(fmt.Sprintf("a newer version of this program made the tables (version %d, this program knows %d): start that one", version, len(all)))
	}
	for _, m := range all[version:] {
		const tries = 20
		for try := 1; ; try++ {
			err := l.apply(ctx, m)
			var answer *pgconn.PgError
			if err != nil && try < tries && errors.As(err, &answer) && (answer.Code == "55P03" || answer.Code == "40P01") {
				continue
			}
			if err != nil {
				return fmt.Errorf("migration %s: %w", m.name, err)
			}
			break
		}
	}
	return nil
}

// tables returns which migration was the last, zero in an empty database.
func (l *link) tables(ctx context.Context) (int, error) {
	// Who waited for the lock has a cache that does not know of it yet; a look into the
	// catalogue itself does.
	there, err := l.text(ctx, "SELECT 1 FROM pg_class WHERE relname = 'schema_version' AND relnamespace = current_schema()::regnamespace")
	if err != nil || there == "" {
		return 0, err
	}
	version, err := l.text(ctx, "SELECT version FROM schema_version")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(version)
}

func (l *link) apply(ctx context.Context, m migration) (err error) {
	defer func() {
		if err != nil && !l.IsClosed() {
			_, undoing := l.text(context.WithoutCancel(ctx), "ROLLBACK")
			err = errors.Join(err, undoing)
		}
	}()
	_, err = l.text(ctx, fmt.Sprintf(`BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0;
		SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock(%d); SET LOCAL lock_timeout = '2s'`, migrationLock))
	if err != nil {
		return err
	}
	switch version, err := l.tables(ctx); {
	case err != nil:
		return err
	case version >= m.version:
		_, err = l.text(ctx, "COMMIT") // another node was quicker
		return err
	case version == 0:
		if _, err := l.text(ctx, "CREATE TABLE schema_version (version integer NOT NULL); INSERT INTO schema_version VALUES (0)"); err != nil {
			return err
		}
	}
	_, err = l.text(ctx, m.text+fmt.Sprintf(";\nUPDATE schema_version SET version = %d;\nCOMMIT", m.version))
	return err
}

// text runs statements without parameters and returns the last value of the last one,
// as text.
func (l *link) text(ctx context.Context, statements string) (value string, err error) {
	results, err := l.Exec(ctx, statements).ReadAll()
	if err != nil {
		return "", err
	}
	for _, r := range results {
		for _, row := range r.Rows {
			value = string(row[len(row)-1])
		}
	}
	return value, nil
}
