package store

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/splitpin/splitpin"
)

// numbers hands out the numbers of a block that was reserved in the database.
type numbers struct {
	mu         sync.Mutex
	next, last int64
	reserved   time.Time // by this machine's clock
}

const (
	// numberBlock is how many numbers one commit reserves. A crash loses what is
	// left of a block.
	numberBlock = 1024
	// blockFor is how long numbers are taken of one block: a process that has little to
	// do would give numbers of last week to what happens today.
	blockFor = time.Minute
	// eventsApart is more than the time by which an event may be newer than one with a
	// higher number: blockFor, what the clocks of two nodes differ by, and how long a
	// request may take between its moment and its number.
	eventsApart = 5 * time.Minute
)

// NextNumber implements [splitpin.Store].
func (s *SQLite) NextNumber(ctx context.Context) (int64, error) {
	return s.numbers.take(ctx, func(ctx context.Context) (end int64, err error) {
		err = s.doKnown(ctx, func(c *connection) (err error) {
			end, err = c.number(counterAdd, "numbers", numberBlock)
			return err
		})
		return end, err
	})
}

// NextNumber implements [splitpin.Store]. A block that was reserved twice because an
// answer was lost is a gap.
func (s *Postgres) NextNumber(ctx context.Context) (int64, error) {
	select {
	case <-s.closing:
		return 0, unavailable(errClosed)
	default:
	}
	return s.numbers.take(ctx, func(ctx context.Context) (int64, error) {
		return s.number(ctx, counterAdd, "numbers", numberBlock)
	})
}

// take hands out the next number. reserve makes sure of another block and returns its
// last number.
func (n *numbers) take(ctx context.Context, reserve func(context.Context) (end int64, err error)) (int64, error) {
	if ctx.Err() != nil {
		return 0, unavailable(context.Cause(ctx))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now().Round(0) // as the clock on the wall: a machine may have slept
	if age := now.Sub(n.reserved); n.next == n.last || age < 0 || age > blockFor {
		// The reservation does not depend on one caller's patience: others wait
		// for the same block.
		end, err := reserve(context.WithoutCancel(ctx))
		if err != nil {
			return 0, err
		}
		n.next, n.last, n.reserved = end-numberBlock, end, now
	}
	n.next++
	return n.next, nil
}

// newestEvents is AuditEvents of an engine, which lists by a query. The table has no index
// on the time, which would cost every sign-in a page: numbers are nearly in its order. So
// the last by number tell from when on the newest are, and those of about that time and
// later are put in order.
func newestEvents(f splitpin.AuditFilter, limit int, list func(q *query, args ...any) ([]*splitpin.AuditEvent, error)) ([]*splitpin.AuditEvent, error) {
	wanted := []any{f.Project, f.User, f.Session, f.Kind, asked(f.Subject != [12]byte{}), f.Subject[:], max(limit, 0)}
	found, err := list(eventsNewer, wanted...)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	if len(found) == limit { // otherwise these are all
		since := slices.MinFunc(found, func(a, b *splitpin.AuditEvent) int { return a.At.Compare(b.At) }).At.Add(-eventsApart)
		return list(eventsSince, append(wanted, since.UnixMicro())...)
	}
	slices.SortFunc(found, func(a, b *splitpin.AuditEvent) int { // as the query does
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(b.Number, a.Number))
	})
	return found, nil
}
