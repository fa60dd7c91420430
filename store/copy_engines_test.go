package store

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/store/postgrestest"
	"github.com/splitpin/splitpin/store/storetest"
)

var pgTest = Options{Postgres: PostgresOptions{Unsafe: true, Connections: 4}}

// openedPostgres opens a database that the test closes.
func openedPostgres(t *testing.T, url string) *Postgres {
	t.Helper()
	s, err := OpenPostgres(t.Context(), url, pgTest.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// installed adds what every installation has: the record that tells whether a master
// key is right.
func installed(t *testing.T, s splitpin.Store) {
	t.Helper()
	err := s.Change(t.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
		return splitpin.Writes{Create: []splitpin.Record{storetest.DataKey("check", 1)}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestPostgresShapes holds what is copied against the tables of PostgreSQL.
func TestPostgresShapes(t *testing.T) {
	s := openedPostgres(t, postgrestest.Database(t))
	l, err := s.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close(t.Context())
	list, err := l.text(t.Context(), `SELECT string_agg(table_name || ' ' || columns, ';') FROM (
		SELECT table_name, string_agg(column_name, ' ' ORDER BY column_name) AS columns
		FROM information_schema.columns WHERE table_schema = current_schema() GROUP BY table_name) AS t`)
	if err != nil {
		t.Fatal(err)
	}
	// Neither is the installation's: which tables this database has, and whether it
	// crashed.
	made := map[string][]string{"schema_version": nil, "incarnation": nil}
	for line := range strings.SplitSeq(list, ";") {
		names := strings.Fields(line)
		made[names[0]] = names[1:]
	}
	delete(made, "schema_version")
	delete(made, "incarnation")
	for _, shape := range shapes {
		if got, want := slices.Sorted(slices.Values(shape.columns)), made[shape.name]; !slices.Equal(got, want) {
			t.Errorf("of %s are copied the columns %v; it has %v", shape.name, got, want)
		}
		delete(made, shape.name)
	}
	for name := range made {
		t.Errorf("the table %s is not copied", name)
	}
}

// TestCopyBetweenEngines takes an installation to PostgreSQL, on to another and back:
// everywhere every row is the same.
func TestCopyBetweenEngines(t *testing.T) {
	file := opened(t, furnished(t))
	installed(t, file)
	want := digests(t, file)
	options := CopyOptions{Options: pgTest, At: storetest.Now}

	copied := func(from Backupable, to string) *Contents {
		t.Helper()
		var last Progress
		o := options
		o.Tell = func(p Progress) { last = p }
		found, err := Copy(t.Context(), from, to, o)
		if err != nil {
			t.Fatal(err)
		}
		if last.Copied != last.Total || last.Compared != last.Total || found.Rows["users"] != chunkRows {
			t.Errorf("the progress ends with %+v, and there are %+v", last, found)
		}
		return found
	}
	firstURL, secondURL := postgrestest.Database(t), postgrestest.Database(t)
	copied(file, firstURL)
	first := openedPostgres(t, firstURL)
	copied(first, secondURL)
	second := openedPostgres(t, secondURL)
	path := filepath.Join(t.TempDir(), "splitpin.db")
	copied(second, path)
	back := opened(t, path)
	backup := filepath.Join(t.TempDir(), "backup")
	if _, err := WriteBackup(t.Context(), second, backup, storetest.Now, nil); err != nil {
		t.Fatal(err)
	}
	restored, _, err := OpenBackup(t.Context(), backup)
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close()
	for name, side := range map[string]Backupable{"PostgreSQL": first, "another": second, "back on SQLite": back, "the backup of PostgreSQL": restored} {
		if got := digests(t, side); !maps.Equal(got, want) {
			t.Errorf("%s holds\n%v\nwant\n%v", name, got, want)
		}
	}

	// A copy has the indexes too, and what refused to be one has kept them.
	refused := filepath.Join(t.TempDir(), "splitpin.db")
	installed(t, opened(t, refused))
	if _, err := Copy(t.Context(), second, refused, options); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("a copy over an installation in a file: %v", err)
	}
	all, err := migrationsFor("sqlite")
	if err != nil {
		t.Fatal(err)
	}
	tables, err := emptyTables(all)
	if err != nil {
		t.Fatal(err)
	}
	defer tables.Conn.Close()
	schema, err := schemaOf(tables)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*SQLite{back, opened(t, refused)} {
		err := s.read(t.Context(), func(c *connection) error {
			if got, err := schemaOf(c); err != nil || !slices.Equal(got, schema) {
				t.Errorf("its tables and indexes are %q, %v", got, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}

	// Numbers go on where the original was.
	before, err := file.NextNumber(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []splitpin.Store{first, second, back} {
		if n, err := s.NextNumber(t.Context()); err != nil || n < before {
			t.Errorf("after number %d came %d, %v", before, n, err)
		}
	}

	if _, err := Copy(t.Context(), file, firstURL, options); err == nil || !strings.Contains(err.Error(), "the target is not empty") {
		t.Errorf("a copy over an installation: %v", err)
	}
	if _, err := Copy(t.Context(), opened(t, filepath.Join(t.TempDir(), "empty.db")), postgrestest.Database(t), options); err == nil || !strings.Contains(err.Error(), "there is no installation in the source") {
		t.Errorf("a copy of nothing: %v", err)
	}
}

// TestCopyResumes interrupts copies to either engine and goes on.
func TestCopyResumes(t *testing.T) {
	file := opened(t, furnished(t))
	installed(t, file)
	for name, to := range map[string]string{"sqlite": filepath.Join(t.TempDir(), "splitpin.db"), "postgres": postgrestest.Database(t)} {
		t.Run(name, func(t *testing.T) {
			want := digests(t, file)
			stopped := errors.New("stopped")
			for stage := 2; stage <= 8; stage += 3 { // before the users, among them, and while comparing
				ctx, cancel := context.WithCancelCause(t.Context())
				commits := 0
				_, err := Copy(ctx, file, to, CopyOptions{Options: pgTest, At: storetest.Now, Tell: func(p Progress) {
					if commits++; commits == stage || stage == 8 && p.Compared > 0 {
						cancel(stopped)
					}
				}})
				if !errors.Is(err, context.Canceled) && !errors.Is(err, stopped) {
					t.Fatalf("interrupted: %v", err)
				}
				part := to
				if !IsPostgres(to) {
					if _, err := os.Lstat(to); err == nil {
						t.Error("a part of an installation has the name of the whole")
					}
					part += copyingSuffix
				}
				if s, err := Open(t.Context(), part, pgTest); err == nil {
					s.Close()
					t.Error("a part of an installation was opened")
				} else if !strings.Contains(err.Error(), "splitpin db copy") {
					t.Errorf("opening a part says %v", err)
				}
			}
			other := opened(t, furnished(t))
			installed(t, other)
			if err := other.Change(t.Context(), splitpin.Reads{Settings: true}, func(r *splitpin.Records) (splitpin.Writes, error) {
				for _, k := range r.DataKeys {
					if k.Purpose == "check" {
						k.Wrapped[0]++
						return splitpin.Writes{Put: []splitpin.Record{k}}, nil
					}
				}
				return splitpin.Writes{}, nil
			}); err != nil {
				t.Fatal(err)
			}
			o := CopyOptions{Options: pgTest, At: storetest.Now}
			if _, err := Copy(t.Context(), other, to, o); err == nil || !strings.Contains(err.Error(), "--anew") {
				t.Errorf("another installation goes on with it: %v", err)
			}
			if _, err := Copy(t.Context(), file, to, o); err != nil {
				t.Fatal(err)
			}
			db, err := Open(t.Context(), to, pgTest)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if got := digests(t, db); !maps.Equal(got, want) {
				t.Errorf("it holds\n%v\nwant\n%v", got, want)
			}
		})
	}
}

// TestReplacePostgres: a restore takes the place of everything or of nothing, and
// ends the nodes that still serve.
func TestReplacePostgres(t *testing.T) {
	url := postgrestest.Database(t)
	node := openedPostgres(t, url)
	furnish(t, node)
	before := digests(t, node)
	from := opened(t, furnished(t))
	if err := from.PutBack(t.Context(), PutBack{Now: storetest.Now}); err != nil {
		t.Fatal(err)
	}

	if _, err := Copy(t.Context(), from, url, CopyOptions{Options: pgTest, At: storetest.Now, AtOnce: true}); !errors.Is(err, ErrNotEmpty) {
		t.Fatalf("what is there makes way unasked: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	o := CopyOptions{Options: pgTest, At: storetest.Now, AtOnce: true, Overwrite: true, Tell: func(p Progress) {
		if p.Compared == p.Total {
			cancel() // at the last moment
		}
	}}
	if _, err := Copy(ctx, from, url, o); err == nil {
		t.Fatal("it was not interrupted")
	}
	if got := digests(t, node); !maps.Equal(got, before) {
		t.Errorf("an interrupted restore left\n%v\nof\n%v", got, before)
	}
	if err := node.Current(t.Context()); err != nil {
		t.Errorf("an interrupted restore ends a node: %v", err)
	}
	command := pgTest.Postgres
	command.Command = true
	watching, err := OpenPostgres(t.Context(), url, command)
	if err != nil {
		t.Fatal(err)
	}
	defer watching.Close()
	if others, err := watching.Others(t.Context()); err != nil || !others {
		t.Errorf("a node that runs is not seen: %v", err)
	}

	o.Tell = nil
	if _, err := Copy(t.Context(), from, url, o); err != nil {
		t.Fatal(err)
	}
	if got, want := digests(t, node), digests(t, from); !maps.Equal(got, want) {
		t.Errorf("it holds\n%v\nwant\n%v", got, want)
	}
	if err := node.Current(t.Context()); !errors.Is(err, ErrReplaced) {
		t.Errorf("the node goes on: %v", err)
	}
	again := openedPostgres(t, url)
	if err := again.Current(t.Context()); err != nil {
		t.Errorf("a node that starts is told: %v", err)
	}
}

// TestPostgresSnapshotHoldsOff: a restore does not empty the tables below a backup
// that is being made.
func TestPostgresSnapshotHoldsOff(t *testing.T) {
	node := openedPostgres(t, postgrestest.Database(t))
	from, err := node.snapshot(t.Context(), storetest.Now)
	if err != nil {
		t.Fatal(err)
	}
	truncate := func(patience string) error {
		l, err := node.connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close(t.Context())
		_, err = l.text(t.Context(), "SET lock_timeout = '"+patience+"'; TRUNCATE audit_events")
		return err
	}
	var answer *pgconn.PgError
	if err := truncate("1ms"); !errors.As(err, &answer) || answer.Code != "55P03" {
		t.Errorf("while a backup is made: %v", err)
	}
	if err := from.close(); err != nil {
		t.Fatal(err)
	}
	if err := truncate("10s"); err != nil { // the server notices the end when it gets round to it
		t.Errorf("after it: %v", err)
	}
}

// TestPostgresRefusesText: what PostgreSQL cannot hold is named, not altered.
func TestPostgresRefusesText(t *testing.T) {
	for name, text := range map[string]string{"a zero byte": "x'610062'", "not UTF-8": "x'ff'"} {
		t.Run(name, func(t *testing.T) {
			file := opened(t, filepath.Join(t.TempDir(), "splitpin.db"))
			installed(t, file)
			if err := creating1(t.Context(), file, storetest.User(17, 1)); err != nil {
				t.Fatal(err)
			}
			// By hand, since the store takes no such text.
			if err := file.do(t.Context(), func(c *connection) error {
				return sqlitex.ExecuteTransient(c.Conn, "UPDATE users SET locale = CAST("+text+" AS TEXT) WHERE number = 17", nil)
			}); err != nil {
				t.Fatal(err)
			}
			_, err := Copy(t.Context(), file, postgrestest.Database(t), CopyOptions{Options: pgTest, At: time.Now()})
			if err == nil || !strings.Contains(err.Error(), "the column locale in row 17") {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// FuzzCopyReader: what a server sends is read in pieces of any size, and never read
// beyond its end.
func FuzzCopyReader(f *testing.F) {
	side := &pgSide{types: map[string][]uint32{"marks": {oidText, oidText}, "counters": {oidText, oidInt8}}}
	counters := shapes[len(shapes)-1]
	whole, err := side.encode(counters, []row{{"numbers", int64(1)}, {"version", int64(-1)}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole, 1)
	f.Add(whole, 7)
	f.Add(whole[:30], 3)
	f.Fuzz(func(t *testing.T, sent []byte, size int) {
		var rows []row
		c := copyReader{types: side.types["counters"], each: func(r row) error { rows = append(rows, r); return nil }}
		for part := range slices.Chunk(sent, max(size, 1)) {
			if _, err := c.Write(part); err != nil {
				return
			}
		}
		for _, r := range rows {
			if _, ok := r[0].(string); !ok || len(r) != 2 {
				t.Fatalf("a row is %v", r)
			}
		}
	})
}
