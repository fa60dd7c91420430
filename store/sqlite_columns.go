package store

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"
)

// A binder binds the columns it visits as parameters 1, 2 …, up to limit.
type binder struct {
	stmt  *sqlite.Stmt
	n     int
	limit int
	err   error
}

func (b *binder) next() bool {
	b.n++
	return b.n <= b.limit
}

func (b *binder) int64(v int64) {
	if b.next() {
		b.stmt.BindInt64(b.n, v)
	}
}

func (b *binder) Int64(v *int64)   { b.int64(*v) }
func (b *binder) Int8(v *int8)     { b.int64(int64(*v)) }
func (b *binder) Uint32(v *uint32) { b.int64(int64(*v)) }

func (b *binder) Bool(v *bool) {
	if b.next() {
		b.stmt.BindBool(b.n, *v)
	}
}

func (b *binder) Int(v *int) {
	b.err = cmp.Or(b.err, checkInt(*v))
	b.int64(int64(*v))
}

func (b *binder) Text(v *string) {
	b.err = cmp.Or(b.err, checkText(*v))
	if b.next() {
		b.stmt.BindText(b.n, *v)
	}
}

func (b *binder) Bytes(v *[]byte) {
	if b.next() {
		b.stmt.BindBytes(b.n, *v)
	}
}

func (b *binder) Fixed(v []byte) {
	for _, x := range v {
		if x != 0 {
			b.Bytes(&v)
			return
		}
	}
	if b.next() {
		b.stmt.BindBytes(b.n, nil)
	}
}

func (b *binder) Time(v *time.Time) { b.int64(micros(*v)) }

func (b *binder) JSON(v any) {
	if !b.next() {
		return
	}
	text, err := json.Marshal(v)
	if err != nil && b.err == nil {
		b.err = err
	}
	b.stmt.BindText(b.n, string(text))
}

// A scanner fills the columns it visits from a row of the result.
type scanner struct {
	stmt *sqlite.Stmt
	n    int
	err  error
}

func (s *scanner) int64() int64 {
	v := s.stmt.ColumnInt64(s.n)
	s.n++
	return v
}

func (s *scanner) Int64(v *int64)   { *v = s.int64() }
func (s *scanner) Int(v *int)       { *v = int(s.int64()) }
func (s *scanner) Int8(v *int8)     { *v = int8(s.int64()) }
func (s *scanner) Uint32(v *uint32) { *v = uint32(s.int64()) }
func (s *scanner) Bool(v *bool)     { *v = s.int64() != 0 }

func (s *scanner) Text(v *string) {
	*v = s.stmt.ColumnText(s.n)
	s.n++
}

func (s *scanner) Bytes(v *[]byte) {
	*v = nil
	if n := s.stmt.ColumnLen(s.n); n > 0 {
		*v = make([]byte, n)
		s.stmt.ColumnBytes(s.n, *v)
	}
	s.n++
}

func (s *scanner) Fixed(v []byte) {
	clear(v)
	if n := s.stmt.ColumnBytes(s.n, v); n != 0 && n != len(v) && s.err == nil {
		s.err = fmt.Errorf("column %s has %d bytes, not %d", s.stmt.ColumnName(s.n), n, len(v))
	}
	s.n++
}

func (s *scanner) Time(v *time.Time) { *v = fromMicros(s.int64()) }

func (s *scanner) JSON(v any) {
	if err := json.Unmarshal([]byte(s.stmt.ColumnText(s.n)), v); err != nil && s.err == nil {
		s.err = fmt.Errorf("column %s: %w", s.stmt.ColumnName(s.n), err)
	}
	s.n++
}

// micros is how a time is stored; zero stands for the zero time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(v int64) time.Time {
	if v == 0 {
		return time.Time{}
	}
	return time.UnixMicro(v).UTC()
}
