package e2e

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestPowerCut cuts the power at many moments of a storm of sign-ins (six;
// E2E_ROUNDS says otherwise). A kill is milder: what a killed process wrote, the
// kernel still has; a power cut takes what was not synced.
//
// strace writes down what the server writes to its database and when it syncs. For
// each cut the files are made as a disk could hold them at that moment: all that
// was synced, and of the rest any sectors, some new and some old. A server that is
// started on them must keep whatever was acknowledged before.
func TestPowerCut(t *testing.T) {
	cuts := rounds(t, 6)
	clock := newClock(t)
	post := startPost(t)
	s := newServe(t, clock, post)
	s.start(t)
	p := s.firstProject(t)

	trace := s.strace(t, "-xx", "-y", "-s", "1048576", "-P", s.database(), "-P", s.database()+"-wal",
		"-e", "trace=pwrite64,write,writev,pwritev,ftruncate,fallocate,fsync,fdatasync,unlink,rename")
	before := readDisk(t, s.database(), s.database()+"-wal")
	people := storm(t, p, post, 0, min(time.Duration(cuts)*300*time.Millisecond, 20*time.Second), false, s.program.kill)
	events := trace.events(t)

	var total tally
	lost := 0
	for cut := range cuts {
		seed := mathrand.Uint64()
		random := mathrand.New(mathrand.NewPCG(seed, 0))
		n := 1 + random.IntN(len(events))
		disk := before.after(t, events[:n], random)
		lost += disk.lost

		// The same hour as then: whoever comes back does so at once.
		moment := events[n-1].at
		clock.set(t, time.Until(moment))
		q := s.on(t, disk).project(p)
		for _, who := range people {
			if then := who.asOf(moment, q); then.start.state() != never {
				then.afterRestart(t, &total)
			}
		}
		q.kill()
		if t.Failed() {
			t.Fatalf("cut %d of %d, after %d of %d events, seed %d: see above", cut, cuts, n, len(events), seed)
		}
	}
	t.Logf("%d cuts in %d events, %d writes lost or torn: %s", cuts, len(events), lost, total)
	if total.collected == 0 || lost == 0 {
		t.Errorf("the cuts hit nothing: %d writes lost or torn, %s", lost, total)
	}
}

// asOf returns the person with the record as it stood at a moment, meeting another
// server.
func (who *person) asOf(moment time.Time, p *project) *person {
	then := *who
	then.project = p
	for _, f := range []*fact{&then.start, &then.answer, &then.collect, &then.refresh} {
		if f.acknowledged.After(moment) {
			f.acknowledged = time.Time{}
		}
		if f.asked.After(moment) {
			f.asked = time.Time{}
		}
	}
	if then.refresh.state() != acknowledged {
		then.newest = then.first
	}
	return &then
}

// database is the server's file.
func (s *serve) database() string { return filepath.Join(s.data, "splitpin.db") }

// on starts the server on another disk.
func (s *serve) on(t *testing.T, d *disk) *serve {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(data, os.DirFS(s.data)); err != nil {
		t.Fatal(err)
	}
	for name := range d.files {
		os.Remove(filepath.Join(data, filepath.Base(name)))
	}
	os.Remove(filepath.Join(data, filepath.Base(s.database())+"-shm")) // memory, which a power cut takes
	for name, content := range d.files {
		if err := os.WriteFile(filepath.Join(data, filepath.Base(name)), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	other := &serve{
		dev:    &dev{url: s.url, data: data, binary: s.binary, seen: map[string]string{}},
		listen: s.listen,
		env:    append(slices.Clone(s.env), "SPLITPIN_DATA="+data),
	}
	other.dev.env = other.env
	other.start(t)
	return other
}

// project returns a project of another server that this one has too.
func (s *serve) project(p *project) *project {
	q := *p
	q.dev = s.dev
	return &q
}

// ------------------------------------------------------------------ the disk

// A disk is what files hold for certain, by name.
type disk struct {
	files map[string][]byte
	lost  int // writes that were lost or torn to make it
}

func readDisk(t *testing.T, names ...string) *disk {
	t.Helper()
	d := &disk{files: map[string][]byte{}}
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		d.files[name] = content
	}
	return d
}

const sector = 512 // what a disk writes as a whole or not at all

// after returns what the disk could hold when the power is cut after events. A
// change that was not synced may have reached it or not, each sector for itself,
// in any order.
func (d *disk) after(t *testing.T, events []event, random *mathrand.Rand) *disk {
	t.Helper()
	cut := &disk{files: maps.Clone(d.files)}
	for name, content := range cut.files {
		cut.files[name] = bytes.Clone(content)
	}
	waiting := map[string][]event{}
	for _, e := range events {
		if e.kind != synced {
			waiting[e.file] = append(waiting[e.file], e)
			continue
		}
		for _, w := range waiting[e.file] {
			cut.apply(w)
		}
		waiting[e.file] = nil
	}
	for _, name := range slices.Sorted(maps.Keys(waiting)) {
		for _, w := range waiting[name] {
			if w.kind == truncated {
				if random.IntN(2) == 0 {
					cut.apply(w)
				} else {
					cut.lost++
				}
				continue
			}
			whole := true
			for from := 0; from < len(w.data); {
				// Sectors lie on the file, not on the write.
				to := min(len(w.data), from+sector-int(w.offset+int64(from))%sector)
				if random.IntN(2) == 0 {
					cut.apply(event{kind: wrote, file: name, offset: w.offset + int64(from), data: w.data[from:to]})
				} else {
					whole = false
				}
				from = to
			}
			if !whole {
				cut.lost++
			}
		}
	}
	return cut
}

func (d *disk) apply(e event) {
	content := d.files[e.file]
	end := e.offset + int64(len(e.data))
	if grow := end - int64(len(content)); grow > 0 {
		content = append(content, make([]byte, grow)...)
	}
	switch e.kind {
	case wrote:
		copy(content[e.offset:], e.data)
	case truncated:
		content = content[:e.offset]
	}
	d.files[e.file] = content
}

// ----------------------------------------------------------------- the trace

type kind int

const (
	wrote kind = iota
	truncated
	synced
)

// An event is one call that changed a file or synced it.
type event struct {
	kind   kind
	file   string
	offset int64 // of a write; the new length of a truncated file
	data   []byte
	at     time.Time // when the call returned
}

// A strace is attached to a server and ends with it.
type strace struct {
	*program
	file string
}

// strace attaches to the running server and returns once it sees every thread.
func (s *serve) strace(t *testing.T, args ...string) *strace {
	t.Helper()
	file := filepath.Join(t.TempDir(), "trace")
	args = append([]string{"-f", "-ttt", "-T", "-e", "signal=none", "-o", file, "-p", strconv.Itoa(s.program.cmd.Process.Pid)}, args...)
	trace := &strace{launch(t, s.data, nil, stracePath, args...), file}
	until(t, deadlines.step, "strace is attached", func() bool {
		select {
		case <-trace.exited:
			t.Fatalf("strace ended:\n%s", trace.out.String())
		default:
		}
		return strings.Contains(trace.out.String(), "attached")
	})
	return trace
}

var (
	traceLine = regexp.MustCompile(`^(\d+) +(\d+\.\d+) (?:<\.\.\. )?(\w+)(.*)$`)
	traceCall = regexp.MustCompile(`^\(\d+<([^>]*)>(?:, "([^"]*)", (\d+))?(?:, (\d+))?`)
	traceEnd  = regexp.MustCompile(`\) += (-?\d+).* <(\d+\.\d+)>$`)
)

// events waits for the end of the traced server and reads what it did, in the
// order in which the calls returned. A call it does not understand is a failure, or
// the disk would be made wrongly.
func (s *strace) events(t *testing.T) []event {
	t.Helper()
	<-s.exited
	f, err := os.Open(s.file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var events []event
	begun := map[string]event{} // by thread: calls that have not returned yet
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		line := lines.Text()
		m := traceLine.FindStringSubmatch(line)
		if m == nil {
			if strings.Contains(line, "+++") {
				continue // a thread ended
			}
			t.Fatalf("strace wrote %.200q", line)
		}
		thread, call, rest := m[1], m[3], m[4]
		e, resumed := begun[thread]
		if !strings.HasPrefix(rest, " resumed>") {
			e, resumed = parseCall(t, call, rest, line), false
		}
		delete(begun, thread)
		end := traceEnd.FindStringSubmatch(rest)
		if end == nil {
			begun[thread] = e // unfinished, or the kill took the end
			continue
		}
		start, took := parseFloat(t, m[2]), 0.0
		if !resumed { // the time of a resumed call is already that of its end
			took = parseFloat(t, end[2])
		}
		e.at = time.UnixMicro(int64((start + took) * 1e6))
		switch result, _ := strconv.Atoi(end[1]); {
		case result < 0:
			t.Fatalf("a call of the server was refused: %.200q", line)
		case e.kind == wrote && result != len(e.data):
			e.data = e.data[:result]
		}
		events = append(events, e)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if len(events) == 0 {
		t.Fatal("strace saw no write to the database")
	}
	return events
}

func parseCall(t *testing.T, call, rest, line string) event {
	t.Helper()
	m := traceCall.FindStringSubmatch(rest)
	if m == nil {
		t.Fatalf("strace wrote %.200q", line)
	}
	e := event{file: string(unhex(t, m[1]))}
	number := func(text string) int64 {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			t.Fatalf("strace wrote %.200q", line)
		}
		return n
	}
	switch call {
	case "pwrite64":
		e.kind, e.data, e.offset = wrote, unhex(t, m[2]), number(m[4])
	case "ftruncate":
		e.kind, e.offset = truncated, number(m[4])
	case "fsync", "fdatasync":
		e.kind = synced
	default:
		t.Fatalf("the server changes its database by %s, which this test does not know", call)
	}
	return e
}

// unhex decodes what strace writes with -xx: \x41\x42.
func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, `\x`, ""))
	if err != nil {
		t.Fatalf("strace wrote %.200q: %v", text, err)
	}
	return b
}

func parseFloat(t *testing.T, text string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(fmt.Errorf("strace wrote %q: %w", text, err))
	}
	return v
}
