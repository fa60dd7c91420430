package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// A shape is how a table is copied, between any two engines: row by row, as the
// values of its columns.
type shape struct {
	name    string
	columns []string
	kinds   []kind

	// ranged tables are read and written in ranges of their first column, which is
	// an integer key. The others are small, and read and written whole.
	ranged bool
}

// A kind is what a column holds in every engine. A row has an int64, a string or
// a []byte there; truth is an integer that is 0 or 1.
type kind byte

const (
	integer kind = iota
	truth
	text
	blob
)

// kinds notes the kind of each column it visits.
type kinds []kind

func (k *kinds) Int64(*int64)    { *k = append(*k, integer) }
func (k *kinds) Int(*int)        { *k = append(*k, integer) }
func (k *kinds) Int8(*int8)      { *k = append(*k, integer) }
func (k *kinds) Uint32(*uint32)  { *k = append(*k, integer) }
func (k *kinds) Bool(*bool)      { *k = append(*k, truth) }
func (k *kinds) Text(*string)    { *k = append(*k, text) }
func (k *kinds) Bytes(*[]byte)   { *k = append(*k, blob) }
func (k *kinds) Fixed([]byte)    { *k = append(*k, blob) }
func (k *kinds) Time(*time.Time) { *k = append(*k, integer) }
func (k *kinds) JSON(any)        { *k = append(*k, text) }

func shapeOf[R any](t *table[R], ranged bool) *shape {
	s := &shape{name: t.name, columns: strings.Split(t.list, ", "), ranged: ranged}
	t.visit(new(R), (*kinds)(&s.kinds))
	return s
}

// limitsShape is the limits as every engine can say them: the key and when the
// bucket is full again, for those that are not full.
var limitsShape = &shape{name: "limits", columns: []string{"key", "mark"}, kinds: []kind{integer, integer}, ranged: true}

// shapes are all tables, in the order in which they are copied. A test holds them
// against the tables of each engine.
var shapes = []*shape{
	shapeOf(projects, true),
	shapeOf(dataKeys, false),
	shapeOf(signingKeys, true),
	shapeOf(users, true),
	shapeOf(attempts, true),
	shapeOf(grants, true),
	shapeOf(guesses, true),
	shapeOf(sessions, true),
	shapeOf(credentials, true),
	shapeOf(messages, true),
	shapeOf(auditEvents, true),
	limitsShape,
	{name: "marks", columns: []string{"name", "value"}, kinds: []kind{text, text}},
	// Last: the numbers that were handed out cover every row above.
	{name: "counters", columns: []string{"name", "value"}, kinds: []kind{text, integer}},
}

// A row holds the values of a shape's columns.
type row []any

// key is what a ranged table is ordered by.
func (r row) key() int64 { return r[0].(int64) }

// A snapshot is an installation as of one moment.
type snapshot interface {
	// scan calls each for the rows of t whose key is at least from and at most to,
	// by ascending key, at most limit of them; of a table that is not ranged for
	// all, in any order. The row is each's to keep.
	scan(ctx context.Context, t *shape, from, to int64, limit int, each func(row) error) error
	// count returns how many rows a table has, for the progress.
	count(ctx context.Context, t *shape) (int64, error)
	close() error
}

// A target is what a copy is written to.
type target interface {
	// scan is as for a snapshot, of what is there now.
	scan(ctx context.Context, t *shape, from, to int64, limit int, each func(row) error) error
	// save replaces the rows of t from key from to key to, or the whole of a table
	// that is not ranged, in one commit: after an interruption all of them are
	// there or none.
	save(ctx context.Context, t *shape, from, to int64, rows []row) error
}

const (
	// chunkRows is how many rows of a ranged table are read, written and compared
	// at once. The digests of backups depend on it.
	chunkRows = 2000
	// wholeRows bounds the tables that are not ranged; chunkBytes what is held in
	// memory at once. No installation comes near them; a file that somebody made up
	// may.
	wholeRows  = 100_000
	chunkBytes = 256 << 20
)

// A reader is either side.
type reader interface {
	scan(ctx context.Context, t *shape, from, to int64, limit int, each func(row) error) error
}

// digest reads at most limit rows of a range without keeping them. What it returns
// ends with the last of them where there may be more.
func digest(ctx context.Context, r reader, t *shape, from, to int64, limit int) (span, error) {
	d := newDigester(t, from, to, limit)
	if err := r.scan(ctx, t, from, to, limit, d.add); err != nil {
		return span{}, err
	}
	return d.sum(), nil
}

// chunk is digest for who needs the rows too.
func chunk(ctx context.Context, r reader, t *shape, from, to int64, limit int) (rows []row, s span, err error) {
	d := newDigester(t, from, to, limit)
	err = r.scan(ctx, t, from, to, limit, func(r row) error {
		rows = append(rows, r)
		if err := d.add(r); err != nil || d.bytes <= chunkBytes {
			return err
		}
		return fmt.Errorf("%d rows of %s have more than %d MiB", len(rows), t.name, chunkBytes>>20)
	})
	return rows, d.sum(), err
}

// A digester takes the rows of a span, in order. Those of a table that is not
// ranged count in the order of their canonical forms, since engines sort texts in
// orders of their own.
type digester struct {
	t     *shape
	span  span
	limit int
	hash  hash.Hash
	buf   []byte
	forms [][]byte // of a table that is not ranged
	bytes int
}

func newDigester(t *shape, from, to int64, limit int) *digester {
	return &digester{t: t, span: span{from: from, to: to}, limit: limit, hash: sha256.New()}
}

func (d *digester) add(r row) error {
	d.span.rows++
	d.buf = appendRow(d.buf[:0], r)
	d.bytes += len(d.buf)
	if d.t.ranged {
		if d.span.rows == d.limit {
			d.span.to = r.key()
		}
		d.hash.Write(d.buf)
		return nil
	}
	if d.forms = append(d.forms, bytes.Clone(d.buf)); len(d.forms) > wholeRows || d.bytes > chunkBytes {
		return fmt.Errorf("the table %s is larger than it can be", d.t.name)
	}
	return nil
}

func (d *digester) sum() span {
	slices.SortFunc(d.forms, bytes.Compare)
	for _, form := range d.forms {
		d.hash.Write(form)
	}
	d.hash.Sum(d.span.digest[:0])
	return d.span
}

// A Progress is how far a copy is. All counts are of rows, over all tables.
type Progress struct {
	Table    string
	Copied   int64 // written, or found to be there already
	Compared int64 // read back and found equal
	Total    int64 // as counted at the start
	Compares bool  // whether what was written will be read back at the end
}

// progress tells tell, which may be nil.
type progress struct {
	Progress
	tell func(Progress)
}

func (p *progress) count(ctx context.Context, from snapshot) error {
	for _, t := range shapes {
		n, err := from.count(ctx, t)
		if err != nil {
			return fmt.Errorf("counting %s: %w", t.name, err)
		}
		p.Total += n
	}
	return nil
}

func (p *progress) copied(t *shape, s span)   { p.Copied += int64(s.rows); p.said(t) }
func (p *progress) compared(t *shape, s span) { p.Compared += int64(s.rows); p.said(t) }

func (p *progress) said(t *shape) {
	if p.Table = t.name; p.tell != nil {
		p.tell(p.Progress)
	}
}

// A span is a range of a table and the digest of its rows.
type span struct {
	from, to int64
	rows     int
	digest   [sha256.Size]byte
}

// transfer copies every table from one side to the other. Where resumed is true,
// what an earlier copy left is kept as far as it is the same now. It returns what
// it read of each table, for compare.
//
// After an error the target may hold a part; the same call with resumed goes on.
func transfer(ctx context.Context, from snapshot, to target, resumed bool, p *progress) (map[string][]span, error) {
	if err := p.count(ctx, from); err != nil {
		return nil, err
	}
	spans := make(map[string][]span)
	for _, t := range shapes {
		for start, more := int64(math.MinInt64), true; more; {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			rows, s, err := chunk(ctx, from, t, start, math.MaxInt64, chunkRows)
			if err != nil {
				return nil, fmt.Errorf("reading %s: %w", t.name, err)
			}
			if more = s.to < math.MaxInt64; more {
				start = s.to + 1
			}
			there := false
			if resumed {
				old, err := digest(ctx, to, t, s.from, s.to, s.rows+1)
				if err != nil {
					return nil, fmt.Errorf("reading %s of the target: %w", t.name, err)
				}
				there = old.digest == s.digest
			}
			if !there {
				if err := to.save(ctx, t, s.from, s.to, rows); err != nil {
					return nil, fmt.Errorf("writing %s: %w", t.name, err)
				}
			}
			spans[t.name] = append(spans[t.name], s)
			p.copied(t, s)
		}
	}
	return spans, nil
}

// compare reads back what transfer wrote. The error is a difference where
// something else is there.
func compare(ctx context.Context, from snapshot, to target, spans map[string][]span, p *progress) error {
	for _, t := range shapes {
		for _, s := range spans[t.name] {
			if err := ctx.Err(); err != nil {
				return err
			}
			found, err := digest(ctx, to, t, s.from, s.to, s.rows+1)
			if err != nil {
				return fmt.Errorf("reading back %s: %w", t.name, err)
			}
			if found.digest != s.digest {
				return differing(ctx, from, to, t, s)
			}
			p.compared(t, s)
		}
	}
	return nil
}

// A difference says where the two sides of a copy are not the same. It names
// tables and keys, and nothing of what is in the rows.
type difference struct {
	Table string
	Keys  []int64 // the first of them, ascending; none for a table that is not ranged
}

func (d *difference) Error() string {
	if len(d.Keys) == 0 {
		return fmt.Sprintf("the table %s is not the same on both sides", d.Table)
	}
	return fmt.Sprintf("rows of the table %s are not the same on both sides; the first are %v", d.Table, d.Keys)
}

// differing names the rows that differ within a span.
func differing(ctx context.Context, from, to reader, t *shape, s span) error {
	d := &difference{Table: t.name}
	if !t.ranged {
		return d
	}
	forms := make(map[int64][sha256.Size]byte) // of the rows that one side has and the other lacks
	for i, side := range []reader{from, to} {
		err := side.scan(ctx, t, s.from, s.to, s.rows+1, func(r row) error {
			form := sha256.Sum256(appendRow(nil, r))
			if i == 1 && forms[r.key()] == form {
				delete(forms, r.key())
			} else {
				forms[r.key()] = form
			}
			return nil
		})
		if err != nil {
			return errors.Join(d, err)
		}
	}
	d.Keys = slices.Sorted(maps.Keys(forms))
	d.Keys = d.Keys[:min(len(d.Keys), 10)]
	return d
}

// appendRow appends the canonical form of a row: for each value its type, and its
// eight bytes or its length and its bytes. No two rows of a table have the same.
func appendRow(buf []byte, r row) []byte {
	for _, value := range r {
		switch v := value.(type) {
		case int64:
			buf = append(buf, 'i')
			buf = binary.BigEndian.AppendUint64(buf, uint64(v))
		case string:
			buf = append(buf, 't')
			buf = binary.AppendUvarint(buf, uint64(len(v)))
			buf = append(buf, v...)
		case []byte:
			buf = append(buf, 'b')
			buf = binary.AppendUvarint(buf, uint64(len(v)))
			buf = append(buf, v...)
		default:
			panic(fmt.Sprintf("store: a row with a %T", value)) // engines return nothing else
		}
	}
	return buf
}

// fold makes one digest of those of a table's spans.
func fold(spans []span) (sum [sha256.Size]byte, rows int64) {
	h := sha256.New()
	for _, s := range spans {
		h.Write(s.digest[:])
		rows += int64(s.rows)
	}
	h.Sum(sum[:0])
	return sum, rows
}
