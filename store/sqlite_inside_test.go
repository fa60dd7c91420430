package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/store/storetest"
)

// These tests look inside the SQLite store: at its groups, its file and its
// failures. What it must do like any other store is in storetest.

func openTest(t *testing.T, options Options) (*SQLite, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "splitpin.db")
	s, err := OpenSQLite(t.Context(), path, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return s, path
}

func event(number int64) *splitpin.AuditEvent {
	return &splitpin.AuditEvent{Number: number, At: time.UnixMicro(number).UTC()}
}

func save(s *SQLite, w splitpin.Writes) error {
	return s.Change(context.Background(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) { return w, nil })
}

// found returns the numbers of the events that are in the file.
func found(t *testing.T, s *SQLite) map[int64]bool {
	t.Helper()
	events, err := s.AuditEvents(t.Context(), splitpin.AuditFilter{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[int64]bool{}
	for _, e := range events {
		numbers[e.Number] = true
	}
	return numbers
}

// group holds the writer with a first step until n others wait behind it, so
// that all of them share one commit.
func group(t *testing.T, s *SQLite, n int, others func(wg *sync.WaitGroup)) {
	t.Helper()
	inside, leave := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	var once sync.Once // a step may run again
	wg.Go(func() {
		s.Change(context.Background(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
			once.Do(func() { close(inside) })
			<-leave
			return splitpin.Writes{}, nil
		})
	})
	<-inside
	others(&wg)
	for len(s.queue.calls) < n {
		runtime.Gosched()
	}
	close(leave)
	wg.Wait()
	if got := s.lastGroup.Load(); got > 0 && int(got) != n+1 {
		t.Errorf("the last commit held %d steps, want %d", got, n+1)
	}
}

func TestOneCommitForAGroup(t *testing.T) {
	s, _ := openTest(t, Options{})
	own := errors.New("own")
	var errs [5]error
	group(t, s, 5, func(wg *sync.WaitGroup) {
		for i := range errs {
			wg.Go(func() {
				defer func() {
					if value := recover(); value != nil {
						errs[i] = fmt.Errorf("panic: %v", value)
					}
				}()
				errs[i] = s.Change(context.Background(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
					w := splitpin.Writes{Create: []splitpin.Record{event(int64(i + 1))}}
					switch i {
					case 1:
						return w, own
					case 2:
						w.Put = []splitpin.Record{event(99)} // fails after the event was written
					case 3:
						panic("on purpose")
					}
					return w, nil
				})
			})
		}
	})
	if errs[0] != nil || errs[4] != nil || errs[1] != own || errs[2] == nil || errs[3] == nil ||
		!strings.Contains(errs[3].Error(), "on purpose") || !strings.Contains(errs[3].Error(), "sqlite_inside_test.go") {
		t.Errorf("errors %v", errs)
	}
	if got := found(t, s); len(got) != 2 || !got[1] || !got[5] {
		t.Errorf("found events %v, want 1 and 5", got)
	}
}

// A step that fails in the midst of its writes has the group run again, once, with a
// way back from each step. What ran before it is kept, from the second run alone, and
// so is what comes after, also another that fails.
func TestAGroupRunsAgain(t *testing.T) {
	s, _ := openTest(t, Options{FlushEvery: time.Hour})
	s.Take(t.Context(), time.Now(), splitpin.Charge{Key: 7, Burst: 1, Period: time.Hour, Cost: 1})
	var runs [5]int
	var errs [5]error
	group(t, s, len(runs)+1, func(wg *sync.WaitGroup) {
		wg.Go(func() {
			if err := s.flush(func(run func(*connection) error) error { return s.do(context.Background(), run) }); err != nil {
				t.Error(err)
			}
		})
		for len(s.queue.calls) < 1 {
			runtime.Gosched()
		}
		for i := range runs {
			wg.Go(func() {
				errs[i] = s.Change(context.Background(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
					runs[i]++
					first := event(int64(10*i + runs[i])) // numbered by the run, which no step may do
					w := splitpin.Writes{Create: []splitpin.Record{first}}
					if i == 1 || i == 3 {
						w.Put = []splitpin.Record{event(99)} // is not there
					}
					return w, nil
				})
			})
			for len(s.queue.calls) < i+2 { // so that they stand in this order
				runtime.Gosched()
			}
		}
	})
	if want := [5]int{2, 2, 1, 1, 1}; runs != want {
		t.Errorf("the steps ran %v times, want %v", runs, want)
	}
	if errs[0] != nil || errs[1] == nil || errs[2] != nil || errs[3] == nil || errs[4] != nil {
		t.Errorf("errors %v", errs)
	}
	if got := found(t, s); len(got) != 3 || !got[2] || !got[21] || !got[41] {
		t.Errorf("found events %v, want 2, 21 and 41", got)
	}
	var bytes int64
	if err := s.do(t.Context(), func(c *connection) (err error) { bytes, err = c.number(limitsSize); return err }); err != nil || bytes != 16 {
		t.Errorf("the log of the limits has %d bytes (error %v), want the one that was flushed", bytes, err)
	}
}

// The contract leaves a Put of what was not loaded undefined; here it is an error of
// the programmer's when the record is not there.
// Loose steps wait for one that must be durable, which waits for nobody.
func TestLooseStepsShareACommit(t *testing.T) {
	s, _ := openTest(t, Options{FlushEvery: time.Hour})
	s.linger = time.Hour
	mustSave(t, s, event(1))
	inside := make(chan struct{}, 2)
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() {
			err := s.Change(context.Background(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
				inside <- struct{}{}
				return splitpin.Writes{Create: []splitpin.Record{event(int64(2 + i))}, Loose: true}, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
		<-inside
	}
	for range 20 { // time enough to commit for who does not wait
		if got := found(t, s); len(got) != 1 {
			t.Fatalf("found events %v before one had to be durable", got)
		}
	}
	mustSave(t, s, event(4))
	wg.Wait()
	if got := s.lastGroup.Load(); got != 3 {
		t.Errorf("the last commit held %d steps, want the two loose ones with the other", got)
	}

	s.linger = time.Nanosecond
	if err := save(s, splitpin.Writes{Create: []splitpin.Record{event(5)}, Loose: true}); err != nil {
		t.Error(err)
	}
	if got := found(t, s); len(got) != 5 {
		t.Errorf("found events %v, want 1 to 5", got)
	}
}

func TestPutOfAMissingRecord(t *testing.T) {
	s, _ := openTest(t, Options{})
	for _, r := range []splitpin.Record{storetest.User(1, 2), storetest.Project(3), storetest.DataKey("codes", 4), event(5)} {
		err := save(s, splitpin.Writes{Create: []splitpin.Record{event(6)}, Put: []splitpin.Record{r}})
		if err == nil || splitpin.ErrorOf(err) != nil {
			t.Errorf("%T: got error %v, want an internal one", r, err)
		}
	}
	if got := found(t, s); len(got) != 0 {
		t.Errorf("found events %v of steps that failed", got)
	}
}

// A commit that fails fails for everybody in it, also for a step that had an
// error of its own: what it saw may have been a neighbour's, lost now.
func TestCommitFails(t *testing.T) {
	s, _ := openTest(t, Options{})
	full := errors.New("disk full")
	var errs [4]error
	s.failCommit = func() error { return full }
	group(t, s, len(errs), func(wg *sync.WaitGroup) {
		for i := range errs {
			wg.Go(func() {
				errs[i] = s.Change(context.Background(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
					if i == 3 {
						return splitpin.Writes{}, splitpin.ErrNotFound
					}
					return splitpin.Writes{Create: []splitpin.Record{event(int64(i + 1))}}, nil
				})
			})
		}
	})
	for i, err := range errs {
		if !errors.Is(err, splitpin.ErrUnavailable) || !errors.Is(err, full) {
			t.Errorf("step %d: got error %v, want ErrUnavailable because of the disk", i, err)
		}
	}
	if got := found(t, s); len(got) != 0 {
		t.Errorf("found events %v after a commit that failed", got)
	}
	if err := s.do(t.Context(), func(*connection) error { s.failCommit = nil; return nil }); err != nil {
		t.Error(err)
	}
	if err := save(s, splitpin.Writes{Create: []splitpin.Record{event(7)}}); err != nil {
		t.Errorf("after the disk had room again: %v", err)
	}
}

func TestDiskFull(t *testing.T) {
	s, _ := openTest(t, Options{})
	if err := save(s, splitpin.Writes{Create: []splitpin.Record{event(1)}}); err != nil {
		t.Fatal(err)
	}
	limit := func(pages int64) {
		t.Helper()
		if err := s.do(t.Context(), func(c *connection) error {
			return sqlitex.ExecuteTransient(c.Conn, fmt.Sprintf("PRAGMA max_page_count = %d", pages), nil)
		}); err != nil {
			t.Fatal(err)
		}
	}
	limit(1) // SQLite takes it for "no more than there are"
	large := event(2)
	large.Detail = strings.Repeat("x", 100_000)
	err := save(s, splitpin.Writes{Create: []splitpin.Record{event(3), large}})
	if !errors.Is(err, splitpin.ErrUnavailable) || sqlite.ErrCode(err) != sqlite.ResultFull {
		t.Errorf("got error %v, want ErrUnavailable because the disk is full", err)
	}
	limit(1 << 30)
	if err := save(s, splitpin.Writes{Create: []splitpin.Record{large}}); err != nil {
		t.Errorf("after the disk had room again: %v", err)
	}
	if got := found(t, s); len(got) != 2 || got[3] {
		t.Errorf("found events %v, want 1 and 2", got)
	}
}

// A test that fails inside a closure ends the goroutine it is in. That must not
// leave everybody waiting.
func TestGoexitInAStep(t *testing.T) {
	s, _ := openTest(t, Options{})
	err := s.Change(t.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
		runtime.Goexit()
		return splitpin.Writes{}, nil
	})
	if !errors.Is(err, splitpin.ErrUnavailable) {
		t.Errorf("got error %v, want ErrUnavailable", err)
	}
	if err := save(s, splitpin.Writes{Create: []splitpin.Record{event(1)}}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestQueueFull(t *testing.T) {
	s, _ := openTest(t, Options{Queue: 3})
	group(t, s, 3, func(wg *sync.WaitGroup) {
		for i := range 3 {
			wg.Go(func() {
				if err := save(s, splitpin.Writes{Create: []splitpin.Record{event(int64(i + 1))}}); err != nil {
					t.Error(err)
				}
			})
		}
		for len(s.queue.calls) < 3 {
			runtime.Gosched()
		}
		err := save(s, splitpin.Writes{Create: []splitpin.Record{event(9)}})
		if e := splitpin.ErrorOf(err); e == nil || !errors.Is(err, splitpin.ErrUnavailable) || e.RetryAfter <= 0 {
			t.Errorf("got error %v, want ErrUnavailable with a time to wait", err)
		}
	})
	if got := found(t, s); len(got) != 3 || got[9] {
		t.Errorf("found events %v, want 1 to 3", got)
	}
}

// Another process that writes is waited for, and not for ever.
func TestAnotherProcessWrites(t *testing.T) {
	s, path := openTest(t, Options{Patience: 50 * time.Millisecond})
	other, err := open(path, sqlite.OpenReadWrite, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.begin(true); err != nil {
		t.Fatal(err)
	}
	if err := save(s, splitpin.Writes{Create: []splitpin.Record{event(1)}}); !errors.Is(err, splitpin.ErrUnavailable) {
		t.Errorf("while it writes: got error %v, want ErrUnavailable", err)
	}
	if err := other.execute(rollback); err != nil {
		t.Fatal(err)
	}
	if err := save(s, splitpin.Writes{Create: []splitpin.Record{event(2)}}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if got := found(t, s); len(got) != 1 || !got[2] {
		t.Errorf("found events %v, want 2", got)
	}
}

func TestFile(t *testing.T) {
	s, path := openTest(t, Options{})
	if err := save(s, splitpin.Writes{Create: []splitpin.Record{event(1)}}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %o, want 600", filepath.Base(name), mode)
		}
	}
	migrations, err := migrationsFor("sqlite")
	if err != nil {
		t.Fatal(err)
	}
	for pragma, want := range map[string]int64{"page_size": 1024, "synchronous": 2, "user_version": int64(len(migrations))} {
		var got int64
		if err := s.do(t.Context(), func(c *connection) (err error) { got, err = c.pragma(pragma); return err }); err != nil || got != want {
			t.Errorf("%s is %d (error %v), want %d", pragma, got, err, want)
		}
	}
}

func TestForeignFiles(t *testing.T) {
	for name, script := range map[string]string{
		"another program's": "CREATE TABLE theirs (x)",
		"one with a mark":   "PRAGMA application_id = 42",
		"a newer version's": fmt.Sprintf("CREATE TABLE x (x); PRAGMA application_id = %d; PRAGMA user_version = 999", applicationID),
		"not a database":    "",
	} {
		path := filepath.Join(t.TempDir(), "file")
		if script == "" {
			if err := os.WriteFile(path, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
		} else {
			conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite, sqlite.OpenCreate)
			if err != nil {
				t.Fatal(err)
			}
			if err := sqlitex.ExecuteScript(conn, script, nil); err != nil {
				t.Fatal(err)
			}
			conn.Close()
		}
		before, _ := os.ReadFile(path)
		if s, err := OpenSQLite(t.Context(), path, Options{}); err == nil {
			s.Close()
			t.Errorf("%s file was opened", name)
		}
		if after, _ := os.ReadFile(path); script != "" && len(after) != len(before) {
			t.Errorf("%s file was changed", name)
		}
	}
}

// Two processes that start on an empty folder make the tables once.
func TestOpenAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "splitpin.db")
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			s, err := OpenSQLite(context.Background(), path, Options{})
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// The log of the limits is written anew before it is mostly old news, and two
// processes that write it lose nothing of each other.
func TestLimitsLog(t *testing.T) {
	s, path := openTest(t, Options{FlushEvery: time.Hour})
	now := time.Now()
	flush := func(s *SQLite) {
		t.Helper()
		if err := s.flush(func(run func(*connection) error) error { return s.do(context.Background(), run) }); err != nil {
			t.Fatal(err)
		}
	}
	other, err := OpenSQLite(t.Context(), path, Options{FlushEvery: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	take := func(s *SQLite, key int64) int {
		refused, _, err := s.Take(t.Context(), now, splitpin.Charge{Key: key, Burst: 1, Period: 24 * time.Hour, Cost: 1})
		if err != nil {
			t.Fatal(err)
		}
		return refused
	}
	for key := range int64(3000) {
		take(s, key+1)
	}
	take(other, 9999)
	flush(s)
	flush(other)
	if take(other, 5) != 0 || take(other, 2999) != 0 {
		t.Error("the other process did not hear of limits that were written")
	}
	for range 20 { // given back and taken again, so that each flush has much to write
		for key := range int64(3000) {
			s.Take(t.Context(), now, splitpin.Charge{Key: key + 1, Burst: 1, Period: 24 * time.Hour, Cost: -1})
			take(s, key+1)
		}
		flush(s)
	}
	var bytes int64
	if err := s.do(t.Context(), func(c *connection) (err error) {
		bytes, err = c.number(limitsSize)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if bytes < 16*3001 || bytes > 16*3*(3001+4*limitsChunk) {
		t.Errorf("the log has %d bytes for 3001 limits", bytes)
	}
	if err := errors.Join(s.Close(), other.Close()); err != nil {
		t.Fatal(err)
	}
	again, err := OpenSQLite(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	for _, key := range []int64{1, 1500, 3000, 9999} {
		if take(again, key) != 0 {
			t.Errorf("limit %d was forgotten", key)
		}
	}
}

var limitsSize = newQuery("SELECT sum(length(entries)) FROM limits")

func TestLimitsAreBounded(t *testing.T) {
	l := limits{marks: map[int64]int64{}, dirty: map[int64]int64{}}
	now := time.UnixMicro(1_800_000_000_000_000)
	for key := range int64(limitsMax + 10) {
		l.take(now, []splitpin.Charge{{Key: key, Burst: 1, Period: time.Hour + time.Duration(key)*time.Millisecond, Cost: 1}})
	}
	if n := len(l.marks); n > limitsMax || n < limitsMax/2 {
		t.Errorf("%d limits are kept", n)
	}
	if refused, _ := l.take(now, []splitpin.Charge{{Key: limitsMax - 1, Burst: 1, Period: 24 * time.Hour, Cost: 1}}); refused != 0 {
		t.Error("a limit that is far from full was forgotten before others")
	}
}

// FuzzCharge: whatever the numbers, nobody waits longer than the period, and
// who waits as long as told is admitted, unless the charge can never be.
func FuzzCharge(f *testing.F) {
	f.Add(int64(0), 5, int64(time.Minute), 1)
	f.Add(int64(1<<62), 1, int64(1), 1<<40)
	f.Add(int64(-1<<62), -3, int64(-5), -7)
	f.Fuzz(func(t *testing.T, mark int64, burst int, period int64, cost int) {
		now := time.UnixMicro(1_800_000_000_000_000)
		limit := int64(1000 * 24 * time.Hour)
		c := splitpin.Charge{Burst: burst, Period: time.Duration(period % limit), Cost: cost}
		keep, wait := charge(mark, c, now)
		if wait < 0 || wait > max(c.Period, time.Microsecond) {
			t.Fatalf("wait %v of a period of %v", wait, c.Period)
		}
		if wait == 0 && keep < now.UnixMicro() || wait == 0 && keep > now.Add(c.Period).UnixMicro() {
			t.Fatalf("admitted and keeps %d", keep)
		}
		if wait > 0 && cost <= burst && burst > 0 && c.Period >= time.Microsecond {
			if _, again := charge(keep, c, now.Add(wait)); again != 0 {
				t.Fatalf("waited %v and was told %v", wait, again)
			}
		}
	})
}

// Every field of every column list has a column, and no table has one more.
func TestColumnsMatch(t *testing.T) {
	check := func(name, list string, visit func(columns)) {
		var b counting
		visit(&b)
		if want := len(strings.Split(list, ", ")); int(b) != want {
			t.Errorf("%s: %d fields are visited for %d columns", name, b, want)
		}
	}
	check("projects", projects.list, func(c columns) { projectColumns(new(splitpin.Project), c) })
	check("data_keys", dataKeys.list, func(c columns) { dataKeyColumns(new(splitpin.DataKey), c) })
	check("signing_keys", signingKeys.list, func(c columns) { signingKeyColumns(new(splitpin.SigningKey), c) })
	check("users", users.list, func(c columns) { userColumns(new(splitpin.User), c) })
	check("attempts", attempts.list, func(c columns) { attemptColumns(new(splitpin.Attempt), c) })
	check("grants", grants.list, func(c columns) { grantColumns(new(splitpin.Grant), c) })
	check("guesses", guesses.list, func(c columns) { guessesColumns(new(splitpin.Guesses), c) })
	check("sessions", sessions.list, func(c columns) { sessionColumns(new(splitpin.Session), c) })
	check("messages", messages.list, func(c columns) { messageColumns(new(splitpin.Message), c) })
	check("audit_events", auditEvents.list, func(c columns) { auditEventColumns(new(splitpin.AuditEvent), c) })
}

type counting int

func (n *counting) Int64(*int64)    { *n++ }
func (n *counting) Int(*int)        { *n++ }
func (n *counting) Int8(*int8)      { *n++ }
func (n *counting) Uint32(*uint32)  { *n++ }
func (n *counting) Bool(*bool)      { *n++ }
func (n *counting) Text(*string)    { *n++ }
func (n *counting) Bytes(*[]byte)   { *n++ }
func (n *counting) Fixed([]byte)    { *n++ }
func (n *counting) Time(*time.Time) { *n++ }
func (n *counting) JSON(any)        { *n++ }

// The queries of every day find their way by an index.
func TestQueriesUseIndexes(t *testing.T) {
	s, _ := openTest(t, Options{})
	for _, q := range []*query{
		projectByID, userByNumber, userByID, userByName, userByClient, usersNewest, attemptByKey, grantByKey,
		guessesByKey, sessionByKey, sessionUser, sessionsLive, messageByKey, messagesDue, messageClaim, users.put, users.same, sessions.same,
		counterGet, counterAdd, markGet, limitsAfter,
	} {
		err := s.do(t.Context(), func(c *connection) error {
			stmt, _, err := c.PrepareTransient("EXPLAIN QUERY PLAN " + strings.ReplaceAll(q.text, "$", "?"))
			if err != nil {
				return err
			}
			defer stmt.Finalize()
			for {
				if more, err := stmt.Step(); !more {
					return err
				}
				if plan := stmt.GetText("detail"); strings.HasPrefix(plan, "SCAN") {
					t.Errorf("%s\n\t%s", q.text, plan)
				}
			}
		})
		if err != nil {
			t.Errorf("%s: %v", q.text, err)
		}
	}
}

// The newest events are found from the end of the table, however long that is.
func TestNewestEventsAreAtTheEnd(t *testing.T) {
	s, _ := openTest(t, Options{})
	err := s.do(t.Context(), func(c *connection) error {
		for _, q := range []*query{eventsNewer, eventsSince} {
			stmt, _, err := c.PrepareTransient("EXPLAIN QUERY PLAN " + strings.ReplaceAll(q.text, "$", "?"))
			if err != nil {
				return err
			}
			defer stmt.Finalize()
			var plan []string
			for {
				more, err := stmt.Step()
				if err != nil {
					return err
				}
				if !more {
					break
				}
				plan = append(plan, stmt.GetText("detail"))
			}
			sorted, bounded := slices.Contains(plan, "USE TEMP B-TREE FOR ORDER BY"), slices.Contains(plan, "SEARCH audit_events USING INTEGER PRIMARY KEY (rowid>?)")
			if sorted && !bounded {
				t.Errorf("%s\n\t%s", q.text, strings.Join(plan, "\n\t"))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A caller that leaves while its step stands in the queue takes the step along.
func TestLeavingTheQueue(t *testing.T) {
	s, _ := openTest(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	group(t, s, 0, func(*sync.WaitGroup) {
		left := make(chan error)
		go func() {
			left <- s.Change(ctx, splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
				t.Error("the step ran")
				return splitpin.Writes{Create: []splitpin.Record{event(1)}}, nil
			})
		}()
		for len(s.queue.calls) < 1 {
			runtime.Gosched()
		}
		cancel()
		if err := <-left; !errors.Is(err, splitpin.ErrUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("got error %v, want ErrUnavailable because of the context", err)
		}
	})
	if got := found(t, s); len(got) != 0 {
		t.Errorf("found events %v of a caller that had left", got)
	}
}
