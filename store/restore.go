package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// OpenBackup makes an installation of the file at path: a duplicate of a backup that
// nobody else has, for it is changed. It is checked as CheckBackup does, brought
// up to date where an older version made it, and cannot be taken for a backup any
// more. The caller tells it with [SQLite.PutBack] that it is not what it was, and
// closes it.
func OpenBackup(ctx context.Context, path string) (*SQLite, *Contents, error) {
	found, err := CheckBackup(ctx, path)
	if err != nil {
		return nil, nil, err
	}
	c, err := open(path, sqlite.OpenReadWrite, time.Second)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the backup: %w", err)
	}
	err = sqlitex.ExecuteTransient(c.Conn, "DROP TABLE manifest", nil)
	if err = errors.Join(err, c.Conn.Close()); err != nil {
		return nil, nil, fmt.Errorf("opening the backup: %w", err)
	}
	s, err := OpenSQLite(ctx, path, Options{Moved: true})
	if err != nil {
		return nil, nil, err
	}
	return s, found, nil
}

// A PutBack says how an installation goes on that was put back to an earlier
// moment, while what happened since is lost here, but not in people's browsers and
// mail.
type PutBack struct {
	// Trial is set where the original goes on somewhere else, and this one is a trial
	// copy: then sessions are dropped too, and senders are off.
	Trial bool
	Now   time.Time
}

// numberJump is how far the numbers jump when it is put back: further than an installation
// comes between a backup and its loss, at ten thousand numbers a second for three
// years. There is room for millions of jumps.
const numberJump = 1 << 40

// statements returns what putting back takes, in the dialect that every engine knows.
//
// Sign-ins under way are dropped with their codes and messages: a code that was
// spent after the backup would be good once more, and a message that was sent would
// be sent again. The numbers jump, so that no number given out since, in a refresh
// token or a link, is ever given to something else. A new epoch ends the nodes that
// still hold what was true before.
func (r PutBack) statements() []string {
	all := []string{
		"DELETE FROM attempts",
		"DELETE FROM grants",
		"DELETE FROM messages",
		fmt.Sprintf("UPDATE counters SET value = value + %d WHERE name = 'numbers'", int64(numberJump)),
		"UPDATE counters SET value = value + 1 WHERE name = 'version'",
		removingMark(MovedAt),
		settingMark(epoch, rand.Text()),
	}
	if r.Trial {
		all = append(all, "DELETE FROM sessions", "DELETE FROM credentials WHERE session <> 0", settingMark(SendersOff, FormatMark(r.Now)))
	}
	return all
}

// PutBack does, in one transaction, what an installation needs before it serves
// again after it was put back to an earlier moment.
func (s *SQLite) PutBack(ctx context.Context, r PutBack) error {
	s.numbers.mu.Lock()
	defer s.numbers.mu.Unlock()
	var now *era
	err := s.do(ctx, func(c *connection) error {
		return c.atomically(func() (err error) {
			for _, statement := range r.statements() {
				if err := c.each(statement, none); err != nil {
					return err
				}
			}
			now, err = eraOf(s.path, c)
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("preparing what was restored: %w", err)
	}
	s.numbers.next, s.numbers.last = 0, 0 // they are of before the jump
	s.era.Store(now)
	return nil
}
