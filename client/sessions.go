package client

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"
)

// A SessionID names a session in the app's table: the hash of what the browser's
// cookie holds. Whoever reads the table can make no cookie of it.
type SessionID [sha256.Size]byte

// ErrNoSession is what [Sessions.Find] returns for an id that it does not have.
var ErrNoSession = errors.New("no such session")

// Sessions is where the app keeps who is logged in.
type Sessions interface {
	// Save keeps a new session of a user until it expires.
	Save(ctx context.Context, id SessionID, userID string, expires time.Time) error

	// Find returns whose session it is and when it expires, or ErrNoSession. It
	// need not look at the time.
	Find(ctx context.Context, id SessionID) (userID string, expires time.Time, err error)

	// Delete ends a session. One that is not there is no error.
	Delete(ctx context.Context, id SessionID) error
}

// SQLSessions is [Sessions] in a table of an SQL database, SQLite and PostgreSQL
// alike; [SQLSessions.CreateTable] makes it.
type SQLSessions struct {
	DB    *sql.DB
	Table string           // empty: "sessions"
	Now   func() time.Time // nil: time.Now
}

// CreateTable makes the table if there is none.
func (s *SQLSessions) CreateTable(ctx context.Context) error {
	table, err := s.name()
	if err != nil {
		return err
	}
	for _, statement := range []string{
		`CREATE TABLE IF NOT EXISTS ` + table + ` (
			id TEXT PRIMARY KEY,
			user_id TEXT NOT NULL,
			expires_at BIGINT NOT NULL
		)`,
		`CREATE INDEX IF NOT EXISTS ` + table + `_expires_at ON ` + table + ` (expires_at)`,
		`CREATE INDEX IF NOT EXISTS ` + table + `_user_id ON ` + table + ` (user_id)`,
	} {
		if _, err := s.DB.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("creating the table %s: %w", table, err)
		}
	}
	return nil
}

// Save implements [Sessions]. It also sweeps the sessions that have expired, so
// that the table needs no one to look after it.
func (s *SQLSessions) Save(ctx context.Context, id SessionID, userID string, expires time.Time) error {
	table, err := s.name()
	if err != nil {
		return err
	}
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	if _, err := s.DB.ExecContext(ctx, `DELETE FROM `+table+` WHERE expires_at <= $1`, now().UnixMicro()); err != nil {
		return fmt.Errorf("sweeping sessions: %w", err)
	}
	_, err = s.DB.ExecContext(ctx, `INSERT INTO `+table+` (id, user_id, expires_at) VALUES ($1, $2, $3)`,
		id.text(), userID, expires.UnixMicro())
	if err != nil {
		return fmt.Errorf("saving a session: %w", err)
	}
	return nil
}

// Find implements [Sessions].
func (s *SQLSessions) Find(ctx context.Context, id SessionID) (userID string, expires time.Time, err error) {
	table, err := s.name()
	if err != nil {
		return "", time.Time{}, err
	}
	var micros int64
	err = s.DB.QueryRowContext(ctx, `SELECT user_id, expires_at FROM `+table+` WHERE id = $1`, id.text()).Scan(&userID, &micros)
	if errors.Is(err, sql.ErrNoRows) {
		return "", time.Time{}, ErrNoSession
	}
	if err != nil {
		return "", time.Time{}, fmt.Errorf("finding a session: %w", err)
	}
	return userID, time.UnixMicro(micros).UTC(), nil
}

// Delete implements [Sessions].
func (s *SQLSessions) Delete(ctx context.Context, id SessionID) error {
	return s.delete(ctx, "id", id.text())
}

// DeleteUser ends all sessions of a user: "sign out everywhere".
func (s *SQLSessions) DeleteUser(ctx context.Context, userID string) error {
	return s.delete(ctx, "user_id", userID)
}

func (s *SQLSessions) delete(ctx context.Context, column, value string) error {
	table, err := s.name()
	if err != nil {
		return err
	}
	if _, err := s.DB.ExecContext(ctx, `DELETE FROM `+table+` WHERE `+column+` = $1`, value); err != nil {
		return fmt.Errorf("ending sessions: %w", err)
	}
	return nil
}

func (s *SQLSessions) name() (string, error) {
	if s.Table == "" {
		return "sessions", nil
	}
	if !isSQLName(s.Table) {
		return "", fmt.Errorf("client: %q is not the name of a table", s.Table)
	}
	return s.Table, nil
}

func (id SessionID) text() string { return base64.RawURLEncoding.EncodeToString(id[:]) }
