package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/store"
)

// A sqliteFile is the database as it comes: one file in the data folder.
type sqliteFile struct{ path string }

func (f *sqliteFile) setting() string    { return "" }
func (f *sqliteFile) cpu() time.Duration { return 0 }
func (f *sqliteFile) disk() int64        { return 0 }
func (f *sqliteFile) close()             {}

func (f *sqliteFile) meter() meter {
	w := &walReader{index: f.path + "-shm"}
	w.look()
	w.bytes, w.commits = 0, 0
	return w
}

func (w *walReader) total() (int64, int64) { return w.bytes, w.commits }

// seed fills the tables with one statement each, without indexes and without sync:
// ten million users take minutes, not hours. The indexes are made afterwards, as
// the file describes them.
func (f *sqliteFile) seed(users int) (err error) {
	c, err := sqlite.OpenConn(f.path, sqlite.OpenReadWrite)
	if err != nil {
		return err
	}
	defer func() {
		if closed := c.Close(); err == nil {
			err = closed
		}
	}()
	var indexes []string
	err = sqlitex.ExecuteTransient(c, "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ('users', 'sessions')",
		&sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
			indexes = append(indexes, "DROP INDEX "+s.ColumnText(0), s.ColumnText(1))
			return nil
		}})
	if err != nil {
		return err
	}
	columns := func(table string) (names []string, err error) {
		err = sqlitex.ExecuteTransient(c, "SELECT name FROM pragma_table_info('"+table+"')",
			&sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error { names = append(names, s.ColumnText(0)); return nil }})
		return names, err
	}
	statements := []string{"PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", "PRAGMA cache_size = -262144", "PRAGMA temp_store = FILE"}
	for i := 0; i < len(indexes); i += 2 {
		statements = append(statements, indexes[i])
	}
	inserts, err := copies(users, "randomblob(16)", columns)
	if err != nil {
		return err
	}
	statements = append(statements, inserts...)
	for i := 1; i < len(indexes); i += 2 {
		statements = append(statements, indexes[i])
	}
	for _, text := range append(statements, "PRAGMA journal_mode = WAL") {
		if err := sqlitex.ExecuteTransient(c, text, nil); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	file, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer file.Close()
	return file.Sync()
}

// copies returns statements that make persons 2 to users, with a session each, in
// the likeness of the first. They name no column but those that must differ, so that
// they fit servers of other versions; both engines understand them.
func copies(users int, random string, columns func(table string) ([]string, error)) ([]string, error) {
	n := users - 1
	if n < 1 {
		return nil, nil
	}
	first := "(SELECT value FROM counters WHERE name = 'numbers')" // nobody has a number above it
	different := map[string]map[string]string{
		"users": {
			"number": first + " + i", "id": random, "created_at": "created_at - 1000 * i",
			"identifier": fmt.Sprintf("'person' || (i + 1) || '@mail' || ((i + 1) %% %d) || '.example.org'", domains), // as mailbox has it
		},
		"sessions": {"number": fmt.Sprintf("%s + %d + i", first, n), "of_user": first + " + i", "salt": random},
	}
	var statements []string
	for _, table := range []string{"users", "sessions"} {
		names, err := columns(table)
		if err != nil {
			return nil, err
		}
		values := make([]string, len(names))
		for i, name := range names {
			values[i] = name
			if value, ok := different[table][name]; ok {
				values[i] = value
				delete(different[table], name)
			}
		}
		if len(different[table]) > 0 {
			return nil, fmt.Errorf("table %s lacks the columns %v", table, different[table])
		}
		statements = append(statements, fmt.Sprintf("CREATE TEMPORARY TABLE first_of_%s AS SELECT * FROM %[1]s LIMIT 1", table), fmt.Sprintf(
			"WITH RECURSIVE many(i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM many WHERE i < %d) INSERT INTO %s (%s) SELECT %s FROM many, first_of_%[2]s",
			n, table, strings.Join(names, ", "), strings.Join(values, ", ")))
	}
	return append(statements, fmt.Sprintf("UPDATE counters SET value = value + %d WHERE name = 'numbers'", 2*n)), nil
}

// perUser makes users as the product does, one by one in an order that no index
// has, since a file that was filled in bulk is packed more densely.
func (f *sqliteFile) perUser() (int64, error) {
	path := filepath.Join(filepath.Dir(f.path), "idle.db")
	defer os.Remove(path)
	size := func() (int64, error) {
		info, err := os.Stat(path)
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	}
	return idleUser(func() (splitpin.Store, error) { return store.OpenSQLite(ctx, path, store.Options{}) }, size)
}
