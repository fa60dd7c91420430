package store

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"
)

// Types of parameters and columns, as PostgreSQL numbers them (pg_type.dat).
const (
	oidBool      = 16
	oidBytea     = 17
	oidInt8      = 20
	oidInt2      = 21
	oidInt4      = 23
	oidText      = 25
	oidInt8Array = 1016
	oidTextArray = 1009
)

// A pgBinder collects the columns it visits as parameters in PostgreSQL's binary
// form, up to limit. What it collected is good until its next reset.
type pgBinder struct {
	values [][]byte
	types  []uint32
	buffer []byte // holds what values of fixed size point to
	limit  int
	err    error
}

func (b *pgBinder) reset(limit int) {
	b.values, b.types, b.buffer, b.limit, b.err = b.values[:0], b.types[:0], b.buffer[:0], limit, nil
}

func (b *pgBinder) full() bool { return len(b.values) >= b.limit }

// add adds a parameter. The value is never nil, which would be NULL.
func (b *pgBinder) add(oid uint32, value []byte) {
	if value == nil {
		value = []byte{}
	}
	b.values, b.types = append(b.values, value), append(b.types, oid)
}

// grown adds a parameter that write appends to the buffer. When the buffer moves,
// earlier values keep the old one.
func (b *pgBinder) grown(oid uint32, write func([]byte) []byte) {
	start := len(b.buffer)
	b.buffer = write(b.buffer)
	b.add(oid, b.buffer[start:len(b.buffer):len(b.buffer)])
}

func (b *pgBinder) int64(v int64) {
	if !b.full() {
		b.grown(oidInt8, func(p []byte) []byte { return binary.BigEndian.AppendUint64(p, uint64(v)) })
	}
}

func (b *pgBinder) Int64(v *int64)    { b.int64(*v) }
func (b *pgBinder) Uint32(v *uint32)  { b.int64(int64(*v)) }
func (b *pgBinder) Time(v *time.Time) { b.int64(micros(*v)) }

func (b *pgBinder) Int(v *int) {
	b.err = cmp.Or(b.err, checkInt(*v))
	if !b.full() {
		b.grown(oidInt4, func(p []byte) []byte { return binary.BigEndian.AppendUint32(p, uint32(*v)) })
	}
}

func (b *pgBinder) Int8(v *int8) {
	if !b.full() {
		b.grown(oidInt2, func(p []byte) []byte { return binary.BigEndian.AppendUint16(p, uint16(*v)) })
	}
}

func (b *pgBinder) Bool(v *bool) {
	if !b.full() {
		b.grown(oidBool, func(p []byte) []byte { return append(p, byte(asked(*v))) })
	}
}

func (b *pgBinder) text(v string) {
	if !b.full() {
		b.grown(oidText, func(p []byte) []byte { return append(p, v...) })
	}
}

func (b *pgBinder) Text(v *string) {
	b.err = cmp.Or(b.err, checkText(*v))
	b.text(*v)
}

func (b *pgBinder) Bytes(v *[]byte) {
	if !b.full() {
		b.add(oidBytea, *v)
	}
}

func (b *pgBinder) Fixed(v []byte) {
	for _, x := range v {
		if x != 0 {
			b.Bytes(&v)
			return
		}
	}
	if !b.full() {
		b.add(oidBytea, nil)
	}
}

func (b *pgBinder) JSON(v any) {
	if b.full() {
		return
	}
	text, err := json.Marshal(v)
	if err != nil && b.err == nil {
		b.err = err
	}
	b.add(oidText, text)
}

// array adds numbers as one parameter.
func (b *pgBinder) array(numbers []int64) {
	b.grown(oidInt8Array, func(p []byte) []byte {
		p = arrayHeader(p, oidInt8, len(numbers))
		for _, n := range numbers {
			p = binary.BigEndian.AppendUint32(p, 8)
			p = binary.BigEndian.AppendUint64(p, uint64(n))
		}
		return p
	})
}

// texts adds texts as one parameter.
func (b *pgBinder) texts(list []string) {
	b.grown(oidTextArray, func(p []byte) []byte {
		p = arrayHeader(p, oidText, len(list))
		for _, v := range list {
			p = binary.BigEndian.AppendUint32(p, uint32(len(v)))
			p = append(p, v...)
		}
		return p
	})
}

// arrayHeader begins an array of n elements, none of them NULL.
func arrayHeader(p []byte, oid uint32, n int) []byte {
	p = binary.BigEndian.AppendUint32(p, uint32(min(n, 1))) // dimensions
	p = binary.BigEndian.AppendUint32(p, 0)
	p = binary.BigEndian.AppendUint32(p, oid)
	if n > 0 {
		p = binary.BigEndian.AppendUint32(p, uint32(n))
		p = binary.BigEndian.AppendUint32(p, 1) // the first has the index 1
	}
	return p
}

// bind adds parameters that are no columns of a record.
func (b *pgBinder) bind(args []any) {
	for _, arg := range args {
		switch v := arg.(type) {
		case int64:
			b.int64(v)
		case int:
			b.int64(int64(v))
		case string:
			b.text(v)
		case []byte:
			b.Bytes(&v)
		case []int64:
			b.array(v)
		case []string:
			b.texts(v)
		default:
			b.err = fmt.Errorf("binding %T", arg)
		}
	}
}

// A pgScanner fills the columns it visits from a row of a result. It keeps nothing
// of the row.
type pgScanner struct {
	row [][]byte
	n   int
	err error
}

func (s *pgScanner) next() []byte {
	if s.n >= len(s.row) {
		s.fail(0, 0)
		return nil
	}
	v := s.row[s.n]
	s.n++
	return v
}

func (s *pgScanner) fail(got, want int) {
	if s.err == nil {
		s.err = fmt.Errorf("column %d has %d bytes, not %d", s.n, got, want)
	}
}

// int64 reads an integer of any size; NULL is zero.
func (s *pgScanner) int64() int64 {
	switch v := s.next(); len(v) {
	case 0:
		return 0
	case 2:
		return int64(int16(binary.BigEndian.Uint16(v)))
	case 4:
		return int64(int32(binary.BigEndian.Uint32(v)))
	case 8:
		return int64(binary.BigEndian.Uint64(v))
	default:
		s.fail(len(v), 8)
		return 0
	}
}

func (s *pgScanner) Int64(v *int64)    { *v = s.int64() }
func (s *pgScanner) Int(v *int)        { *v = int(s.int64()) }
func (s *pgScanner) Int8(v *int8)      { *v = int8(s.int64()) }
func (s *pgScanner) Uint32(v *uint32)  { *v = uint32(s.int64()) }
func (s *pgScanner) Time(v *time.Time) { *v = fromMicros(s.int64()) }
func (s *pgScanner) Text(v *string)    { *v = string(s.next()) }

func (s *pgScanner) Bool(v *bool) {
	p := s.next()
	*v = len(p) == 1 && p[0] == 1
}

func (s *pgScanner) Bytes(v *[]byte) {
	*v = nil
	if p := s.next(); len(p) > 0 {
		*v = append([]byte(nil), p...)
	}
}

func (s *pgScanner) Fixed(v []byte) {
	clear(v)
	if p := s.next(); len(p) != 0 {
		if copy(v, p); len(p) != len(v) {
			s.fail(len(p), len(v))
		}
	}
}

func (s *pgScanner) JSON(v any) {
	if err := json.Unmarshal(s.next(), v); err != nil && s.err == nil {
		s.err = fmt.Errorf("column %d: %w", s.n, err)
	}
}
