package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/splitpin/splitpin"
)

// Options of a store. The zero value is usable. All but the first two and the last are
// of SQLite.
type Options struct {
	Postgres PostgresOptions
	Moved    bool // open it also where it was moved away: see MovedAt

	// PageSize in bytes, a power of two from 512 to 65536, counts only when the
	// file is made. Zero: 1024, which writes the fewest bytes for each sign-in.
	PageSize int
	// Readers is how many connections read at once, opened when first needed.
	// Zero: one for each processor, at least two, at most eight.
	Readers int
	// Queue is how many steps may wait for the writer; more are refused with
	// ErrUnavailable. Zero: 4096.
	Queue int
	// Patience is how long the writer waits for another process that writes to
	// the same file. Zero: five seconds.
	Patience time.Duration
	// FlushEvery is how often limits are written to the file, where some
	// changed: what a crash can lose of them. Zero: five seconds.
	FlushEvery time.Duration

	// Committed, where it is set, hears of every transaction that writes, before
	// those who wait for it.
	Committed func(Commit)

	filling bool // as in PostgresOptions
}

// A SQLite keeps everything in one file, with a log and an index of the log
// beside it. It implements [splitpin.Store] and is safe for concurrent use.
//
// All writes go through one goroutine, which commits everything that waits
// together: a hundred sign-ins share one sync of the disk. Reads have
// connections of their own and never wait for it.
//
// One process serves from a file. Others may open it at the same time, as the
// command line does, and see and make every kind of change, but each keeps the
// limits of Take on its own and hears of the others' a few seconds later.
type SQLite struct {
	path    string
	options Options
	writer  *connection // owned by the goroutine of write
	queue   line[*job]
	written chan struct{} // closed when the writer has stopped
	stop    chan struct{} // closed to end the flusher
	flushed chan struct{} // closed when the flusher has stopped

	readers chan *connection // idle ones; nil stands for one not opened yet
	size    int              // of readers

	numbers numbers
	era     atomic.Pointer[era]
	limits  limits
	sweeps  sweeps

	awaiting  atomic.Int32  // calls that wait for a reader
	conflicts atomic.Uint64 // runs of a step that were repeated

	linger     time.Duration // lingerFor, but in tests
	failCommit func() error  // tests make a commit fail; nil otherwise
	lastGroup  atomic.Int64  // how many steps the last commit held
}

var _ splitpin.Store = (*SQLite)(nil)

// applicationID marks a file as ours ("SPLT").
const applicationID = 0x53504c54

// OpenSQLite opens the file, making it (mode 0600) and its tables where they are
// missing. It refuses a file that another program or a newer version made.
func OpenSQLite(ctx context.Context, path string, options Options) (*SQLite, error) {
	if options.PageSize == 0 {
		options.PageSize = pageSize
	}
	if options.Readers <= 0 {
		options.Readers = min(max(runtime.GOMAXPROCS(0), 2), 8)
	}
	if options.Queue <= 0 {
		options.Queue = 4096
	}
	if options.Patience <= 0 {
		options.Patience = 5 * time.Second
	}
	if options.FlushEvery <= 0 {
		options.FlushEvery = 5 * time.Second
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("finding the database: %w", err)
	}

	// The log and its index get the mode of the file, so it is made here, before
	// SQLite would make it readable for others.
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	file.Close()

	s := &SQLite{
		path:    path,
		options: options,
		queue:   line[*job]{calls: make(chan *job, options.Queue)},
		written: make(chan struct{}),
		stop:    make(chan struct{}),
		flushed: make(chan struct{}),
		readers: make(chan *connection, options.Readers),
		size:    options.Readers,
		linger:  lingerFor,
	}
	if s.writer, err = s.openPatiently(ctx); err != nil {
		return nil, fmt.Errorf("opening the database %s: %w", path, err)
	}
	if err := s.openable(); err != nil {
		s.writer.Close()
		return nil, fmt.Errorf("opening the database %s: %w", path, err)
	}
	if err := s.limits.load(s.writer, time.Now()); err != nil {
		s.writer.Close()
		return nil, fmt.Errorf("reading the limits of %s: %w", path, err)
	}
	for range options.Readers {
		s.readers <- nil
	}
	opened, err := eraOf(path, s.writer)
	if err != nil {
		s.writer.Close()
		return nil, fmt.Errorf("opening the database %s: %w", path, err)
	}
	s.era.Store(opened)
	go s.write()
	go s.flushRegularly()
	return s, nil
}

// openable refuses what was copied in part or moved away.
func (s *SQLite) openable() error {
	var found error
	refuse := func(why error) func(*sqlite.Stmt) error { return func(*sqlite.Stmt) error { found = why; return nil } }
	if s.options.filling {
		return nil
	}
	if !s.options.Moved {
		if err := s.writer.each(readingMark(MovedAt), refuse(ErrMoved)); err != nil {
			return err
		}
	}
	err := s.writer.each("SELECT 1 FROM sqlite_schema WHERE name = '"+copyingTable+"'", refuse(errCopying))
	return errors.Join(err, found)
}

// openPatiently opens the writer. While another process opens or closes the same
// file, SQLite answers "busy" at once where waiting could be a deadlock; so it
// is asked again here, from the start.
func (s *SQLite) openPatiently(ctx context.Context) (*connection, error) {
	end := time.Now().Add(s.options.Patience)
	for {
		c, err := s.openWriter(ctx)
		if sqlite.ErrCode(err).ToPrimary() != sqlite.ResultBusy || time.Now().After(end) {
			return c, err
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (s *SQLite) openWriter(ctx context.Context) (*connection, error) {
	c, err := open(s.path, sqlite.OpenReadWrite, s.options.Patience)
	if err != nil {
		return nil, err
	}
	for _, pragma := range []string{
		fmt.Sprintf("PRAGMA page_size = %d", s.options.PageSize),
		"PRAGMA journal_mode = WAL",
		"PRAGMA synchronous = FULL",
		// The log grows to about this many pages before its content is moved to
		// the file: more would take longer to read at the next start, less would
		// write popular pages more often.
		fmt.Sprintf("PRAGMA wal_autocheckpoint = %d", checkpointBytes/s.options.PageSize),
		fmt.Sprintf("PRAGMA journal_size_limit = %d", 4*checkpointBytes),
	} {
		if err := sqlitex.ExecuteTransient(c.Conn, pragma, nil); err != nil {
			c.Close()
			return nil, fmt.Errorf("%s: %w", strings.ToLower(pragma), err)
		}
	}
	if err := c.migrate(ctx); err != nil {
		c.Close()
		return nil, err
	}
	c.recent = new(recent)
	return c, nil
}

const (
	checkpointBytes = 4 << 20
	pageSize        = 1024 // writes the fewest bytes for each sign-in
)

// A connection is a connection with its prepared statements.
type connection struct {
	*sqlite.Conn
	statements []*sqlite.Stmt // by query.index
	broken     error          // a savepoint could not be undone: the transaction must not commit
	spoilt     bool           // the step that runs, or ran last, may have left a part of its writes
	careful    bool           // steps that write are given a savepoint
	loose      bool           // what the step that ran last wrote need not be durable
	recent     *recent        // of the writer; nil: this one reads
	bind       binder
	scan       scanner
}

func open(path string, flags sqlite.OpenFlags, patience time.Duration) (*connection, error) {
	conn, err := sqlite.OpenConn(path, flags)
	if err != nil {
		return nil, err
	}
	conn.SetBusyTimeout(patience)
	c := &connection{Conn: conn, statements: make([]*sqlite.Stmt, len(queries))}
	// The writer keeps what it changes. A reader has room for the inner pages of the
	// tables; a leaf, one of very many, comes from the kernel's cache in microseconds.
	cache := 2048 // KiB
	if flags&sqlite.OpenReadOnly != 0 {
		cache = 512
	}
	for _, pragma := range []string{
		"PRAGMA temp_store = MEMORY",
		fmt.Sprintf("PRAGMA cache_size = -%d", cache),
	} {
		if err := sqlitex.ExecuteTransient(conn, pragma, nil); err != nil {
			conn.Close()
			return nil, fmt.Errorf("%s: %w", strings.ToLower(pragma), err)
		}
	}
	return c, nil
}

// prepare returns the statement of a query, ready to bind.
func (c *connection) prepare(q *query) (*sqlite.Stmt, error) {
	if stmt := c.statements[q.index]; stmt != nil {
		return stmt, nil
	}
	// SQLite counts ?1 but takes $1 for a name, numbered by its first appearance.
	stmt, err := c.Prepare(strings.ReplaceAll(q.text, "$", "?"))
	if err != nil {
		return nil, err
	}
	c.statements[q.index] = stmt
	return stmt, nil
}

// execute runs a statement that returns no rows, with integers or texts as
// parameters.
func (c *connection) execute(q *query, args ...any) error {
	return c.query(q, func(*sqlite.Stmt) error { return nil }, args...)
}

// query runs a statement and calls row for each row of the result.
func (c *connection) query(q *query, row func(*sqlite.Stmt) error, args ...any) error {
	stmt, err := c.prepare(q)
	if err != nil {
		return err
	}
	defer stmt.Reset()
	for i, arg := range args {
		switch v := arg.(type) {
		case int64:
			stmt.BindInt64(i+1, v)
		case int:
			stmt.BindInt64(i+1, int64(v))
		case string:
			stmt.BindText(i+1, v)
		case []byte:
			stmt.BindBytes(i+1, v)
		default:
			return fmt.Errorf("binding %T", arg)
		}
	}
	for {
		switch more, err := stmt.Step(); {
		case err != nil:
			return err
		case !more:
			return nil
		}
		if err := row(stmt); err != nil {
			return err
		}
	}
}

// number runs a statement that returns one integer.
func (c *connection) number(q *query, args ...any) (n int64, err error) {
	err = c.query(q, func(stmt *sqlite.Stmt) error { n = stmt.ColumnInt64(0); return nil }, args...)
	return n, err
}

// pragma reads a setting that is an integer.
func (c *connection) pragma(name string) (n int64, err error) {
	err = sqlitex.ExecuteTransient(c.Conn, "PRAGMA "+name, &sqlitex.ExecOptions{
		ResultFunc: func(stmt *sqlite.Stmt) error { n = stmt.ColumnInt64(0); return nil },
	})
	return n, err
}

// migrate brings the tables up to date. Each migration is a transaction that
// first looks whether another process was quicker.
func (c *connection) migrate(ctx context.Context) error {
	all, err := migrationsFor("sqlite")
	if err != nil {
		return err
	}
	version, err := c.pragma("user_version")
	if err != nil {
		return fmt.Errorf("reading the version of the tables: %w", err)
	}
	owner, err := c.pragma("application_id")
	if err != nil {
		return fmt.Errorf("reading whose file this is: %w", err)
	}
	tables, err := c.pragma("schema_version") // zero: nothing was ever made in it
	if err != nil {
		return fmt.Errorf("reading whether the file is new: %w", err)
	}
	switch {
	case owner != applicationID && (tables != 0 || version != 0 || owner != 0):
		return errors.New("this file belongs to another program")
	case version > int64(len(all)):
		return fmt.Errorf("a newer version of this program made this file (tables %d, this program knows %d)", version, len(all))
	}
	for _, m := range all[version:] {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.apply(m); err != nil {
			return fmt.Errorf("migration %s: %w", m.name, err)
		}
	}
	return nil
}

func (c *connection) apply(m migration) (err error) {
	end, err := sqlitex.ImmediateTransaction(c.Conn)
	if err != nil {
		return err
	}
	defer end(&err)
	switch version, err := c.pragma("user_version"); {
	case err != nil:
		return err
	case version >= int64(m.version):
		return nil // another process was quicker
	}
	return sqlitex.ExecuteScript(c.Conn, fmt.Sprintf("%s;\nPRAGMA user_version = %d;\nPRAGMA application_id = %d;",
		m.text, m.version, applicationID), nil)
}

// read calls f with a connection that nobody else uses meanwhile, inside one
// snapshot.
func (s *SQLite) read(ctx context.Context, f func(*connection) error) error {
	return s.borrow(ctx, func(c *connection) error {
		if err := c.begin(false); err != nil {
			return err
		}
		err := f(c)
		if end := c.execute(rollback); err == nil && end != nil {
			err = end
		}
		return err
	})
}

// borrow calls f with a connection that nobody else uses meanwhile. Each statement
// has a snapshot of its own.
func (s *SQLite) borrow(ctx context.Context, f func(*connection) error) error {
	c, err := s.reader(ctx)
	if err != nil {
		return err
	}
	defer func() { s.readers <- c }()
	if err := ctx.Err(); err != nil {
		return unavailable(err)
	}
	select {
	case <-s.stop: // both were ready
		return unavailable(errClosed)
	default:
	}
	if c == nil {
		opened, err := open(s.path, sqlite.OpenReadOnly, s.options.Patience)
		if err != nil {
			return unavailable(err)
		}
		c = opened
	}
	return c.failed(f(c))
}

// reader waits for a connection that nobody uses, nil for one not opened yet.
func (s *SQLite) reader(ctx context.Context) (*connection, error) {
	select {
	case c := <-s.readers:
		return c, nil
	default:
	}
	s.awaiting.Add(1)
	defer s.awaiting.Add(-1)
	select {
	case c := <-s.readers:
		return c, nil
	case <-ctx.Done():
		return nil, unavailable(context.Cause(ctx))
	case <-s.stop:
		return nil, unavailable(errClosed)
	}
}

// scanning is read for what may take long: it can be interrupted inside a
// statement. It costs a goroutine, which a point read does not pay.
func (s *SQLite) scanning(ctx context.Context, f func(*connection) error) error {
	return s.read(ctx, func(c *connection) error {
		c.SetInterrupt(ctx.Done())
		err := f(c)
		c.SetInterrupt(nil)
		if cause := context.Cause(ctx); err != nil && cause != nil {
			return unavailable(cause)
		}
		return err
	})
}

var errClosed = errors.New("the store is closed")

func unavailable(cause error) error { return splitpin.ErrUnavailable.Because(cause) }

// failed turns what a connection said into the contract's error: whatever
// SQLite itself could not do may pass; a broken promise of ours is internal.
func (c *connection) failed(err error) error {
	if err == nil || errors.Is(err, splitpin.ErrUnavailable) || !passing(err) {
		return err
	}
	return unavailable(err)
}

// passing reports whether err is a trouble of disk, memory or lock, and not of
// the statement or the value.
func passing(err error) bool {
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultOK, sqlite.ResultError, sqlite.ResultConstraint, sqlite.ResultMismatch,
		sqlite.ResultTooBig, sqlite.ResultMisuse, sqlite.ResultRange, sqlite.ResultSchema:
		return false
	}
	return true
}

// Close waits for the steps that were accepted, writes the limits and moves the
// log into the file. Further calls to any method return ErrUnavailable.
func (s *SQLite) Close() error {
	if !s.queue.close() {
		return nil
	}
	close(s.stop)
	<-s.flushed
	<-s.written
	var problems []error
	for range s.size {
		if c := <-s.readers; c != nil {
			problems = append(problems, c.Close())
		}
	}
	if err := s.flushAtClose(); err != nil {
		problems = append(problems, fmt.Errorf("writing the limits: %w", err))
	}
	// Moves what it can; another process that reads may hold it up, and then that
	// process, or the next start, does it.
	sqlitex.ExecuteTransient(s.writer.Conn, "PRAGMA wal_checkpoint(TRUNCATE)", nil)
	problems = append(problems, s.writer.Close())
	return errors.Join(problems...)
}
