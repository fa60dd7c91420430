package simulation

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strings"
	"time"
)

// An event is one line of the trace. It holds no secret: codes and tokens are
// named by attempt, session and counter.
type event struct {
	at     time.Duration // since the world began, by the true clock
	who    string
	what   string
	detail string
	a, b   int64 // what it is about: see the words of what
}

func (e event) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%14s  %-16s %s", e.at.Round(time.Microsecond), e.who, e.what)
	if e.a != 0 {
		fmt.Fprintf(&b, " %d", e.a)
	}
	if e.b != 0 {
		fmt.Fprintf(&b, "/%d", e.b)
	}
	if e.detail != "" {
		b.WriteString(" " + e.detail)
	}
	return b.String()
}

// A trace remembers the last events and the hash of all of them.
type trace struct {
	hash  hash.Hash
	count int
	last  []event
	line  []byte
}

// shown is how many events a failure shows.
const shown = 150

func newTrace() trace { return trace{hash: sha256.New()} }

func (t *trace) add(e event) {
	t.count++
	t.line = binary.BigEndian.AppendUint64(t.line[:0], uint64(e.at))
	t.line = append(append(append(t.line, e.who...), 0), e.what...)
	t.line = append(append(append(t.line, 0), e.detail...), 0)
	t.line = binary.BigEndian.AppendUint64(t.line, uint64(e.a))
	t.line = binary.BigEndian.AppendUint64(t.line, uint64(e.b))
	t.hash.Write(t.line)
	if len(t.last) == 2*shown {
		t.last = slices.Delete(t.last, 0, shown)
	}
	t.last = append(t.last, e)
}

func (t *trace) sum() string { return hex.EncodeToString(t.hash.Sum(nil)[:16]) }

// text is the last events, a line each.
func (t *trace) text() string {
	var b strings.Builder
	from := max(0, len(t.last)-shown)
	if skipped := t.count - len(t.last) + from; skipped > 0 {
		fmt.Fprintf(&b, "  (%d earlier events)\n", skipped)
	}
	for _, e := range t.last[from:] {
		b.WriteString("  " + e.String() + "\n")
	}
	return b.String()
}

// note adds an event by the actor that runs.
func (w *world) note(what string, a, b int64, detail string) {
	who := "world"
	if w.running != nil {
		who = w.running.name
	}
	w.trace.add(event{at: w.now.Sub(epoch), who: who, what: what, detail: detail, a: a, b: b})
}
