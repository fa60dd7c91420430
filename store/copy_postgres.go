package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A pgSide is a PostgreSQL database that is copied from or to, on a connection of
// its own. Rows travel as COPY has them in binary.
type pgSide struct {
	link *link
	at   int64 // limits that are full again at this moment, µs, do not count

	// within is set where everything happens in one transaction that is open already.
	within bool
	types  map[string][]uint32 // of the columns, by table
}

// pgPatient begins a transaction that may take long. What it waits for it does not
// wait for long, since others would queue up behind it.
const pgPatient = "; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL lock_timeout = '10s'"

// snapshot begins to read the database as of this moment. Until it is closed, rows
// that others replace or delete cannot be cleaned up.
func (s *Postgres) snapshot(ctx context.Context, at time.Time) (snapshot, error) {
	l, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	side := &pgSide{link: l, at: at.UnixMicro(), within: true}
	var tables []string
	for _, t := range shapes {
		tables = append(tables, t.name)
	}
	// The locks bar nobody but a restore or a migration, which a snapshot does not
	// hide: it would find tables empty.
	if _, err := l.text(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"+pgPatient+
		"; LOCK TABLE "+strings.Join(tables, ", ")+" IN ACCESS SHARE MODE"); err != nil {
		return nil, errors.Join(err, side.close())
	}
	if err := side.learn(ctx); err != nil { // the first read decides which moment it is
		return nil, errors.Join(err, side.close())
	}
	return side, nil
}

func (p *pgSide) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return p.link.Close(ctx)
}

// learn reads the types of the columns of every shape.
func (p *pgSide) learn(ctx context.Context) error {
	p.types = make(map[string][]uint32)
	for _, t := range shapes {
		byName := make(map[string]uint32)
		results, err := p.link.Exec(ctx, fmt.Sprintf(
			"SELECT attname, atttypid FROM pg_attribute WHERE attrelid = '%s'::regclass AND attnum > 0 AND NOT attisdropped", t.name)).ReadAll()
		if err != nil {
			return err
		}
		for _, r := range results[0].Rows {
			oid, err := strconv.ParseUint(string(r[1]), 10, 32)
			if err != nil {
				return err
			}
			byName[string(r[0])] = uint32(oid)
		}
		for _, column := range t.columns {
			switch oid := byName[column]; oid {
			case oidBool, oidInt2, oidInt4, oidInt8, oidText, oidBytea:
				p.types[t.name] = append(p.types[t.name], oid)
			default:
				return fmt.Errorf("the column %s of %s has no type that can be copied (%d)", column, t.name, oid)
			}
		}
	}
	return nil
}

func (p *pgSide) scan(ctx context.Context, t *shape, from, to int64, limit int, each func(row) error) error {
	query := fmt.Sprintf("SELECT %s FROM %s", strings.Join(t.columns, ", "), t.name)
	if t.ranged {
		key := t.columns[0]
		query += fmt.Sprintf(" WHERE %s BETWEEN %d AND %d%s ORDER BY %s LIMIT %d", key, from, to, p.counting(t), key, limit)
	}
	r := copyReader{types: p.types[t.name], each: each}
	if _, err := p.link.CopyTo(ctx, &r, "COPY ("+query+") TO STDOUT (FORMAT binary)"); err != nil {
		return errors.Join(r.err, err)
	}
	return r.err
}

// counting is the condition for rows that count: a limit that is full does not.
func (p *pgSide) counting(t *shape) string {
	if t.name == limitsShape.name {
		return fmt.Sprintf(" AND mark > %d", p.at)
	}
	return ""
}

func (p *pgSide) count(ctx context.Context, t *shape) (int64, error) {
	n, err := p.link.text(ctx, fmt.Sprintf("SELECT count(*) FROM %s WHERE true%s", t.name, p.counting(t)))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(n, 10, 64)
}

func (p *pgSide) save(ctx context.Context, t *shape, from, to int64, rows []row) error {
	content, err := p.encode(t, rows)
	if err != nil {
		return err
	}
	clearing := "DELETE FROM " + t.name
	if t.ranged {
		clearing += fmt.Sprintf(" WHERE %s BETWEEN %d AND %d", t.columns[0], from, to)
	}
	return p.atomically(ctx, func() error {
		if _, err := p.link.text(ctx, clearing); err != nil || len(rows) == 0 {
			return err
		}
		_, err := p.link.CopyFrom(ctx, bytes.NewReader(content), fmt.Sprintf("COPY %s (%s) FROM STDIN (FORMAT binary)", t.name, strings.Join(t.columns, ", ")))
		return err
	})
}

// atomically runs f in a transaction of its own, or in the one that is open.
func (p *pgSide) atomically(ctx context.Context, f func() error) error {
	if p.within {
		return f()
	}
	if _, err := p.link.text(ctx, "BEGIN"+pgPatient); err != nil {
		return err
	}
	if err := f(); err != nil {
		if !p.link.IsClosed() {
			p.link.text(context.WithoutCancel(ctx), "ROLLBACK")
		}
		return err
	}
	_, err := p.link.text(ctx, "COMMIT")
	return err
}

// What a binary COPY begins and ends with.
var (
	copyHead = []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	copyTail = []byte{0xff, 0xff}
)

// encode writes rows as COPY reads them.
func (p *pgSide) encode(t *shape, rows []row) ([]byte, error) {
	types := p.types[t.name]
	content := bytes.Clone(copyHead)
	for _, r := range rows {
		content = binary.BigEndian.AppendUint16(content, uint16(len(types)))
		for i, oid := range types {
			var fits bool
			if content, fits = appendField(content, oid, r[i]); !fits {
				key := ""
				if t.ranged {
					key = fmt.Sprintf(" in row %d", r.key())
				}
				return nil, fmt.Errorf("PostgreSQL cannot hold what is in the column %s%s", t.columns[i], key)
			}
		}
	}
	return append(content, copyTail...), nil
}

// appendField appends a value with its length, and reports whether it fits the type.
func appendField(content []byte, oid uint32, value any) ([]byte, bool) {
	sized := func(n int) []byte { return binary.BigEndian.AppendUint32(content, uint32(n)) }
	switch v := value.(type) {
	case int64:
		switch oid {
		case oidInt8:
			return binary.BigEndian.AppendUint64(sized(8), uint64(v)), true
		case oidInt4:
			return binary.BigEndian.AppendUint32(sized(4), uint32(v)), v == int64(int32(v))
		case oidInt2:
			return binary.BigEndian.AppendUint16(sized(2), uint16(v)), v == int64(int16(v))
		case oidBool:
			return append(sized(1), byte(v)), v == 0 || v == 1
		}
	case string:
		return append(sized(len(v)), v...), oid == oidText && utf8.ValidString(v) && !strings.Contains(v, "\x00") && len(v) <= math.MaxInt32
	case []byte:
		return append(sized(len(v)), v...), oid == oidBytea && len(v) <= math.MaxInt32
	}
	return content, false
}

var errCopyFormat = errors.New("the server sent something else than rows")

// A copyReader is written what COPY sends, in pieces of any size, and hands on the
// rows.
type copyReader struct {
	types []uint32
	each  func(row) error
	buf   []byte
	begun bool
	ended bool
	err   error // it wants no more
}

func (c *copyReader) Write(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	c.buf = append(c.buf, p...)
	rest := c.buf
	for c.err == nil {
		n := c.next(rest)
		if n == 0 {
			break
		}
		rest = rest[n:]
	}
	c.buf = c.buf[:copy(c.buf, rest)]
	return len(p), c.err
}

// next takes the header or a row off the front and returns how long it was; zero:
// it is not all there yet.
func (c *copyReader) next(b []byte) int {
	if !c.begun {
		if len(b) < len(copyHead) {
			return 0
		}
		if c.begun = bytes.HasPrefix(b, copyHead); !c.begun {
			c.err = errCopyFormat
		}
		return len(copyHead)
	}
	if len(b) < 2 || c.ended {
		return 0
	}
	if bytes.HasPrefix(b, copyTail) {
		c.ended = true
		return 2
	}
	if int(binary.BigEndian.Uint16(b)) != len(c.types) {
		c.err = errCopyFormat
		return 0
	}
	at, r := 2, make(row, len(c.types))
	for i, oid := range c.types {
		if len(b) < at+4 {
			return 0
		}
		size := int(int32(binary.BigEndian.Uint32(b[at:])))
		if at += 4; size < 0 {
			c.err = errCopyFormat // NULL, which no column has
			return 0
		}
		if len(b) < at+size {
			return 0
		}
		field := b[at : at+size]
		at += size
		switch {
		case oid == oidText:
			r[i] = string(field)
		case oid == oidBytea:
			r[i] = bytes.Clone(field)
			if size == 0 {
				r[i] = []byte{}
			}
		case oid == oidBool && size == 1:
			r[i] = int64(field[0])
		case oid == oidInt2 && size == 2:
			r[i] = int64(int16(binary.BigEndian.Uint16(field)))
		case oid == oidInt4 && size == 4:
			r[i] = int64(int32(binary.BigEndian.Uint32(field)))
		case oid == oidInt8 && size == 8:
			r[i] = int64(binary.BigEndian.Uint64(field))
		default:
			c.err = errCopyFormat
			return 0
		}
	}
	c.err = c.each(r)
	return at
}
