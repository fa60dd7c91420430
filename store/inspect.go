package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// An Inspection is what the file of a SQLite store says about itself.
type Inspection struct {
	Ours      bool   // made by this program
	Library   string // version of SQLite in this program
	Tables    int64  // version of the tables
	Known     int64  // the newest version that this program knows
	WAL       bool   // the journal is a write-ahead log
	PageSize  int64  // bytes
	Pages     int64  // in the file
	FreePages int64  // of them, waiting to be used again
	LogBytes  int64  // size of the write-ahead log
}

// ErrDamaged is returned for a file that is no database, or none any more.
var ErrDamaged = errors.New("the file is damaged, or is no SQLite database")

// InspectSQLite looks at a file without changing it, while others use it. Unlike
// OpenSQLite it makes no file and migrates nothing. Where there is no file, the
// error wraps fs.ErrNotExist; where it is none of SQLite's, ErrDamaged.
func InspectSQLite(path string) (i Inspection, err error) {
	all, err := migrationsFor("sqlite")
	if err != nil {
		return i, err
	}
	err = readOnly(path, func(conn *sqlite.Conn) error {
		var owner int64
		var mode string
		for _, p := range []struct {
			name string
			into *int64
		}{{"application_id", &owner}, {"user_version", &i.Tables}, {"page_size", &i.PageSize}, {"page_count", &i.Pages}, {"freelist_count", &i.FreePages}} {
			if err := pragma(conn, p.name, func(s *sqlite.Stmt) { *p.into = s.ColumnInt64(0) }); err != nil {
				return err
			}
		}
		if err := pragma(conn, "journal_mode", func(s *sqlite.Stmt) { mode = s.ColumnText(0) }); err != nil {
			return err
		}
		i.Ours, i.Known, i.WAL = owner == applicationID, int64(len(all)), mode == "wal"
		return sqlitex.ExecuteTransient(conn, "SELECT sqlite_version()", &sqlitex.ExecOptions{
			ResultFunc: func(s *sqlite.Stmt) error { i.Library = s.ColumnText(0); return nil }})
	})
	if err != nil {
		return i, err
	}
	log, err := os.Stat(path + "-wal")
	switch {
	case err == nil:
		i.LogBytes = log.Size()
	case !errors.Is(err, fs.ErrNotExist):
		return i, fmt.Errorf("looking at the log: %w", err)
	}
	return i, nil
}

// CheckSQLite reads a whole file without changing it and returns what is wrong
// with it, at most a hundred lines; none where it is sound. When ctx ends before,
// the error says so. Meanwhile the server goes on, and its log grows.
func CheckSQLite(ctx context.Context, path string) (wrong []string, err error) {
	err = readOnly(path, func(conn *sqlite.Conn) error {
		conn.SetInterrupt(ctx.Done())
		err := pragma(conn, "quick_check(100)", func(s *sqlite.Stmt) {
			if line := s.ColumnText(0); line != "ok" {
				wrong = append(wrong, line)
			}
		})
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	})
	if errors.Is(err, ErrDamaged) {
		wrong, err = append(wrong, err.Error()), nil
	}
	return wrong, err
}

func readOnly(path string, f func(*sqlite.Conn) error) error {
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("looking at the database: %w", err)
	}
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadOnly)
	if err == nil {
		err = f(conn)
		if closing := conn.Close(); err == nil {
			err = closing
		}
	}
	if code := sqlite.ErrCode(err).ToPrimary(); code == sqlite.ResultCorrupt || code == sqlite.ResultNotADB {
		return ErrDamaged
	}
	if err != nil {
		return fmt.Errorf("reading the database: %w", err)
	}
	return nil
}

func pragma(conn *sqlite.Conn, name string, row func(*sqlite.Stmt)) error {
	return sqlitex.ExecuteTransient(conn, "PRAGMA "+name, &sqlitex.ExecOptions{
		ResultFunc: func(s *sqlite.Stmt) error { row(s); return nil }})
}
