package token

import (
	"bytes"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/splitpin/splitpin"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func sessionAt(now time.Time) *splitpin.Session {
	s := &splitpin.Session{Number: 7, Project: 1, Counter: 1, CreatedAt: now, UsedAt: now, ExpiresAt: now.Add(AbsoluteLife)}
	s.IdleUntil = idleUntil(s, now)
	return s
}

func TestDecide(t *testing.T) {
	type step struct {
		after   time.Duration // since the session began
		counter uint32
		want    Verdict
		current uint32 // the session's counter afterwards
	}
	tests := []struct {
		name   string
		static bool
		steps  []step
	}{
		{"the current one rotates", false, []step{{time.Hour, 1, Rotated, 2}, {2 * time.Hour, 2, Rotated, 3}}},
		{"three tabs race", false, []step{{time.Hour, 1, Rotated, 2}, {time.Hour, 1, Same, 2}, {time.Hour + 59*time.Second, 1, Same, 2}}},
		{"a tab that lost and another that goes on", false, []step{
			{time.Hour, 1, Rotated, 2}, {time.Hour + time.Second, 2, Rotated, 3}, {time.Hour + 2*time.Second, 1, Same, 3}, {time.Hour + 3*time.Second, 2, Same, 3}}},
		{"reuse at the end of the grace", false, []step{{time.Hour, 1, Rotated, 2}, {time.Hour + Grace, 1, Reused, 2}}},
		{"nothing after reuse, in the grace or not", false, []step{
			{time.Hour, 1, Rotated, 2}, {2 * time.Hour, 2, Rotated, 3}, {2 * time.Hour, 1, Reused, 3}, {2 * time.Hour, 2, Ended, 3}, {2 * time.Hour, 3, Ended, 3}}},
		{"reuse is seen right after the owner came back", false, []step{
			{time.Hour, 1, Rotated, 2}, {time.Hour + 30*time.Second, 2, Rotated, 3}, {24 * time.Hour, 3, Rotated, 4}, {24 * time.Hour, 2, Reused, 4}}},
		{"ahead after a restored backup", false, []step{{time.Hour, 2, Ahead, 1}, {time.Hour, 1, Rotated, 2}}},
		{"idle for too long", false, []step{{IdleLife, 1, Ended, 1}}},
		{"not idle for too long", false, []step{{IdleLife - time.Second, 1, Rotated, 2}, {2*IdleLife - 2*time.Second, 2, Rotated, 3}}},
		{"older than a session may be", false, []step{
			{29 * 24 * time.Hour, 1, Rotated, 2}, {58 * 24 * time.Hour, 2, Rotated, 3}, {87 * 24 * time.Hour, 3, Rotated, 4}, {AbsoluteLife, 4, Ended, 4}}},
		{"static stays", true, []step{{time.Hour, 1, Same, 1}, {StaticIdleLife, 1, Same, 1}, {2*StaticIdleLife - time.Hour, 1, Same, 1}}},
		{"static idle for too long", true, []step{{StaticIdleLife, 1, Ended, 1}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := sessionAt(start)
			s.Static = test.static
			s.IdleUntil = idleUntil(s, start)
			for i, step := range test.steps {
				got := decide(s, step.counter, start.Add(step.after))
				if got != step.want || s.Counter != step.current {
					t.Fatalf("step %d: got %s and counter %d, want %s and %d", i, got, s.Counter, step.want, step.current)
				}
			}
			if s.IdleUntil.After(s.ExpiresAt) {
				t.Errorf("idle until %s, after the end %s", s.IdleUntil, s.ExpiresAt)
			}
		})
	}
}

func TestCounterDoesNotStartOver(t *testing.T) {
	s := sessionAt(start)
	s.Counter = math.MaxUint32
	if got := decide(s, math.MaxUint32, start.Add(time.Hour)); got != Ended || s.Counter != math.MaxUint32 {
		t.Errorf("got %s and counter %d, want ended and the same counter", got, s.Counter)
	}
}

// model remembers what three marks stand for: when each token was superseded.
type model struct {
	current    uint32
	superseded map[uint32]time.Time
	revoked    bool
}

// TestMarksAgainstModel lets time pass and tokens old and new be shown in any
// order and density, and holds each verdict against a model that remembers every
// moment. What must hold: no token superseded less than one grace ago revokes;
// every one superseded two graces ago or longer does; no two tokens succeed one.
func TestMarksAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := start
		s := sessionAt(now)
		m := model{current: 1, superseded: map[uint32]time.Time{}}
		forward := true
		if rapid.Bool().Draw(t, "with a clock that goes back") {
			forward = false
		}
		// Gaps around the grace, where the marks change places, and long ones.
		gap := rapid.OneOf(
			rapid.Int64Range(0, int64(5*time.Second)),
			rapid.Int64Range(int64(25*time.Second), int64(65*time.Second)),
			rapid.SampledFrom([]int64{int64(Grace), int64(Grace) - 1, int64(Grace) + 1, int64(2 * Grace), int64(time.Hour)}),
		)
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			now = now.Add(time.Duration(gap.Draw(t, "gap")))
			if !forward && rapid.IntRange(0, 9).Draw(t, "back") == 0 {
				now = now.Add(-time.Duration(rapid.Int64Range(0, int64(10*time.Minute)).Draw(t, "by")))
			}
			counter := m.current
			if rapid.IntRange(0, 3).Draw(t, "old") == 0 {
				counter = rapid.Uint32Range(max(1, m.current-min(m.current, 6)), m.current).Draw(t, "counter")
			}
			before := *s
			got := decide(s, counter, now)
			switch {
			case m.revoked:
				if got != Ended {
					t.Fatalf("%s after the session was revoked", got)
				}
			case counter == m.current:
				if got != Rotated || s.Counter != m.current+1 {
					t.Fatalf("the current token: %s, counter %d after %d", got, s.Counter, m.current)
				}
				m.superseded[m.current] = now
				m.current++
			default:
				age := now.Sub(m.superseded[counter])
				switch {
				case got == Reused && age < Grace:
					t.Fatalf("revoked for a token superseded %s ago", age)
				case got == Same && forward && age >= 2*Grace:
					t.Fatalf("a token superseded %s ago still gives one", age)
				case got != Same && got != Reused:
					t.Fatalf("a superseded token: %s", got)
				case got == Same && *s != before:
					t.Fatalf("a second successor: %+v became %+v", before, *s)
				}
				m.revoked = got == Reused
			}
		}
	})
}

// TestEveryOldTokenIsSeen asks about every token at every moment, without
// spending the session on it: the bounds hold for all of them at once.
func TestEveryOldTokenIsSeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := start
		s := sessionAt(now)
		at := map[uint32]time.Time{}
		for range rapid.IntRange(1, 60).Draw(t, "rotations") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(90*time.Second)).Draw(t, "gap")))
			at[s.Counter] = now
			decide(s, s.Counter, now)
			for _, wait := range []time.Duration{0, Grace / 2, Grace - 1, Grace, 2 * Grace} {
				for counter, superseded := range at {
					copied := *s
					got := decide(&copied, counter, now.Add(wait))
					age := now.Add(wait).Sub(superseded)
					if got == Reused && age < Grace || got == Same && age >= 2*Grace {
						t.Fatalf("a token superseded %s ago: %s", age, got)
					}
				}
			}
		}
	})
}

func TestParseRefreshIsStrict(t *testing.T) {
	good := strings.Repeat("A", 48)
	tests := []struct{ name, text string }{
		{"empty", ""},
		{"what the web SDK stores for nothing", "undefined"},
		{"no number", ":" + good},
		{"zero", "0:" + good},
		{"leading zero", "07:" + good},
		{"plus", "+7:" + good},
		{"minus", "-7:" + good},
		{"space before", " 7:" + good},
		{"space after", "7:" + good + " "},
		{"line end inside", "7:" + good[:40] + "\n" + good[:7]},
		{"too large a number", "9223372036854775808:" + good},
		{"twenty digits", "10000000000000000000:" + good},
		{"short", "7:" + good[1:]},
		{"long", "7:" + good + "A"},
		{"padded", "7:" + good[:47] + "="},
		{"standard base64", "7:" + good[:47] + "+"},
		{"two colons", "7::" + good[1:]},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if p, err := ParseRefresh(test.text); err == nil {
				t.Errorf("parsed as session %d", p.Session)
			} else if strings.Contains(err.Error(), "AAAA") {
				t.Errorf("the error quotes the token: %s", err)
			}
		})
	}
	if p, err := ParseRefresh("9223372036854775807:" + good); err != nil || p.Session != math.MaxInt64 {
		t.Errorf("the largest number: got %d, %v", p.Session, err)
	}
}

func TestPresentedDoesNotPrint(t *testing.T) {
	p, err := ParseRefresh("7:" + strings.Repeat("QUFB", 12)) // 36 times 'A'
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		fmt.Fprintf(&out, verb+" "+verb+"\n", p, []Presented{p})
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "presented", p)
	for _, leak := range []string{"AAA", "4141", "65 65", "0x41", "QUFB"} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("%q is in %s", leak, out.String())
		}
	}
}

func FuzzParseRefresh(f *testing.F) {
	f.Add("27805:" + strings.Repeat("A", 48))
	f.Add("7:" + strings.Repeat("_", 48))
	f.Add("07:" + strings.Repeat("A", 48))
	f.Add("7:\r\n" + strings.Repeat("A", 46))
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseRefresh(text)
		if err != nil {
			return
		}
		raw := []byte{byte(p.counter >> 24), byte(p.counter >> 16), byte(p.counter >> 8), byte(p.counter)}
		if back := fmt.Sprintf("%d:%s", p.Session, base64url(append(raw, p.mac[:]...))); back != text {
			t.Errorf("%q was read as %q", text, back)
		}
	})
}
