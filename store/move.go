package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"
)

// ErrMoved refuses to open what was moved away.
var ErrMoved error = refusal("this installation was moved to another database, or is being moved, with 'splitpin db copy': start the servers with that one. " +
	"To serve from here again, and lose what happened there, say 'splitpin db reopen'")

// Reopen lets an installation serve again that a move left behind, or that a move was
// begun of and given up. It goes on as one that was put back does, since what it moved
// to may have served. Open it with [Options.Moved]; where it was not moved, nothing
// happens and moved is false.
func Reopen(ctx context.Context, db Database) (moved bool, err error) {
	at, err := db.Mark(ctx, MovedAt)
	if err == nil && at != "" {
		moved, err = true, db.unfence(ctx)
	}
	if err != nil {
		return moved, fmt.Errorf("opening the installation again: %w", err)
	}
	return moved, nil
}

// fenced returns what marks an installation as moved. The new epoch ends nodes.
func fenced(at time.Time) []string {
	return []string{settingMark(MovedAt, FormatMark(at)), settingMark(epoch, rand.Text())}
}

// fence keeps servers away. A command that has the file open already is not stopped;
// the folder of a server is held by who calls this.
func (s *SQLite) fence(ctx context.Context, at time.Time) error {
	return s.do(ctx, func(c *connection) error {
		return c.atomically(func() error {
			moved := false
			err := c.each(readingMark(MovedAt), func(*sqlite.Stmt) error { moved = true; return nil })
			if err != nil || moved {
				return err
			}
			for _, statement := range fenced(at) {
				if err := c.each(statement, none); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func (s *SQLite) unfence(ctx context.Context) error { return s.PutBack(ctx, PutBack{}) }

// pgFence is the function that refuses every write. With it no node has to be found:
// not one behind a pooler, nor one that starts a moment later.
const pgFence = "splitpin_moved"

// fence refuses every write from its commit on. It waits for the steps under way, which
// are in the copy then.
func (s *Postgres) fence(ctx context.Context, at time.Time) error {
	moved, err := s.Mark(ctx, MovedAt)
	if err != nil || moved != "" {
		return err
	}
	// As a server answers that takes no writes, so that nodes take it for one.
	statements := append(fenced(at), "CREATE OR REPLACE FUNCTION "+pgFence+"() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "+
		"RAISE EXCEPTION 'this installation was moved to another database' USING ERRCODE = 'read_only_sql_transaction'; END $$")
	for _, t := range shapes {
		statements = append(statements, fmt.Sprintf("CREATE OR REPLACE TRIGGER %s BEFORE INSERT OR UPDATE OR DELETE ON %s FOR EACH STATEMENT EXECUTE FUNCTION %[1]s()",
			pgFence, t.name))
	}
	return s.alone(ctx, statements)
}

func (s *Postgres) unfence(ctx context.Context) error {
	return s.alone(ctx, append([]string{unfencing}, PutBack{}.statements()...))
}

const unfencing = "DROP FUNCTION IF EXISTS " + pgFence + "() CASCADE"

// alone runs statements in one transaction on a connection of its own.
func (s *Postgres) alone(ctx context.Context, statements []string) (err error) {
	l, err := s.connect(ctx)
	if err != nil {
		return err
	}
	side := &pgSide{link: l}
	defer func() { err = errors.Join(err, side.close()) }()
	return side.do(ctx, statements...)
}

// settingMark and readingMark are statements in the dialect that every engine knows.
func settingMark(name MarkName, value string) string {
	return fmt.Sprintf("INSERT INTO marks (name, value) VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
		quoted(string(name)), quoted(value))
}

func readingMark(name MarkName) string {
	return "SELECT value FROM marks WHERE name = " + quoted(string(name))
}

func removingMark(name MarkName) string {
	return "DELETE FROM marks WHERE name = " + quoted(string(name))
}

func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
