package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain lets this binary be the bare server too, as main does.
func TestMain(m *testing.M) {
	if body := os.Getenv(plainVariable); body != "" {
		exit(servePlain(body))
	}
	os.Exit(m.Run())
}

// TestMeasure runs a little of everything against the real server, so that the load
// program keeps up with it.
func TestMeasure(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("processor time is read from /proc")
	}
	o := options{engines: []string{"sqlite"}, only: []string{"signin", "open", "refresh", "user", "address", "keys", "plain"},
		length: 200 * time.Millisecond, rounds: 1, users: 3000, dir: t.TempDir()}
	err := o.prepared(func(o options) error {
		r, err := o.measure()
		if err != nil {
			return err
		}
		for _, name := range o.only {
			m := r.Engines["sqlite"][0].Scenarios[name]
			if m == nil || m.Operations == 0 || len(m.Errors) > 0 || m.Rate <= 0 || m.P50 <= 0 || m.Generator <= 0 {
				t.Errorf("%s: got %+v", name, m)
			}
			// What others leave to be written, like the limits every few seconds, is little.
			if writes := slices.Contains([]string{"signin", "open", "refresh"}, name); writes != (m.Logged > 300) {
				t.Errorf("%s logged %.0f bytes for each operation", name, m.Logged)
			}
		}
		path := filepath.Join(o.dir, "figures.md")
		if err := os.WriteFile(path, []byte("before\n"+figuresBegin+"old\n"+figuresEnd+"after\n"), 0o644); err != nil {
			return err
		}
		if err := r.putMarkdown(path); err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, want := range []string{"before\n", "after\n", "| whole sign-in, 32 connections", "≥ 2,500", "| key set"} {
			if !strings.Contains(string(text), want) {
				t.Errorf("the document lacks %q:\n%s", want, text)
			}
		}
		if strings.Contains(string(text), "old\n") {
			t.Errorf("the document has the old figures still:\n%s", text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSlope(t *testing.T) {
	tests := []struct {
		name   string
		values []float64
		want   float64
	}{
		{"nothing", nil, 0},
		{"one", []float64{7}, 0},
		{"flat", []float64{5, 5, 5, 5, 5, 5, 5, 5, 5, 5}, 0},
		{"two a minute", []float64{0, 2, 4, 6, 8, 10, 12, 14, 16, 18}, 2},
		{"caches that fill at first", []float64{1, 30, 50, 50, 50, 50, 50, 50, 50, 50}, 0},
		{"flat but for one spike", []float64{5, 5, 5, 5, 5, 500, 5, 5, 5, 5}, 0},
	}
	for _, test := range tests {
		if got := slope(test.values); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

func TestVerdict(t *testing.T) {
	tests := []struct {
		name string
		row  row
		want string
	}{
		{"no budget", row{Ours: 5}, ""},
		{"a rate above its floor", row{Ours: 5, Budget: 4, More: true}, "met"},
		{"a rate at its floor", row{Ours: 4, Budget: 4, More: true}, "met"},
		{"a rate below its floor", row{Ours: 3, Budget: 4, More: true}, "missed: too low"},
		{"a cost below its ceiling", row{Ours: 3, Budget: 4}, "met"},
		{"a cost at its ceiling", row{Ours: 4, Budget: 4}, "met"},
		{"a cost above its ceiling", row{Ours: 5, Budget: 4}, "missed: too high"},
	}
	for _, test := range tests {
		if got := test.row.met(); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}
