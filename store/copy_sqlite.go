package store

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// A copySide is a SQLite file that is copied from or to, on a connection of its
// own.
type copySide struct {
	*connection
	at int64 // limits that are full again at this moment, µs, do not count

	// marks are the limits of the file, by key; nil: not read yet. stale says that
	// some were written since.
	marks []mark
	stale bool
}

type mark struct{ key, at int64 }

// copyCache is how much of a file a copy keeps in memory, in KiB. Indexes on
// random ids are slow to fill without it.
const copyCache = 64 << 10

// snapshot begins to read the file as of this moment. Until it is closed, what is
// committed meanwhile cannot move from the log into the file, so the log grows.
func (s *SQLite) snapshot(ctx context.Context, at time.Time) (snapshot, error) {
	c, err := open(s.path, sqlite.OpenReadOnly, s.options.Patience)
	if err != nil {
		return nil, err
	}
	side := &copySide{connection: c, at: at.UnixMicro()}
	err = c.begin(false)
	if err == nil {
		_, err = c.number(counterGet, "version") // the first read decides which moment it is
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return side, nil
}

func (c *copySide) close() error { return c.Conn.Close() }

// run runs a statement that the connection prepares once.
func (c *copySide) run(statement string, each func(*sqlite.Stmt) error, args ...any) error {
	stmt, err := c.Prepare(statement)
	if err != nil {
		return err
	}
	defer stmt.Reset()
	for i, arg := range args {
		switch v := arg.(type) {
		case int64:
			stmt.BindInt64(i+1, v)
		case string:
			stmt.BindText(i+1, v)
		case []byte:
			stmt.BindBytes(i+1, v)
		}
	}
	for {
		more, err := stmt.Step()
		if err != nil || !more {
			return err
		}
		if err := each(stmt); err != nil {
			return err
		}
	}
}

func none(*sqlite.Stmt) error { return nil }

// dropIndexes takes away every index that can be made again. Making them of a full
// table sorts once; keeping them up to date costs a page or two for every row, since
// ids and addresses come in no order.
func (c *copySide) dropIndexes() error {
	var names []string
	err := c.each("SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL", func(stmt *sqlite.Stmt) error {
		names = append(names, stmt.ColumnText(0))
		return nil
	})
	for _, name := range names {
		if err == nil {
			err = c.each("DROP INDEX "+name, none)
		}
	}
	return err
}

// createIndexes makes the indexes that the tables lack.
func (c *copySide) createIndexes(ctx context.Context) error {
	defer c.SetInterrupt(c.SetInterrupt(ctx.Done()))
	all, err := migrationsFor("sqlite")
	if err != nil {
		return err
	}
	reference, err := emptyTables(all)
	if err != nil {
		return err
	}
	defer reference.Conn.Close()
	return reference.each("SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL", func(stmt *sqlite.Stmt) error {
		there := false
		err := c.run("SELECT 1 FROM sqlite_schema WHERE name = ?1", func(*sqlite.Stmt) error { there = true; return nil }, stmt.ColumnText(0))
		if err != nil || there {
			return err
		}
		return interrupted(ctx, c.each(stmt.ColumnText(1), none))
	})
}

func (c *copySide) scan(ctx context.Context, t *shape, from, to int64, limit int, each func(row) error) error {
	defer c.SetInterrupt(c.SetInterrupt(ctx.Done()))
	if t.name == limitsShape.name {
		return c.scanLimits(from, to, limit, each)
	}
	list := strings.Join(t.columns, ", ")
	scan := func(stmt *sqlite.Stmt) error {
		r, err := scanRow(stmt, t.name)
		if err != nil {
			return err
		}
		return each(r)
	}
	if !t.ranged {
		return interrupted(ctx, c.run(fmt.Sprintf("SELECT %s FROM %s", list, t.name), scan))
	}
	key := t.columns[0]
	return interrupted(ctx, c.run(fmt.Sprintf("SELECT %s FROM %s WHERE %s BETWEEN ?1 AND ?2 ORDER BY %s LIMIT ?3", list, t.name, key, key),
		scan, from, to, int64(limit)))
}

// interrupted prefers to say why a statement was interrupted.
func interrupted(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

func scanRow(stmt *sqlite.Stmt, table string) (row, error) {
	r := make(row, stmt.ColumnCount())
	for i := range r {
		switch stmt.ColumnType(i) {
		case sqlite.TypeInteger:
			r[i] = stmt.ColumnInt64(i)
		case sqlite.TypeText:
			r[i] = stmt.ColumnText(i)
		case sqlite.TypeBlob:
			b := make([]byte, stmt.ColumnLen(i))
			stmt.ColumnBytes(i, b)
			r[i] = b
		default:
			return nil, fmt.Errorf("the column %s of %s holds what is neither integer, text nor blob", stmt.ColumnName(i), table)
		}
	}
	return r, nil
}

func (c *copySide) count(ctx context.Context, t *shape) (n int64, err error) {
	defer c.SetInterrupt(c.SetInterrupt(ctx.Done()))
	if t == limitsShape {
		err = c.readLimits()
		return int64(len(c.marks)), err
	}
	err = c.run("SELECT count(*) FROM "+t.name, func(stmt *sqlite.Stmt) error { n = stmt.ColumnInt64(0); return nil })
	return n, interrupted(ctx, err)
}

func (c *copySide) save(ctx context.Context, t *shape, from, to int64, rows []row) (err error) {
	defer c.SetInterrupt(c.SetInterrupt(ctx.Done()))
	end, err := sqlitex.ImmediateTransaction(c.Conn)
	if err != nil {
		return err
	}
	defer func() { err = interrupted(ctx, err) }()
	defer end(&err)
	if t.name == limitsShape.name {
		return c.saveLimits(from, to, rows)
	}
	if t.ranged {
		err = c.run(fmt.Sprintf("DELETE FROM %s WHERE %s BETWEEN ?1 AND ?2", t.name, t.columns[0]), none, from, to)
	} else {
		err = c.run("DELETE FROM "+t.name, none)
	}
	if err != nil {
		return err
	}
	insert := fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s?)", t.name, strings.Join(t.columns, ", "), strings.Repeat("?, ", len(t.columns)-1))
	for _, r := range rows {
		if err := c.run(insert, none, r...); err != nil {
			return err
		}
	}
	return nil
}

// readLimits folds the log of the limits, in which the later entry of a key counts.
func (c *copySide) readLimits() error {
	if c.marks != nil && !c.stale {
		return nil
	}
	byKey := make(map[int64]int64)
	err := c.run("SELECT entries FROM limits ORDER BY number", func(stmt *sqlite.Stmt) error {
		size := stmt.ColumnLen(0)
		if size%16 != 0 || size > 16*limitsChunk {
			return errors.New("the log of the limits is damaged")
		}
		entries := make([]byte, size)
		stmt.ColumnBytes(0, entries)
		for ; len(entries) > 0; entries = entries[16:] {
			key, at := int64(binary.BigEndian.Uint64(entries)), int64(binary.BigEndian.Uint64(entries[8:]))
			if at <= c.at {
				delete(byKey, key)
			} else if byKey[key] = at; len(byKey) > 2*limitsMax {
				return errors.New("the log of the limits has more keys than it can have")
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.marks, c.stale = make([]mark, 0, len(byKey)), false
	for key, at := range byKey {
		c.marks = append(c.marks, mark{key, at})
	}
	slices.SortFunc(c.marks, func(a, b mark) int { return cmp.Compare(a.key, b.key) })
	return nil
}

func (c *copySide) scanLimits(from, to int64, limit int, each func(row) error) error {
	if err := c.readLimits(); err != nil {
		return err
	}
	for _, m := range c.limitsBetween(from, to) {
		if limit--; limit < 0 {
			break
		}
		if err := each(row{m.key, m.at}); err != nil {
			return err
		}
	}
	return nil
}

func (c *copySide) limitsBetween(from, to int64) []mark {
	byKey := func(m mark, key int64) int { return cmp.Compare(m.key, key) }
	i, _ := slices.BinarySearchFunc(c.marks, from, byKey)
	j, found := slices.BinarySearchFunc(c.marks, to, byKey)
	if found {
		j++
	}
	return c.marks[i:j]
}

// saveLimits appends to the log. What an earlier copy left in the range is full.
func (c *copySide) saveLimits(from, to int64, rows []row) error {
	if c.marks == nil {
		if err := c.readLimits(); err != nil {
			return err
		}
	}
	var entries []byte
	add := func(key, at int64) {
		entries = binary.BigEndian.AppendUint64(entries, uint64(key))
		entries = binary.BigEndian.AppendUint64(entries, uint64(at))
	}
	for _, m := range c.limitsBetween(from, to) {
		add(m.key, 0)
	}
	for _, r := range rows {
		add(r.key(), r[1].(int64))
	}
	c.stale = true // but for this range, which is written once
	for chunk := range slices.Chunk(entries, 16*limitsChunk) {
		if err := c.run("INSERT INTO limits (entries) VALUES (?1)", none, chunk); err != nil {
			return err
		}
	}
	return nil
}
