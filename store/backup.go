package store

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// A backup is a SQLite file with the tables of an installation, whatever engine
// that runs on, and one more, the manifest: the moment, and of every table the
// number of rows and the digest of what was read at the source.
const manifestTable = `CREATE TABLE manifest (
	name  TEXT PRIMARY KEY,
	value TEXT NOT NULL
) STRICT, WITHOUT ROWID`

const (
	manifestAt   = "at"     // RFC 3339
	manifestRows = "table " // and the name of a table: rows, space, digest in hex
)

// Contents are what a backup or a copy holds.
type Contents struct {
	At   time.Time        // the moment it is of
	Rows map[string]int64 // by table; for limits the keys
}

func contents(at time.Time, spans map[string][]span) *Contents {
	c := &Contents{At: at, Rows: make(map[string]int64)}
	for name, list := range spans {
		_, c.Rows[name] = fold(list)
	}
	return c
}

// A Backupable is an installation that can be copied: a [SQLite] or a [Postgres].
type Backupable interface {
	snapshot(ctx context.Context, at time.Time) (snapshot, error)
	// fence keeps every server from it, for good: until unfence.
	fence(ctx context.Context, at time.Time) error
	unfence(ctx context.Context) error
}

// WriteBackup writes what is in from to the file at path, which is absent, and
// made with mode 0600, or an empty file, while others may work on from. It follows no
// link. at is the present.
//
// When it returns nil, the file was read back and found right, and is on the disk;
// the caller sees to its name. After an error it is worth nothing.
func WriteBackup(ctx context.Context, from Backupable, path string, at time.Time, tell func(Progress)) (*Contents, error) {
	at = at.UTC().Truncate(time.Microsecond)
	source, err := from.snapshot(ctx, at)
	if err != nil {
		return nil, fmt.Errorf("reading the installation: %w", err)
	}
	spans, err := fillBackup(ctx, source, path, at, tell)
	// The end of the snapshot lets the source's log shrink; the check can do without.
	if err = errors.Join(err, source.close()); err != nil {
		return nil, fmt.Errorf("writing a backup: %w", err)
	}
	if err := Sync(path); err != nil {
		return nil, fmt.Errorf("writing a backup: %w", err)
	}
	found, err := CheckBackup(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("reading the backup again: %w", err)
	}
	if want := contents(at, spans); !found.At.Equal(at) || !maps.Equal(found.Rows, want.Rows) {
		return nil, errors.New("reading the backup again: it holds something else than was written")
	}
	return found, nil
}

// openNoFollow is SQLite's flag to refuse a path with a link in it.
const openNoFollow sqlite.OpenFlags = 0x01000000

func fillBackup(ctx context.Context, source snapshot, path string, at time.Time, tell func(Progress)) (spans map[string][]span, err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case err == nil:
		err = file.Close()
	case errors.Is(err, fs.ErrExist):
		var info fs.FileInfo
		if info, err = os.Lstat(path); err == nil && (!info.Mode().IsRegular() || info.Size() != 0) {
			err = fmt.Errorf("%s is not an empty file", path)
		}
	}
	if err != nil {
		return nil, err
	}
	// The folder may be reached by a link. The file is not: whoever may write to the
	// folder could point it to anything while nobody looks.
	folder, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	c, err := open(filepath.Join(folder, filepath.Base(path)), sqlite.OpenReadWrite|openNoFollow, time.Second)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Conn.Close()) }()
	for _, pragma := range []string{
		// As the store has it, since a restore takes the file as it is.
		fmt.Sprintf("PRAGMA page_size = %d", pageSize),
		// Nobody reads the file before it is whole, and what an interruption leaves
		// of it is thrown away.
		"PRAGMA journal_mode = OFF",
		"PRAGMA synchronous = OFF",
		"PRAGMA locking_mode = EXCLUSIVE",
		fmt.Sprintf("PRAGMA cache_size = -%d", copyCache),
	} {
		if err := sqlitex.ExecuteTransient(c.Conn, pragma, nil); err != nil {
			return nil, fmt.Errorf("%s: %w", strings.ToLower(pragma), err)
		}
	}
	if err := c.migrate(ctx); err != nil {
		return nil, err
	}
	side := &copySide{connection: c, at: at.UnixMicro()}
	if err := side.dropIndexes(); err != nil {
		return nil, err
	}
	if spans, err = transfer(ctx, source, side, false, &progress{tell: tell}); err != nil {
		return nil, err
	}
	if err := side.createIndexes(ctx); err != nil {
		return nil, err
	}
	if err := sqlitex.ExecuteTransient(c.Conn, manifestTable, nil); err != nil {
		return nil, err
	}
	note := func(name, value string) error {
		return sqlitex.ExecuteTransient(c.Conn, "INSERT INTO manifest (name, value) VALUES (?1, ?2)", &sqlitex.ExecOptions{Args: []any{name, value}})
	}
	for name, list := range spans {
		sum, rows := fold(list)
		if err := note(manifestRows+name, fmt.Sprintf("%d %x", rows, sum)); err != nil {
			return nil, err
		}
	}
	return spans, note(manifestAt, at.Format(time.RFC3339Nano))
}

// errNoBackup is wrapped by what CheckBackup returns for a file that is not a whole
// backup of ours, for whatever reason.
var errNoBackup = errors.New("this is not a whole backup")

func noBackup(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errNoBackup, fmt.Errorf(format, args...))
}

// Bounds on what a file may make us read that somebody made up.
const (
	backupRow  = 32 << 20 // bytes of one row
	backupHeap = 512 << 20
)

// CheckBackup reads a backup from the first byte to the last: that it is a sound
// SQLite file with the tables that this program makes and nothing else, and that
// every table is what was read at the source. It changes nothing, looks at no file
// but this one, and bears any content.
//
// It finds damage. Whoever can write to the file on purpose can also make up a
// manifest: keep backups where nobody can.
func CheckBackup(ctx context.Context, path string) (*Contents, error) {
	c, err := openBackup(path)
	if err != nil {
		return nil, err
	}
	defer c.Conn.Close()
	defer c.SetInterrupt(c.SetInterrupt(ctx.Done()))
	found, err := c.checkBackup(ctx)
	if err != nil {
		return nil, interrupted(ctx, err)
	}
	return found, nil
}

// openBackup opens a file to read it alone: no log or journal beside it counts.
func openBackup(path string) (*connection, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	head := make([]byte, 100)
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	_, err = io.ReadFull(file, head)
	file.Close()
	if !info.Mode().IsRegular() || err != nil || !bytes.HasPrefix(head, []byte("SQLite format 3\x00")) {
		return nil, noBackup("it is not a SQLite file")
	}
	if head[18] != 1 || head[19] != 1 {
		return nil, noBackup("it is a database that is or was served from, and what was committed last may lie in a file beside it; make a backup of it with 'splitpin backup'")
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	uri := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: "mode=ro&immutable=1"}
	conn, err := sqlite.OpenConn(uri.String(), sqlite.OpenReadOnly, sqlite.OpenURI)
	if err != nil {
		return nil, noBackup("opening it: %w", err)
	}
	c := &connection{Conn: conn, statements: make([]*sqlite.Stmt, len(queries))}
	conn.Limit(sqlite.LimitLength, backupRow)
	conn.Limit(sqlite.LimitSQLLength, 1<<20)
	err = conn.SetDefensive(true)
	for _, pragma := range []string{"trusted_schema = OFF", "cell_size_check = ON", "temp_store = MEMORY", "cache_size = -8192",
		fmt.Sprintf("hard_heap_limit = %d", backupHeap)} {
		if err == nil {
			err = sqlitex.ExecuteTransient(conn, "PRAGMA "+pragma, nil)
		}
	}
	if err != nil {
		return nil, errors.Join(noBackup("opening it: %w", err), conn.Close())
	}
	return c, nil
}

func (c *connection) checkBackup(ctx context.Context) (*Contents, error) {
	all, err := migrationsFor("sqlite")
	if err != nil {
		return nil, err
	}
	owner, err := c.pragma("application_id")
	if err != nil {
		return nil, noBackup("%w", err)
	}
	version, err := c.pragma("user_version")
	switch {
	case err != nil:
		return nil, noBackup("%w", err)
	case owner != applicationID || version < 1:
		return nil, noBackup("another program made this file")
	case version > int64(len(all)):
		return nil, fmt.Errorf("a newer version of this program made this backup (tables %d, this program knows %d): use that version", version, len(all))
	}
	tables, err := c.checkSchema(all[:version])
	if err != nil {
		return nil, err
	}
	var complaint string
	err = sqlitex.ExecuteTransient(c.Conn, "PRAGMA integrity_check(1)", &sqlitex.ExecOptions{
		ResultFunc: func(stmt *sqlite.Stmt) error { complaint = stmt.ColumnText(0); return nil },
	})
	if err != nil || complaint != "ok" {
		return nil, noBackup("it is damaged: %s", otherErr(err, complaint))
	}
	manifest := make(map[string]string)
	err = c.each("SELECT name, value FROM manifest LIMIT 1000", func(stmt *sqlite.Stmt) error {
		manifest[stmt.ColumnText(0)] = stmt.ColumnText(1)
		return nil
	})
	if err != nil {
		return nil, noBackup("reading the manifest: %w", err)
	}
	found := &Contents{Rows: make(map[string]int64)}
	if found.At, err = time.Parse(time.RFC3339Nano, manifest[manifestAt]); err != nil {
		return nil, noBackup("it does not say of when it is")
	}
	if len(manifest) != len(tables)+1 {
		return nil, noBackup("the manifest names %d tables; there are %d", len(manifest)-1, len(tables))
	}
	side := &copySide{connection: c, at: found.At.UnixMicro()}
	for _, t := range tables {
		count, sum, _ := strings.Cut(manifest[manifestRows+t.name], " ")
		wanted, err := strconv.ParseInt(count, 10, 64)
		if err != nil {
			return nil, noBackup("the manifest says nothing about the table %s", t.name)
		}
		got, rows, err := digestTable(ctx, side, t)
		switch {
		case err != nil:
			return nil, noBackup("reading %s: %w", t.name, err)
		case rows != wanted:
			return nil, noBackup("the table %s has %d rows; it had %d when the backup was made", t.name, rows, wanted)
		case hex.EncodeToString(got[:]) != sum:
			return nil, noBackup("the table %s is not as it was when the backup was made", t.name)
		}
		found.Rows[t.name] = rows
	}
	return found, nil
}

func otherErr(err error, text string) string {
	if err != nil {
		return err.Error()
	}
	return text
}

func digestTable(ctx context.Context, r reader, t *shape) (sum [32]byte, rows int64, err error) {
	var spans []span
	for start, more := int64(math.MinInt64), true; more; {
		s, err := digest(ctx, r, t, start, math.MaxInt64, chunkRows)
		if err != nil {
			return sum, 0, err
		}
		if more = s.to < math.MaxInt64; more {
			start = s.to + 1
		}
		spans = append(spans, s)
	}
	sum, rows = fold(spans)
	return sum, rows, nil
}

// checkSchema holds what is in the file against what the migrations make, and
// returns the shapes of its tables. A view or a trigger, or a table that computes
// what it seems to hold, does not get through.
func (c *connection) checkSchema(migrations []migration) ([]*shape, error) {
	reference, err := emptyTables(migrations)
	if err != nil {
		return nil, err
	}
	defer reference.Close()
	if err := reference.each(manifestTable, none); err != nil {
		return nil, err
	}
	ours, err := schemaOf(reference)
	if err != nil {
		return nil, err
	}
	theirs, err := schemaOf(c)
	if err != nil {
		return nil, noBackup("reading what tables it has: %w", err)
	}
	if !slices.Equal(ours, theirs) {
		return nil, noBackup("it does not have the tables that a backup has")
	}
	return shapesOf(reference)
}

// emptyTables returns a database in memory with what the migrations make.
func emptyTables(migrations []migration) (*connection, error) {
	conn, err := sqlite.OpenConn(":memory:", sqlite.OpenReadWrite)
	if err != nil {
		return nil, err
	}
	for _, m := range migrations {
		if err := sqlitex.ExecuteScript(conn, m.text, nil); err != nil {
			return nil, errors.Join(fmt.Errorf("migration %s: %w", m.name, err), conn.Close())
		}
	}
	return &connection{Conn: conn}, nil
}

func schemaOf(c *connection) (all []string, err error) {
	err = c.each("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema ORDER BY type, name LIMIT 1000", func(stmt *sqlite.Stmt) error {
		all = append(all, strings.Join([]string{stmt.ColumnText(0), stmt.ColumnText(1), stmt.ColumnText(2), stmt.ColumnText(3)}, "\x00"))
		return nil
	})
	return all, err
}

// shapesOf returns the shapes of the tables as they were when these tables were
// made: the columns of an older version are not those of this one.
func shapesOf(c *connection) (all []*shape, err error) {
	err = c.each("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'manifest' ORDER BY name", func(stmt *sqlite.Stmt) error {
		t := &shape{name: stmt.ColumnText(0)}
		if t.name == limitsShape.name {
			t = limitsShape
		}
		all = append(all, t)
		return nil
	})
	for _, t := range all {
		if t == limitsShape || err != nil {
			continue
		}
		err = c.each(fmt.Sprintf("SELECT name, type, pk FROM pragma_table_info('%s') ORDER BY cid", t.name), func(stmt *sqlite.Stmt) error {
			if len(t.columns) == 0 {
				t.ranged = stmt.ColumnText(1) == "INTEGER" && stmt.ColumnInt64(2) == 1
			}
			t.columns = append(t.columns, stmt.ColumnText(0))
			return nil
		})
	}
	return all, err
}

// each runs a statement without parameters.
func (c *connection) each(statement string, row func(*sqlite.Stmt) error) error {
	return sqlitex.ExecuteTransient(c.Conn, statement, &sqlitex.ExecOptions{ResultFunc: row})
}

// Sync waits until a file, or the names in a folder, are on the disk.
func Sync(path string) error {
	f, err := os.Open(path)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		return fmt.Errorf("writing %s to the disk: %w", path, err)
	}
	return nil
}
