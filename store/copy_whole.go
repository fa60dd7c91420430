package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"
)

// CopyOptions say how an installation is copied.
type CopyOptions struct {
	Options           // of the target
	At      time.Time // the present
	Anew    bool      // throw away what an interrupted copy left
	Tell    func(Progress)

	// Move takes the place of the original: once it is sure that the target is ours, the
	// original refuses every write and no server opens it, see [MovedAt] and [Reopen].
	// What it committed before is in the copy.
	Move bool
	// PutBack is set where the original goes on after the moment of the copy, which
	// then begins as a restored backup does.
	PutBack *PutBack

	// AtOnce copies in one transaction, so that an interruption leaves the target as it
	// was. Overwrite takes the place of whatever is in it then. Both are for PostgreSQL
	// only: a file is replaced by giving another its name.
	AtOnce, Overwrite bool
}

// copyingTable stands in a target until the copy is whole, and says of what it is.
const copyingTable = "copying"

// copyingSuffix ends the name of a file until the copy is whole.
const copyingSuffix = ".copying"

// errCopying refuses to open what holds a part of an installation.
var errCopying = refusal("a copy to this database was begun and not finished: finish it with 'splitpin db copy'")

// A filled is a target with what it takes to begin and to end a copy.
type filled interface {
	target
	count(ctx context.Context, t *shape) (int64, error)
	has(ctx context.Context, table string) (bool, error)
	do(ctx context.Context, statements ...string) error  // in one transaction
	claimed() error                                      // once it is sure that the target is ours
	end(ctx context.Context, statements ...string) error // do for the last time: the copy is committed
	value(ctx context.Context, query string) (string, error)
	close() error
}

// Copy copies an installation to another database of either engine: the URL of a
// PostgreSQL database, or the name of a file that nobody serves from yet. It is made
// where it is missing, and must be empty, or hold what an interrupted copy of the same
// installation left; then the copy goes on. In the end every row was read back and
// compared. A database that Copy did not finish cannot be opened. A file gets its name
// when it is whole and on the disk; until then it lies beside it, and one of that name
// must not be there.
//
// What is committed to the original after the copy began is not in it, so say Move
// unless that is meant. Where rows are not what they should be, the error names
// the first of them.
func Copy(ctx context.Context, from Backupable, to string, o CopyOptions) (*Contents, error) {
	if IsPostgres(to) {
		return copyTo(ctx, from, to, o)
	}
	if _, err := os.Lstat(to); err == nil {
		return nil, fmt.Errorf("%w: there is a file %s already", ErrNotEmpty, to)
	}
	found, err := copyTo(ctx, from, to+copyingSuffix, o)
	if err != nil {
		return nil, err
	}
	if err := Sync(to + copyingSuffix); err != nil {
		return nil, err
	}
	if err := os.Rename(to+copyingSuffix, to); err != nil {
		return nil, fmt.Errorf("naming the copy: %w", err)
	}
	return found, Sync(filepath.Dir(to))
}

// copyTo is Copy, to a file that gets no other name.
func copyTo(ctx context.Context, from Backupable, to string, o CopyOptions) (found *Contents, err error) {
	o.At = o.At.UTC().Truncate(time.Microsecond)
	side, err := openTarget(ctx, to, o)
	if err != nil {
		return nil, fmt.Errorf("opening the target: %w", err)
	}
	defer func() { err = errors.Join(err, side.close()) }()
	source, err := from.snapshot(ctx, o.At)
	if err != nil {
		return nil, fmt.Errorf("reading the installation: %w", err)
	}
	defer func() { err = errors.Join(err, source.close()) }() // whichever it is then

	resumed := false
	switch {
	case o.AtOnce && o.Overwrite:
		err = empty(ctx, side)
	case o.AtOnce:
		err = mustBeEmpty(ctx, side)
	default:
		resumed, err = claim(ctx, source, side, o.Anew)
	}
	if err == nil {
		err = side.claimed()
	}
	if err != nil {
		return nil, err
	}
	if o.Move {
		if err := from.fence(ctx, o.At); err != nil {
			return nil, fmt.Errorf("closing the original: %w", err)
		}
		last, err := from.snapshot(ctx, o.At) // of the moment after which nothing comes
		if err != nil {
			return nil, fmt.Errorf("reading the installation: %w", err)
		}
		if source, last = last, source; last.close() != nil {
			return nil, errors.New("reading the installation: its connection was lost")
		}
	}
	p := &progress{Progress: Progress{Compares: true}, tell: o.Tell}
	spans, err := transfer(ctx, source, side, resumed, p)
	if err != nil {
		return nil, err
	}
	if err := compare(ctx, source, side, spans, p); err != nil {
		return nil, err
	}
	last := []string{removingMark(MovedAt), "DROP TABLE IF EXISTS " + copyingTable}
	if o.PutBack != nil {
		last = append(o.PutBack.statements(), last...)
	}
	if err := side.end(ctx, last...); err != nil {
		return nil, fmt.Errorf("ending the copy: %w", err)
	}
	return contents(o.At, spans), nil
}

// claim makes the target ours, or finds that it is. It reports whether an earlier copy
// may have left something.
func claim(ctx context.Context, source snapshot, side filled, anew bool) (resumed bool, err error) {
	name, err := identity(ctx, source)
	if err != nil {
		return false, err
	}
	begun, err := side.has(ctx, copyingTable)
	if err != nil {
		return false, err
	}
	if begun {
		of, err := side.value(ctx, "SELECT source FROM "+copyingTable)
		if err != nil || of == name {
			return true, err
		}
		if !anew {
			return false, errors.New("the target holds a part of another installation, or of this one before its master key was changed: " +
				"throw that part away with --anew, or choose another target")
		}
		return true, side.do(ctx, fmt.Sprintf("UPDATE %s SET source = '%s'", copyingTable, name)) // what differs is replaced
	}
	if err := mustBeEmpty(ctx, side); err != nil {
		return false, err
	}
	return false, side.do(ctx, fmt.Sprintf("CREATE TABLE %s (source text NOT NULL)", copyingTable),
		fmt.Sprintf("INSERT INTO %s VALUES ('%s')", copyingTable, name))
}

// ErrNotEmpty is wrapped by what Copy returns where the target holds something
// that nobody said to overwrite.
var ErrNotEmpty = errors.New("the target is not empty")

func mustBeEmpty(ctx context.Context, side filled) error {
	for _, t := range shapes {
		if t.name == "marks" || t.name == "counters" { // which a new database has
			continue
		}
		if n, err := side.count(ctx, t); err != nil {
			return err
		} else if n > 0 {
			return fmt.Errorf("%w: it has rows in %s. Choose an empty database; nothing was changed", ErrNotEmpty, t.name)
		}
	}
	return nil
}

// empty takes everything out, and keeps others away until the transaction ends.
func empty(ctx context.Context, side filled) error {
	var tables []string
	for _, t := range shapes {
		tables = append(tables, t.name)
	}
	return side.do(ctx, "TRUNCATE "+strings.Join(tables, ", "), unfencing)
}

// identity tells one installation from another: it is made of the record by which the
// master key is recognised, which has a random part.
func identity(ctx context.Context, source snapshot) (name string, err error) {
	for _, t := range shapes {
		if t.name != dataKeys.name {
			continue
		}
		err = source.scan(ctx, t, 0, 0, 0, func(r row) error {
			if r[0] == "check" {
				name = fmt.Sprintf("%x", sha256.Sum256(appendRow(nil, r)))
			}
			return nil
		})
	}
	if err == nil && name == "" {
		err = errors.New("there is no installation in the source: it was never opened with a master key")
	}
	return name, err
}

func openTarget(ctx context.Context, to string, o CopyOptions) (filled, error) {
	if IsPostgres(to) {
		o.Postgres.filling, o.Postgres.Command = true, true
		db, err := OpenPostgres(ctx, to, o.Postgres)
		if err != nil {
			return nil, err
		}
		defer db.Close()
		l, err := db.connect(ctx)
		if err != nil {
			return nil, err
		}
		side := &pgSide{link: l, at: o.At.UnixMicro(), within: o.AtOnce}
		if err := side.learn(ctx); err != nil {
			return nil, errors.Join(err, side.close())
		}
		if o.AtOnce {
			_, err = l.text(ctx, "BEGIN"+pgPatient)
		}
		if err != nil {
			return nil, errors.Join(err, side.close())
		}
		return side, nil
	}
	if o.AtOnce {
		return nil, errors.New("a file is replaced by giving another its name")
	}
	// A link would lead the copy into a file that is somebody else's.
	if info, err := os.Lstat(to); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file: remove it", to)
	}
	// The store makes the tables, with its settings, which the file keeps.
	o.filling = true
	db, err := OpenSQLite(ctx, to, o.Options)
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	c, err := open(to, sqlite.OpenReadWrite, time.Second)
	if err == nil {
		for _, pragma := range []string{"PRAGMA synchronous = FULL", fmt.Sprintf("PRAGMA cache_size = -%d", copyCache)} {
			err = errors.Join(err, c.each(pragma, none))
		}
		if err != nil {
			return nil, errors.Join(err, c.Conn.Close())
		}
	}
	if err != nil {
		return nil, err
	}
	return &copySide{connection: c, at: o.At.UnixMicro()}, nil
}

func (c *copySide) has(_ context.Context, table string) (bool, error) {
	name, err := c.value(context.Background(), fmt.Sprintf("SELECT name FROM sqlite_schema WHERE name = '%s'", table))
	return name != "", err
}

func (c *copySide) value(_ context.Context, query string) (value string, err error) {
	err = c.each(query, func(stmt *sqlite.Stmt) error { value = stmt.ColumnText(0); return nil })
	return value, err
}

func (c *copySide) do(_ context.Context, statements ...string) error {
	return c.atomically(func() error {
		for _, statement := range statements {
			if err := c.each(statement, none); err != nil {
				return err
			}
		}
		return nil
	})
}

// claimed does without the indexes until the end.
func (c *copySide) claimed() error { return c.dropIndexes() }

// end also moves the log into the file: the file alone is the copy.
func (c *copySide) end(ctx context.Context, statements ...string) error {
	if err := c.createIndexes(ctx); err != nil {
		return err
	}
	if err := c.do(ctx, statements...); err != nil {
		return err
	}
	return c.each("PRAGMA wal_checkpoint(TRUNCATE)", none)
}

func (p *pgSide) has(ctx context.Context, table string) (bool, error) {
	name, err := p.link.text(ctx, fmt.Sprintf("SELECT to_regclass('%s')", table))
	return name != "", err
}

func (p *pgSide) value(ctx context.Context, query string) (string, error) {
	return p.link.text(ctx, query)
}

func (p *pgSide) do(ctx context.Context, statements ...string) error {
	return p.atomically(ctx, func() error {
		_, err := p.link.text(ctx, strings.Join(statements, ";\n"))
		return err
	})
}

func (p *pgSide) claimed() error { return nil }

func (p *pgSide) end(ctx context.Context, statements ...string) error {
	for _, t := range shapes { // the planner knows nothing yet about so many new rows
		statements = append(statements, "ANALYZE "+t.name)
	}
	err := p.do(ctx, statements...)
	if err == nil && p.within {
		_, err = p.link.text(ctx, "COMMIT")
	}
	return err
}
