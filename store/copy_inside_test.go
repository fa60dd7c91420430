package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/store/storetest"
)

// opened opens a store that the test closes.
func opened(t *testing.T, path string) *SQLite {
	t.Helper()
	s, err := OpenSQLite(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// furnish fills every table with records that have every field set, and many of
// some: more than a chunk, and exactly one.
func furnish(t *testing.T, s splitpin.Store) {
	t.Helper()
	var create []splitpin.Record
	add := func(r ...splitpin.Record) { create = append(create, r...) }
	number := func() int64 {
		n, err := s.NextNumber(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for i := range 3 {
		p := storetest.Project(number())
		u := storetest.User(number(), p.Number)
		a := storetest.Attempt(number(), u)
		add(p, storetest.DataKey("purpose", 3-i), storetest.SigningKey(number(), p.Number), u, a,
			storetest.Grant(a.ID.Number, a, u), storetest.Guesses(u), storetest.Session(number(), u), storetest.LiveSession(number(), u),
			storetest.Credential(number(), u), storetest.Message(number(), a), storetest.DueMessage(number(), a, storetest.Now), storetest.AuditEvent(number(), u))
	}
	u := storetest.User(number(), 1)
	for range chunkRows - 4 {
		add(storetest.User(number(), 1))
	}
	for range chunkRows + 7 {
		add(storetest.AuditEvent(number(), u))
	}
	add(u)
	for part := range slices.Chunk(create, 1000) {
		err := s.Change(t.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
			return splitpin.Writes{Create: part}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 700 {
		limit := splitpin.Charge{Key: splitpin.LimitKey("test", fmt.Sprint(i)), Burst: 1, Period: time.Hour, Cost: 1}
		if _, _, err := s.Take(t.Context(), storetest.Now, limit); err != nil {
			t.Fatal(err)
		}
	}
}

// furnished returns a closed file of a furnished store, to be opened again: limits
// are in the file then.
func furnished(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "splitpin.db")
	s, err := OpenSQLite(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	furnish(t, s)
	if err := errors.Join(s.SetMark(t.Context(), BackupAt, "2026-01-01T00:00:00Z"), s.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// digests returns the digest of every table, at Now.
func digests(t *testing.T, s Backupable) map[string]string {
	t.Helper()
	side, err := s.snapshot(t.Context(), storetest.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer side.close()
	all := make(map[string]string)
	for _, shape := range shapes {
		sum, rows, err := digestTable(t.Context(), side, shape)
		if err != nil {
			t.Fatal(err)
		}
		all[shape.name] = fmt.Sprintf("%d rows, %x", rows, sum)
	}
	return all
}

// TestShapes holds what is copied against the tables that there are: one that
// nobody thought of would be lost by every backup.
func TestShapes(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "splitpin.db"))
	var made []*shape
	if err := s.read(t.Context(), func(c *connection) (err error) { made, err = shapesOf(c); return err }); err != nil {
		t.Fatal(err)
	}
	byName := make(map[string]*shape)
	for _, shape := range shapes {
		byName[shape.name] = shape
		if len(shape.kinds) != len(shape.columns) {
			t.Errorf("%s has %d columns and %d kinds", shape.name, len(shape.columns), len(shape.kinds))
		}
	}
	if len(byName) != len(shapes) {
		t.Error("a table is copied twice")
	}
	for _, m := range made {
		shape := byName[m.name]
		delete(byName, m.name)
		switch {
		case shape == nil:
			t.Errorf("the table %s is not copied", m.name)
		case !slices.Equal(shape.columns, m.columns):
			t.Errorf("%s has the columns %v, in this order; copied are %v", m.name, m.columns, shape.columns)
		case shape.ranged != m.ranged:
			t.Errorf("%s is ranged: %v, by its key %v", m.name, shape.ranged, m.ranged)
		}
	}
	for name := range byName {
		t.Errorf("the table %s is copied and does not exist", name)
	}
}

// TestFixturesFillEveryTable: what is copied below must be everything.
func TestFixturesFillEveryTable(t *testing.T) {
	s := opened(t, furnished(t))
	for name, digest := range digests(t, s) {
		if digest[:2] == "0 " {
			t.Errorf("the fixtures leave %s empty", name)
		}
	}
}

func TestBackup(t *testing.T) {
	s := opened(t, furnished(t))
	before := digests(t, s)
	path := filepath.Join(t.TempDir(), "backup")
	var last Progress
	found, err := WriteBackup(t.Context(), s, path, storetest.Now, func(p Progress) { last = p })
	if err != nil {
		t.Fatal(err)
	}
	if last.Copied != last.Total || last.Total < 2*chunkRows {
		t.Errorf("the progress ends with %+v", last)
	}
	if !found.At.Equal(storetest.Now) || found.Rows["users"] != chunkRows || found.Rows["audit_events"] != chunkRows+10 || found.Rows["limits"] != 700 {
		t.Errorf("the backup holds %+v", found)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %o", info.Mode().Perm())
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("beside the backup lies %v", entries)
	}
	if after := digests(t, s); !maps.Equal(after, before) {
		t.Error("the backup changed the installation")
	}
	again, err := CheckBackup(t.Context(), path)
	if err != nil || !maps.Equal(again.Rows, found.Rows) || !again.At.Equal(found.At) {
		t.Errorf("checked later it holds %+v, %v", again, err)
	}

	restored, _, err := OpenBackup(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close()
	if after := digests(t, restored); !maps.Equal(after, before) {
		t.Errorf("restored it holds\n%v\nwant\n%v", after, before)
	}
	if _, err := CheckBackup(t.Context(), path); !errors.Is(err, errNoBackup) {
		t.Errorf("a restored installation passes for a backup: %v", err)
	}
}

// Whoever may write to the folder of a backup or a copy could put a link where the
// file is to be: nothing is written to what that points to.
func TestNoLinkIsFollowed(t *testing.T) {
	s := opened(t, furnished(t))
	folder := t.TempDir()
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.WriteFile(elsewhere, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(folder, "linked.db")
	for _, name := range []string{link, link + copyingSuffix, filepath.Join(folder, "copied.db") + copyingSuffix} {
		if err := os.Symlink(elsewhere, name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := WriteBackup(t.Context(), s, link, storetest.Now, nil); err == nil || !strings.Contains(err.Error(), "not an empty file") {
		t.Errorf("a backup through a link: %v", err)
	}
	// As when the link comes a moment later.
	if c, err := open(link, sqlite.OpenReadWrite|openNoFollow, time.Second); err == nil {
		c.Conn.Close()
		t.Error("SQLite opens the link")
	}
	if _, err := Copy(t.Context(), s, filepath.Join(folder, "copied.db"), CopyOptions{At: storetest.Now}); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("a copy through a link: %v", err)
	}
	if text, err := os.ReadFile(elsewhere); err != nil || len(text) != 0 {
		t.Errorf("what the link points to has %d bytes now, %v", len(text), err)
	}
}

// TestBackupIsOfOneMoment: what is committed while a backup is written is not in
// it, neither as a whole nor in part.
func TestBackupIsOfOneMoment(t *testing.T) {
	s := opened(t, furnished(t))
	before := digests(t, s)
	path := filepath.Join(t.TempDir(), "backup")
	more := int64(1 << 20)
	_, err := WriteBackup(t.Context(), s, path, storetest.Now, func(p Progress) {
		if p.Table != "projects" && p.Table != "users" {
			return
		}
		more++
		p1 := storetest.Project(more)
		u := storetest.User(more, p1.Number)
		err := s.Change(t.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
			return splitpin.Writes{Create: []splitpin.Record{p1, u, storetest.LiveSession(more, u), storetest.AuditEvent(more, u)}}, nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if after := digests(t, s); maps.Equal(after, before) {
		t.Fatal("nothing was written meanwhile")
	}
	restored, _, err := OpenBackup(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close()
	if after := digests(t, restored); !maps.Equal(after, before) {
		t.Errorf("the backup holds\n%v\nwant\n%v", after, before)
	}
}

// TestBackupNotices alters a backup in every way that a check of the file alone
// does not see, and some that it does.
func TestBackupNotices(t *testing.T) {
	s := opened(t, furnished(t))
	good := filepath.Join(t.TempDir(), "backup")
	if _, err := WriteBackup(t.Context(), s, good, storetest.Now, nil); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, alter := range map[string]any{
		"a row is gone":            "DELETE FROM users WHERE number = (SELECT max(number) FROM users)",
		"a row more":               "INSERT INTO guesses VALUES (1, 2, x'')",
		"another value":            "UPDATE sessions SET counter = counter + 1",
		"two rows changed places":  "UPDATE users SET locale = (SELECT max(locale) FROM users)",
		"a counter":                "UPDATE counters SET value = 1 WHERE name = 'numbers'",
		"a limit":                  "DELETE FROM limits WHERE number = 1",
		"no manifest":              "DELETE FROM manifest",
		"nothing about a table":    "UPDATE manifest SET name = 'table x' WHERE name = 'table users'",
		"no moment":                "UPDATE manifest SET value = '' WHERE name = 'at'",
		"another moment":           "UPDATE manifest SET value = '2036-01-01T00:00:00Z' WHERE name = 'at'",
		"a trigger":                "CREATE TRIGGER t AFTER DELETE ON users BEGIN DELETE FROM projects;END",
		"a view for a table":       "DROP TABLE grants; CREATE VIEW grants AS SELECT * FROM attempts",
		"a table more":             "CREATE TABLE more (x)",
		"an index less":            "DROP INDEX users_identifier",
		"an index with an extra":   "CREATE INDEX more ON users (locale)",
		"of another program":       "PRAGMA application_id = 1",
		"of a newer version":       "PRAGMA user_version = 999",
		"of no version":            "PRAGMA user_version = 0",
		"served from since":        "PRAGMA journal_mode = WAL",
		"cut off":                  whole[:len(whole)-pageSize],
		"half":                     whole[:len(whole)/2],
		"a header and nothing":     whole[:100],
		"nothing":                  []byte{},
		"not a database":           []byte("SQLite format 2"),
		"a byte in the middle":     changed(whole, len(whole)/2),
		"a byte in the first page": changed(whole, 101),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "backup")
			content, isContent := alter.([]byte)
			if !isContent {
				content = whole
			}
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			if !isContent {
				conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
				if err != nil {
					t.Fatal(err)
				}
				for statement := range strings.SplitSeq(alter.(string), "; ") {
					err = errors.Join(err, sqlitex.ExecuteTransient(conn, statement, nil))
				}
				if err := errors.Join(err, conn.Close()); err != nil {
					t.Fatal(err)
				}
			}
			found, err := CheckBackup(t.Context(), path)
			if err == nil {
				t.Fatalf("it passes, and holds %+v", found)
			}
			if name != "of a newer version" && !errors.Is(err, errNoBackup) {
				t.Errorf("the error is %v", err)
			}
		})
	}
	if _, err := CheckBackup(t.Context(), filepath.Join(t.TempDir(), "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := WriteBackup(t.Context(), s, good, storetest.Now, nil); err == nil {
		t.Error("a backup was written over another")
	}
}

func changed(content []byte, at int) []byte {
	content = slices.Clone(content)
	content[at] ^= 0x55
	return content
}

// TestOlderTables: what an older version left is brought up to date.
func TestOlderBackup(t *testing.T) {
	all, err := migrationsFor("sqlite")
	if err != nil {
		t.Fatal(err)
	}
	// No released version made backups of these tables, so one is made up.
	path := filepath.Join(t.TempDir(), "backup")
	c, err := open(path, sqlite.OpenReadWrite|sqlite.OpenCreate, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	script := all[0].text + manifestTable + ";" + fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = 1;", applicationID) +
		"INSERT INTO guesses VALUES (7, 8, x'09');" +
		"INSERT INTO manifest VALUES ('at', '2026-01-01T00:00:00Z')"
	if err := sqlitex.ExecuteScript(c.Conn, script, nil); err != nil {
		t.Fatal(err)
	}
	old, err := shapesOf(c)
	if err != nil {
		t.Fatal(err)
	}
	side := &copySide{connection: c}
	for _, shape := range old {
		sum, rows, err := digestTable(t.Context(), side, shape)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.each(fmt.Sprintf("INSERT INTO manifest VALUES ('table %s', '%d %x')", shape.name, rows, sum), none); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Conn.Close(); err != nil {
		t.Fatal(err)
	}
	s, _, err := OpenBackup(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if mark, err := s.Mark(t.Context(), epoch); err != nil || mark != "" {
		t.Errorf("the epoch is %q, %v", mark, err)
	}
}

// TestResumed cuts a copy off after every commit in turn, lets the source go on,
// and resumes: in the end both sides are the same.
func TestResumed(t *testing.T) {
	source := opened(t, furnished(t))
	for after := 0; ; after++ {
		copied := opened(t, filepath.Join(t.TempDir(), "splitpin.db"))
		c, err := open(copied.path, sqlite.OpenReadWrite, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		side := &copySide{connection: c, at: storetest.Now.UnixMicro()}
		copyOnce := func(to target, resumed bool) error {
			from, err := source.snapshot(t.Context(), storetest.Now)
			if err != nil {
				t.Fatal(err)
			}
			defer from.close()
			spans, err := transfer(t.Context(), from, to, resumed, &progress{})
			if err == nil {
				err = compare(t.Context(), from, to, spans, &progress{})
			}
			return err
		}
		first := copyOnce(&cutOff{target: side, after: after}, false)
		// Rows that were copied already change, go and come.
		n := int64(after + 1)
		u := storetest.User(1<<50+n, 1)
		err = source.Change(t.Context(), splitpin.Reads{User: 2}, func(r *splitpin.Records) (splitpin.Writes, error) {
			r.User.Locale = fmt.Sprint(after)
			return splitpin.Writes{Put: []splitpin.Record{r.User}, Create: []splitpin.Record{u},
				Delete: []splitpin.Record{&splitpin.AuditEvent{Number: n * 11}}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := copyOnce(side, true); err != nil {
			t.Fatalf("cut off after %d commits and resumed: %v", after, err)
		}
		if got, want := digests(t, copied), digests(t, source); !maps.Equal(got, want) {
			t.Fatalf("cut off after %d commits and resumed, the copy holds\n%v\nwant\n%v", after, got, want)
		}
		c.Conn.Close()
		if first == nil {
			break // nothing was left to cut off
		}
		if !errors.Is(first, errCut) {
			t.Fatal(first)
		}
	}
}

var errCut = errors.New("cut off")

// cutOff ends a copy after so many commits.
type cutOff struct {
	target
	after int
}

func (c *cutOff) save(ctx context.Context, t *shape, from, to int64, rows []row) error {
	if c.after == 0 {
		return errCut
	}
	c.after--
	return c.target.save(ctx, t, from, to, rows)
}

// TestCompareNames: what differs after a copy is named by table and key.
func TestCompareNames(t *testing.T) {
	source := opened(t, furnished(t))
	from, err := source.snapshot(t.Context(), storetest.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer from.close()
	for _, test := range []struct {
		name, statement, table string
		keys                   int
	}{
		{"a changed row", "UPDATE users SET locale = 'x' WHERE number = 2", "users", 1},
		{"a missing row", "DELETE FROM users WHERE number = 2", "users", 1},
		{"a row more at the end", "INSERT INTO guesses VALUES (9223372036854775807, 1, x'')", "guesses", 1},
		{"many", "UPDATE audit_events SET detail = ''", "audit_events", 10},
		{"a table without ranges", "UPDATE counters SET value = 0", "counters", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			target := opened(t, filepath.Join(t.TempDir(), "splitpin.db"))
			c, err := open(target.path, sqlite.OpenReadWrite, time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Conn.Close()
			side := &copySide{connection: c, at: storetest.Now.UnixMicro()}
			spans, err := transfer(t.Context(), from, side, false, &progress{})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.each(test.statement, none); err != nil {
				t.Fatal(err)
			}
			err = compare(t.Context(), from, side, spans, &progress{})
			var d *difference
			if !errors.As(err, &d) {
				t.Fatalf("the error is %v", err)
			}
			if d.Table != test.table || len(d.Keys) != test.keys {
				t.Errorf("it names %s, %v", d.Table, d.Keys)
			}
		})
	}
}

func TestDigestOfExtremes(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "splitpin.db"))
	c, err := open(s.path, sqlite.OpenReadWrite, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Conn.Close()
	side := &copySide{connection: c}
	var rows []row
	for i := range int64(chunkRows) { // a whole chunk that ends with the last key there can be
		rows = append(rows, row{math.MaxInt64 - chunkRows + 1 + i, i, []byte{}})
	}
	rows[0][0] = int64(math.MinInt64)
	guesses := shapes[slices.IndexFunc(shapes, func(s *shape) bool { return s.name == "guesses" })]
	if err := side.save(t.Context(), guesses, math.MinInt64, math.MaxInt64, rows); err != nil {
		t.Fatal(err)
	}
	if _, n, err := digestTable(t.Context(), side, guesses); err != nil || n != chunkRows {
		t.Errorf("%d rows were read, %v", n, err)
	}
}

// FuzzCheckBackup changes bytes of a backup: whatever comes of it is an error or
// the backup, never a crash.
func FuzzCheckBackup(f *testing.F) {
	path := filepath.Join(f.TempDir(), "splitpin.db")
	s, err := OpenSQLite(f.Context(), path, Options{})
	if err != nil {
		f.Fatal(err)
	}
	defer s.Close()
	good := filepath.Join(f.TempDir(), "backup")
	if _, err := WriteBackup(f.Context(), s, good, storetest.Now, nil); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(good)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(0), []byte{})
	f.Add(uint32(100), []byte{0xff, 0xff, 0xff})
	f.Add(uint32(16), []byte{0, 1})
	f.Add(uint32(24), []byte{1, 2, 3, 4, 5, 6, 7, 8})
	f.Add(uint32(len(whole)-64), []byte{0x81, 0x82, 0x83, 0x84, 0x85})
	f.Fuzz(func(t *testing.T, at uint32, bytes []byte) {
		content := slices.Clone(whole)
		copy(content[int(at)%len(content):], bytes)
		path := filepath.Join(t.TempDir(), "backup")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if found, err := CheckBackup(t.Context(), path); err == nil && found == nil {
			t.Error("neither an error nor contents")
		}
	})
}
