package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"github.com/splitpin/splitpin"
)

// PostgresOptions are what the URL of a database does not say. The zero value is
// usable.
type PostgresOptions struct {
	Password    splitpin.Secret // counts before that of the URL; empty: the URL's, PGPASSWORD or ~/.pgpass
	Connections int             // at most so many at once, at least two; zero: 16
	Pooler      bool            // a pooler like PgBouncer lies between, in transaction mode: nothing lasts longer than a transaction
	Unsafe      bool            // accept a server that may lose what it said was committed, and a way to it on which others can read
	Queue       int             // how many calls may wait for a connection; more are refused with ErrUnavailable; zero: 4096

	// Committed, where it is set, hears of every step that wrote and was committed,
	// or could not be; Open sets it to that of Options.
	Committed func(Commit)

	// Command is set by who serves nobody: its connections have a name of their own,
	// by which Others leaves them out.
	Command bool

	alone   bool // steps share no transaction
	moved   bool // see Options.Moved
	filling bool // what is there is a part of a copy, and is being made whole
}

// A Postgres keeps everything in a PostgreSQL database, which any number of nodes
// may share. It implements [splitpin.Store] and is safe for concurrent use.
//
// A step is one transaction of two round trips: the first locks and loads, the
// second writes and commits. The locks are those of rows, taken in the order that
// the contract names, under READ COMMITTED: whoever waited for a lock sees what was
// committed by whom it waited for. What an index keeps unique is left to the index.
type Postgres struct {
	config  *pgconn.Config
	nodes   string // what the connections of nodes are called
	options PostgresOptions
	pool    *puddle.Pool[*link]
	closing chan struct{}
	close   sync.Once

	numbers numbers
	era     atomic.Pointer[era]
	sweeps  sweeps
	takes   *queue[*takeCall]
	steps   *queue[*stepCall]
	looks   *queue[*lookCall]

	held      atomic.Int32  // steps that wait in a group: for their turn, or to run alone
	awaiting  atomic.Int32  // calls that wait for a connection
	refused   atomic.Uint64 // calls that found too many waiting
	conflicts atomic.Uint64 // runs of a step that were repeated
}

var _ Database = (*Postgres)(nil)

// Timeouts that the server is given, so that the locks of a node that died end, and
// nobody waits for ever.
const (
	idleTimeout      = 10 * time.Second // between the two trips of a step
	lockTimeout      = 5 * time.Second
	statementTimeout = 30 * time.Second
)

// acquireTime is how long a call waits for a connection, or to be begun.
const acquireTime = 5 * time.Second

// OpenPostgres opens a database on PostgreSQL, making its tables where they are
// missing. It refuses one that another program or a newer version made, and a server
// that does not keep what it says was committed. The URL may name several hosts;
// then the one that accepts writes counts, also after it moved.
func OpenPostgres(ctx context.Context, database string, o PostgresOptions) (*Postgres, error) {
	if o.Connections <= 0 {
		o.Connections = 16
	}
	if o.Queue <= 0 {
		o.Queue = 4096
	}
	config, err := parseAddress(database, o)
	if err != nil {
		return nil, fmt.Errorf("opening the database: what was given %w", err)
	}
	if o.Password != "" {
		config.Password = o.Password.Reveal()
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 5 * time.Second
	}
	if config.ValidateConnect == nil && len(config.Fallbacks) > 0 {
		config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	nodes := config.RuntimeParams["application_name"]
	if nodes == "" {
		nodes = "splitpin"
	}
	config.RuntimeParams["application_name"] = nodes
	if o.Command {
		config.RuntimeParams["application_name"] += " command"
	}
	if !o.Pooler { // a pooler shares sessions, and refuses settings of one
		for name, value := range planning {
			config.RuntimeParams[name] = value
		}
		for name, t := range timeouts {
			config.RuntimeParams[name] = strconv.FormatInt(t.Milliseconds(), 10)
		}
	}
	s := &Postgres{config: config, nodes: nodes, options: o, closing: make(chan struct{})}
	s.pool, err = puddle.NewPool(&puddle.Config[*link]{
		Constructor: s.connect,
		Destructor: func(l *link) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			l.Close(ctx)
		},
		MaxSize: int32(max(o.Connections, 2)),
	})
	if err != nil {
		return nil, fmt.Errorf("making the pool of connections: %w", err)
	}
	first, err := s.pool.Acquire(ctx)
	if err != nil {
		s.pool.Close()
		return nil, s.advise(err)
	}
	if err := first.Value().migrate(ctx); err != nil {
		first.Destroy()
		s.pool.Close()
		return nil, s.advise(fmt.Errorf("bringing the tables up to date: %w", err))
	}
	unfinished, err := first.Value().text(ctx, "SELECT to_regclass('"+copyingTable+"')")
	if err == nil && unfinished != "" && !o.filling {
		err = errCopying
	}
	if err == nil && !o.filling && !o.moved {
		var moved string
		if moved, err = first.Value().text(ctx, readingMark(MovedAt)); err == nil && moved != "" {
			err = ErrMoved
		}
	}
	first.Destroy() // it knew no incarnation before there were tables
	if err != nil {
		s.pool.Close()
		return nil, s.advise(err)
	}
	s.takes, s.steps, s.looks = s.newTakes(), s.newSteps(), s.newLooks()
	s.takes.start(o.Queue)
	s.steps.start(o.Queue)
	s.looks.start(o.Queue)
	if err := s.Current(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Every statement of a step finds its rows by an index. A plan is kept from when a
// connection was opened, perhaps on empty tables, where the server would rather read
// them whole; so it is told not to.
var planning = map[string]string{
	"plan_cache_mode":  "force_generic_plan",
	"jit":              "off",
	"enable_seqscan":   "off",
	"enable_hashjoin":  "off",
	"enable_mergejoin": "off",
}

var timeouts = map[string]time.Duration{
	"idle_in_transaction_session_timeout": idleTimeout,
	"lock_timeout":                        lockTimeout,
	"statement_timeout":                   statementTimeout,
}

var (
	pgBegin         = newQuery("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
	pgBeginSnapshot = newQuery("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
	pgCommit        = newQuery("COMMIT")
	pgRollback      = newQuery("ROLLBACK")

	// Where no session lasts, each transaction brings its timeouts.
	pgTimeouts = newQuery(`SELECT set_config('idle_in_transaction_session_timeout', '%d', true),
		set_config('lock_timeout', '%d', true), set_config('statement_timeout', '%d', true)`,
		idleTimeout.Milliseconds(), lockTimeout.Milliseconds(), statementTimeout.Milliseconds())

	pgServer = newQuery(`SELECT current_setting('server_version_num')::bigint,
		current_setting('fsync') || ' ' || current_setting('synchronous_commit'),
		(to_regclass('incarnation') IS NOT NULL)::int::bigint`)
	pgIncarnation    = newQuery("SELECT id::text FROM incarnation")
	pgNewIncarnation = newQuery("INSERT INTO incarnation (single, id) VALUES (true, gen_random_uuid()) ON CONFLICT (single) DO NOTHING")
	pgNow            = newQuery("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
)

// OldestPostgres is the oldest major version of PostgreSQL that the store works with.
const OldestPostgres = 14

// connect opens a connection and looks whom it reached.
func (s *Postgres) connect(ctx context.Context) (*link, error) {
	conn, err := pgconn.ConnectConfig(ctx, s.config)
	if err != nil {
		return nil, err
	}
	l := &link{PgConn: conn, statements: make([]*pgconn.StatementDescription, len(queries)), unnamed: s.options.Pooler}
	if err := l.inspect(ctx, s.options.Unsafe); err != nil {
		l.Close(ctx)
		return nil, err
	}
	return l, nil
}

func (l *link) inspect(ctx context.Context, unsafe bool) error {
	var version, made int64
	var durable string
	t := l.trip(ctx, stepTime)
	t.send(pgServer, func(s *pgScanner) error {
		s.Int64(&version)
		s.Text(&durable)
		s.Int64(&made)
		return nil
	})
	if err := t.end(); err != nil {
		return err
	}
	fsync, commits, _ := strings.Cut(durable, " ")
	switch {
	case version/10_000 < OldestPostgres:
		return refusal(fmt.Sprintf("this is PostgreSQL %d, and Splitpin needs %d or later: upgrade the server", version/10_000, OldestPostgres))
	case !unsafe && fsync != "on":
		return refusal("this PostgreSQL runs with fsync off, so a crash of its machine may destroy the data: set fsync = on in postgresql.conf")
	case !unsafe && commits == "off":
		return refusal("synchronous_commit is off for this user, so PostgreSQL forgets the last commits in a crash: " +
			"set it on with ALTER ROLE … SET synchronous_commit = on, or in postgresql.conf")
	case made == 0:
		return nil // the tables come in a moment
	}
	read := func() error {
		t := l.trip(ctx, stepTime)
		t.send(pgIncarnation, func(s *pgScanner) error { s.Text(&l.incarnation); return nil })
		return t.end()
	}
	if err := read(); err != nil || l.incarnation != "" {
		return err
	}
	t = l.trip(ctx, stepTime) // the first after a crash
	t.send(pgNewIncarnation, nil)
	if err := t.end(); err != nil {
		return err
	}
	return read()
}

// A refusal says why a server is not used; trying again will not help.
type refusal string

func (r refusal) Error() string { return string(r) }

// advise says what to do about an error at the start.
func (s *Postgres) advise(err error) error {
	c := s.config
	var answer *pgconn.PgError
	var unreachable *net.OpError
	advice := ""
	switch {
	case errors.As(err, new(refusal)):
	case errors.As(err, &answer):
		switch answer.Code {
		case "28000", "28P01":
			advice = fmt.Sprintf("the server does not let the user %q in: look at the password (database_password_file) and at pg_hba.conf", c.User)
		case "3D000":
			advice = fmt.Sprintf("make the database first: CREATE DATABASE %s OWNER %s", c.Database, c.User)
		case "42501":
			advice = fmt.Sprintf("the user %q may not make tables there: ALTER DATABASE %s OWNER TO %s", c.User, c.Database, c.User)
		case "42P07":
			advice = "the database holds tables of another program: give Splitpin one of its own"
		case "42704", "08P01": // a pooler refuses what it does not know
			advice = "if this is a pooler such as PgBouncer, set database_pooler: true"
		case "53300":
			advice = "the server has no connection to spare: lower database_connections, or raise max_connections there"
		}
	case errors.As(err, &unreachable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrNotExist):
		advice = "see whether PostgreSQL runs there and whether this machine may reach it"
	}
	if advice != "" {
		return fmt.Errorf("opening the database: %w\n%s", err, advice)
	}
	return fmt.Errorf("opening the database: %w", err)
}

var errTooMany = errors.New("too many calls are waiting for a connection")

// acquire returns a connection, waiting for one where all are at work. Nobody who
// has one may ask for another.
func (s *Postgres) acquire(ctx context.Context) (*puddle.Resource[*link], error) {
	select {
	case <-s.closing:
		return nil, unavailable(errClosed)
	default:
		return s.pooled(ctx)
	}
}

// pooled is acquire also while the store closes.
func (s *Postgres) pooled(ctx context.Context) (*puddle.Resource[*link], error) {
	if err := ctx.Err(); err != nil {
		return nil, unavailable(context.Cause(ctx))
	}
	if r, err := s.pool.TryAcquire(ctx); err == nil {
		return r, nil
	}
	if int(s.awaiting.Add(1)) > s.options.Queue {
		s.awaiting.Add(-1)
		s.refused.Add(1)
		return nil, splitpin.ErrUnavailable.After(time.Second).Because(errTooMany)
	}
	defer s.awaiting.Add(-1)
	patient, cancel := context.WithTimeoutCause(ctx, acquireTime, errTooMany)
	defer cancel()
	r, err := s.pool.Acquire(patient)
	switch {
	case err == nil:
		return r, nil
	case ctx.Err() != nil:
		return nil, unavailable(context.Cause(ctx))
	case patient.Err() != nil:
		s.refused.Add(1)
		return nil, splitpin.ErrUnavailable.After(time.Second).Because(errTooMany)
	case errors.Is(err, puddle.ErrClosedPool):
		return nil, unavailable(errClosed)
	}
	return nil, unavailable(fmt.Errorf("connecting to the database: %w", err))
}

// release gives a connection back. One in the middle of a transaction, which a step
// left that failed or panicked, ends it first.
func (s *Postgres) release(r *puddle.Resource[*link]) {
	l := r.Value()
	if !l.IsClosed() && !l.IsBusy() && l.TxStatus() != 'I' {
		t := l.trip(context.Background(), stepTime)
		t.send(pgRollback, nil)
		t.end()
	}
	if l.IsClosed() || l.IsBusy() || l.TxStatus() != 'I' {
		r.Destroy()
		return
	}
	r.Release()
}

// A fate is what became of a trip or of a whole run.
type fate int

const (
	done      fate = iota // it did not fail
	broken                // the statement or the value is wrong: nothing was done, and never will be
	taken                 // a record to create is there already
	conflict              // another transaction was in the way: the same again may do
	lost                  // the connection is gone
	unable                // the server could not just now
	elsewhere             // this server takes no writes (any more)
)

// fateOf tells what an error of a trip means. For all but lost the server said that
// it did not commit.
func fateOf(err error) fate {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return lost
	}
	switch answer.Code {
	case "23505":
		return taken
	case "40001", "40P01":
		return conflict
	case "25006", "57P01", "57P02", "57P03", "25P03", "26000":
		return elsewhere
	}
	switch answer.Code[:2] {
	case "08", "53", "55", "57", "58", "XX":
		return unable
	}
	return broken
}

// once runs one statement, or several reads as of one moment, in a trip of its own.
// It asks another connection where one was lost, so what it runs must do no harm when
// it is done twice.
func (s *Postgres) once(ctx context.Context, send func(*trip)) error {
	return s.within(ctx, stepTime, send)
}

// atLength is once for what nobody waits for in a request, or may be long.
func (s *Postgres) atLength(ctx context.Context, send func(*trip)) error {
	return s.within(ctx, workTime, send)
}

func (s *Postgres) within(ctx context.Context, patience time.Duration, send func(*trip)) error {
	return s.repeat(ctx, func() (fate, error) {
		r, err := s.acquire(ctx)
		if err != nil {
			return broken, err
		}
		defer s.release(r)
		t := r.Value().trip(ctx, patience)
		send(t)
		return s.ended(ctx, t)
	})
}

// ended ends a trip and tells how.
func (s *Postgres) ended(ctx context.Context, t *trip) (fate, error) {
	unsent := t.err
	err := t.end()
	switch {
	case err == nil:
		return done, nil
	case unsent != nil && !t.link.IsClosed(), t.unread != nil:
		return broken, err
	case ctx.Err() != nil:
		return broken, unavailable(context.Cause(ctx))
	}
	return fateOf(err), err
}

// runsAfterLoss bounds how often one call meets connections that are dead, and
// runsAfterConflict how often it yields to others.
const (
	runsAfterLoss     = 3
	runsAfterConflict = 10
)

// repeat runs f until it succeeds or another run would not help. Nobody who waited in
// vain for an answer begins again: the next server may be as silent.
func (s *Postgres) repeat(ctx context.Context, f func() (fate, error)) error {
	began := time.Now()
	takenRuns, conflicts, losses := 0, 0, 0
	for {
		why, err := f()
		if err == nil || errors.Is(err, splitpin.ErrUnavailable) {
			return err
		}
		switch why {
		case taken:
			if takenRuns++; takenRuns >= attemptsPerStep {
				return splitpin.ErrConflict.Because(errTaken)
			}
			s.conflicts.Add(1)
		case conflict:
			if conflicts++; conflicts >= runsAfterConflict {
				return unavailable(err)
			}
			s.conflicts.Add(1)
		case lost, elsewhere:
			// Where one connection was lost, those that lie idle probably were too.
			s.pool.Reset()
			if losses++; losses >= runsAfterLoss || time.Since(began) >= stepTime {
				return unavailable(err)
			}
		case unable:
			return unavailable(err)
		default:
			return err
		}
		if ctx.Err() != nil {
			return unavailable(context.Cause(ctx))
		}
	}
}

// Engine implements [Database].
func (s *Postgres) Engine() string { return "postgres" }

// Now implements [splitpin.Store].
func (s *Postgres) Now(ctx context.Context) (now time.Time, err error) {
	err = s.once(ctx, func(t *trip) {
		t.send(pgNow, func(s *pgScanner) error { s.Time(&now); return nil })
	})
	return now, err
}

// Stats implements [Database].
func (s *Postgres) Stats() Stats {
	pool := s.pool.Stat()
	return Stats{
		Waiting: len(s.steps.calls) + int(s.held.Load()), Taking: len(s.takes.calls), Queue: s.options.Queue,
		Busy: int(pool.AcquiredResources()), Connections: int(pool.MaxResources()), Awaiting: int(s.awaiting.Load()),
		Refused: s.refused.Load() + s.steps.refused.Load() + s.takes.refused.Load() + s.looks.refused.Load(), Conflicts: s.conflicts.Load(),
	}
}

// Close waits for the calls under way. Further calls to any method return
// ErrUnavailable.
func (s *Postgres) Close() error {
	s.close.Do(func() {
		close(s.closing)
		s.takes.stop()
		s.steps.stop()
		s.looks.stop()
		s.pool.Close()
	})
	return nil
}
