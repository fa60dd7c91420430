package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// A link is a connection with the statements that were prepared on it.
type link struct {
	*pgconn.PgConn
	statements  []*pgconn.StatementDescription // by query.index; nil: not prepared
	unnamed     bool                           // prepare nothing: another server process may run the next transaction
	incarnation string                         // of the server when this was opened

	bind  pgBinder
	scan  pgScanner
	asked []request // of the trip under way, kept for its memory
}

// A trip is one round trip: statements that are sent together, and their results in
// the same order. The first that fails fails those after it.
type trip struct {
	link *link
	pipe *pgconn.Pipeline
	err  error // found before anything was sent

	unread error // the first row that could not be read, or that whoever read it refused
}

// A request is one statement of a trip.
type request struct {
	query *query
	named bool                    // it is prepared in this very trip
	row   func(*pgScanner) error  // called for each row; nil: rows do not matter
	done  func(pgconn.CommandTag) // called at the end; nil: nobody wants to know
}

// How long a server may take for a trip before its connection is given up for lost: one
// that somebody waits for, which may spend lockTimeout waiting, and one that does a
// long piece of work, for which the server has statementTimeout.
const (
	stepTime = 7 * time.Second
	workTime = time.Minute
)

// binary is the format of every parameter and every column.
var binaryFormat = []int16{1}

// trip begins a trip. When ctx or patience ends before the answers are there, the
// connection is closed, and the server told to stop.
func (l *link) trip(ctx context.Context, patience time.Duration) *trip {
	l.asked = l.asked[:0]
	if err := l.Conn().SetDeadline(time.Now().Add(patience)); err != nil {
		return &trip{link: l, err: err}
	}
	return &trip{link: l, pipe: l.StartPipeline(ctx)}
}

// send adds a statement with plain parameters.
func (t *trip) send(q *query, row func(*pgScanner) error, args ...any) {
	t.link.bind.reset(len(args))
	t.link.bind.bind(args)
	t.sendBound(q, request{query: q, row: row})
}

// sendBound adds a statement whose parameters the binder holds. They are written to
// the buffer of the connection at once.
func (t *trip) sendBound(q *query, a request) {
	l := t.link
	if l.bind.err != nil && t.err == nil {
		t.err = l.bind.err
	}
	if t.err != nil {
		return
	}
	switch prepared := l.statements[q.index]; {
	case l.unnamed:
		t.pipe.SendQueryParams(q.text, l.bind.values, l.bind.types, binaryFormat, binaryFormat)
	case prepared != nil:
		t.pipe.SendQueryStatement(prepared, l.bind.values, binaryFormat, binaryFormat)
	default:
		a.named = true
		for _, earlier := range l.asked { // in this trip
			if earlier.query == q {
				a.named = false
			}
		}
		name := "q" + strconv.Itoa(q.index)
		if a.named {
			t.pipe.SendPrepare(name, q.text, l.bind.types)
		}
		t.pipe.SendQueryPrepared(name, l.bind.values, binaryFormat, binaryFormat)
	}
	l.asked = append(l.asked, a)
}

// end sends what was added and reads the answers. The error of the server, where it
// gave one, is a *pgconn.PgError; after any other the connection is closed, or
// nothing was sent.
func (t *trip) end() error {
	if t.err != nil { // unsynced statements would close the connection: nothing was flushed yet
		if t.pipe != nil {
			t.pipe.Close()
		}
		return t.err
	}
	if err := t.pipe.Sync(); err != nil {
		t.pipe.Close()
		return err
	}
	var failed error
	for _, a := range t.link.asked {
		if failed = t.read(a); failed != nil {
			break
		}
	}
	closing := t.pipe.Close() // reads what is left, and repeats an error that was seen
	if !t.link.IsClosed() {
		// What is no trip, like a migration or a copy, takes as long as it takes.
		if err := t.link.Conn().SetDeadline(time.Time{}); failed == nil && closing == nil && err != nil {
			return err
		}
	}
	switch {
	case failed != nil:
		return failed
	case closing != nil:
		return closing
	case t.unread != nil:
		return fmt.Errorf("reading a row: %w", t.unread)
	}
	return nil
}

func (t *trip) read(a request) error {
	l := t.link
	if a.named {
		result, err := t.pipe.GetResults()
		if err != nil {
			return fmt.Errorf("preparing %q: %w", a.query.text, err)
		}
		prepared, ok := result.(*pgconn.StatementDescription)
		if !ok {
			return fmt.Errorf("preparing %q: an unexpected answer", a.query.text)
		}
		prepared.Name = "q" + strconv.Itoa(a.query.index)
		l.statements[a.query.index] = prepared
	}
	result, err := t.pipe.GetResults()
	if err != nil {
		return err
	}
	reader, ok := result.(*pgconn.ResultReader)
	if !ok {
		return errors.New("an unexpected answer to a statement")
	}
	for reader.NextRow() {
		if a.row != nil && t.unread == nil {
			l.scan = pgScanner{row: reader.Values()}
			if t.unread = a.row(&l.scan); t.unread == nil {
				t.unread = l.scan.err
			}
		}
	}
	tag, err := reader.Close()
	if err != nil {
		return err
	}
	if a.done != nil {
		a.done(tag)
	}
	return nil
}

// sendRecord adds a statement with the columns of a record.
func sendRecord[R any](t *trip, tab *table[R], q *query, r *R) {
	t.link.bind.reset(q.parameters)
	tab.visit(r, &t.link.bind)
	t.sendBound(q, request{query: q})
}

// sendFor adds a statement whose rows are records.
func sendFor[R any](t *trip, tab *table[R], q *query, found func(*R), args ...any) {
	t.send(q, func(s *pgScanner) error {
		r := new(R)
		tab.visit(r, s)
		found(r)
		return nil
	}, args...)
}
