package store

import (
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"sync"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/splitpin/splitpin"
)

// limits keeps the marks of Take in memory, which one process can, and writes
// those that changed to the file every few seconds as a log: sixteen bytes each
// instead of a page. When the log holds mostly old news it is written anew.
type limits struct {
	mu    sync.Mutex
	marks map[int64]int64 // LimitKey → when its bucket is full again, µs
	dirty map[int64]int64 // those changed since the last flush; zero: full

	logged int   // entries in the file
	last   int64 // the newest row of the log that is known here
}

const (
	// limitsMax bounds the memory: some 40 MB, when a million addresses are
	// limited at once. Beyond it those that are nearest to full are forgotten.
	limitsMax = 1 << 20
	// limitsChunk is how many entries a row of the log holds.
	limitsChunk = 512
)

var (
	limitsAfter = newQuery("SELECT number, entries FROM limits WHERE number > $1 ORDER BY number")
	limitsAdd   = newQuery("INSERT INTO limits (number, entries) VALUES ($1, $2)")
	limitsClear = newQuery("DELETE FROM limits WHERE number <= $1")
)

// Take implements [splitpin.Store]. It never touches the disk.
func (s *SQLite) Take(ctx context.Context, now time.Time, charges ...splitpin.Charge) (refused int, wait time.Duration, err error) {
	if ctx.Err() != nil {
		return -1, 0, unavailable(context.Cause(ctx))
	}
	select {
	case <-s.stop:
		return -1, 0, unavailable(errClosed)
	default:
	}
	if err := distinct(charges); err != nil {
		return -1, 0, err
	}
	refused, wait = s.limits.take(now, charges)
	return refused, wait, nil
}

func (l *limits) take(now time.Time, charges []splitpin.Charge) (refused int, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	marks := make([]int64, 0, 8)
	for i, c := range charges {
		mark, wait := charge(l.marks[c.Key], c, now)
		if wait > 0 {
			// A mark too far ahead was pulled back; that counts, refused or not, or
			// it would never come nearer.
			l.set(c.Key, mark, now)
			return i, wait
		}
		marks = append(marks, mark)
	}
	for i, c := range charges {
		l.set(c.Key, marks[i], now)
	}
	return -1, 0
}

// set keeps a mark, or forgets one that is full.
func (l *limits) set(key, mark int64, now time.Time) {
	old, had := l.marks[key]
	full := mark <= now.UnixMicro()
	switch {
	case full && !had, !full && had && old == mark:
		return
	case full:
		delete(l.marks, key)
		mark = 0
	default:
		if !had && len(l.marks) >= limitsMax {
			l.shrink(now)
		}
		l.marks[key] = mark
	}
	l.dirty[key] = mark
}

// shrink forgets what is full, and where that is little, about the eighth that is
// nearest to it. Which those are, a sample tells: everybody waits meanwhile.
func (l *limits) shrink(now time.Time) {
	l.prune(now, len(l.marks))
	if len(l.marks) < limitsMax-limitsMax/8 {
		return
	}
	sample := make([]int64, 0, 4096)
	for _, mark := range l.marks { // in an order that knows nothing of marks
		if sample = append(sample, mark); len(sample) == cap(sample) {
			break
		}
	}
	slices.Sort(sample)
	bar := sample[len(sample)/8]
	for key, mark := range l.marks {
		if mark <= bar {
			delete(l.marks, key)
		}
	}
}

// prune forgets at most most of those that are full and returns how many. The
// log does not hear of it: a mark in the past is a full bucket there too.
func (l *limits) prune(now time.Time, most int) (gone int) {
	at := now.UnixMicro()
	for key, mark := range l.marks {
		if gone == most {
			break
		}
		if mark <= at {
			delete(l.marks, key)
			gone++
		}
	}
	return gone
}

// load reads the log at start.
func (l *limits) load(c *connection, now time.Time) error {
	l.marks, l.dirty = make(map[int64]int64), make(map[int64]int64)
	if err := l.merge(c); err != nil {
		return err
	}
	l.prune(now, len(l.marks))
	return nil
}

// merge reads what others appended to the log. A key that changed here too gets
// the stricter mark.
func (l *limits) merge(c *connection) error {
	return c.query(limitsAfter, func(stmt *sqlite.Stmt) error {
		l.last = stmt.ColumnInt64(0)
		entries := make([]byte, stmt.ColumnLen(1))
		stmt.ColumnBytes(1, entries)
		for ; len(entries) >= 16; entries = entries[16:] {
			key := int64(binary.BigEndian.Uint64(entries))
			mark := int64(binary.BigEndian.Uint64(entries[8:]))
			if own, changed := l.dirty[key]; changed {
				mark = max(mark, own)
				l.dirty[key] = mark
			}
			l.marks[key] = mark
			l.logged++
		}
		return nil
	}, l.last)
}

// flush writes what changed since the last time, as a step of the writer.
func (s *SQLite) flush(do func(run func(*connection) error) error) error {
	l := &s.limits
	l.mu.Lock()
	idle := len(l.dirty) == 0
	l.mu.Unlock()
	if idle {
		return nil
	}
	var taken map[int64]int64 // what was dirty
	var last int64
	var logged int
	err := do(func(c *connection) error {
		l.mu.Lock()
		l.giveBack(taken) // a first run took it, and nothing of that was written
		taken = nil
		if err := l.merge(c); err != nil {
			l.mu.Unlock()
			return err
		}
		anew := l.logged+len(l.dirty) > 2*len(l.marks)+4*limitsChunk
		taken, l.dirty = l.dirty, make(map[int64]int64)
		last, logged = l.last, l.logged
		written := taken
		if anew {
			written, logged = maps.Clone(l.marks), 0
		}
		l.mu.Unlock() // the rest takes a while when there is much, and nobody waits for it

		// The order does not matter: a key stands once in what a flush writes.
		entries := make([]byte, 0, 16*len(written))
		for key, mark := range written {
			entries = binary.BigEndian.AppendUint64(entries, uint64(key))
			entries = binary.BigEndian.AppendUint64(entries, uint64(mark))
		}
		logged += len(written)
		return c.atomically(func() error {
			if anew {
				if err := c.execute(limitsClear, last); err != nil {
					return err
				}
			}
			for chunk := range slices.Chunk(entries, 16*limitsChunk) {
				last++
				if err := c.execute(limitsAdd, last, chunk); err != nil {
					return err
				}
			}
			return nil
		})
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.giveBack(taken)
		return err
	}
	l.last, l.logged = last, logged
	return nil
}

// giveBack makes dirty again what a flush took and did not write.
func (l *limits) giveBack(taken map[int64]int64) {
	for key, mark := range taken {
		if _, newer := l.dirty[key]; !newer {
			l.dirty[key] = mark
		}
	}
}

// flushRegularly flushes until Close. A flush that fails is tried again at the
// next turn; until then the limits hold in memory.
func (s *SQLite) flushRegularly() {
	defer close(s.flushed)
	turn := time.NewTicker(s.options.FlushEvery)
	defer turn.Stop()
	for {
		select {
		case <-turn.C:
			s.flush(func(run func(*connection) error) error { return s.doKnown(context.Background(), run) })
		case <-s.stop:
			return
		}
	}
}

// flushAtClose flushes when writer and flusher have ended.
func (s *SQLite) flushAtClose() error {
	return s.flush(func(run func(*connection) error) error {
		if err := s.writer.begin(true); err != nil {
			return err
		}
		if err := run(s.writer); err != nil {
			s.writer.execute(rollback)
			return err
		}
		return s.writer.execute(commit)
	})
}
