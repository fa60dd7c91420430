package main

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/store"
)

// elsewhen is a database whose clock is another.
type elsewhen struct {
	store.Database
	off time.Duration
}

func (d elsewhen) Now(context.Context) (time.Time, error) { return now().Add(d.off), nil }

// A node whose clock is wrong neither rotates keys nor deletes anything.
func TestTimely(t *testing.T) {
	for off, want := range map[time.Duration]bool{0: true, 3 * time.Second: true, time.Hour: false, -time.Hour: false} {
		in := &installation{store: elsewhen{off: off}}
		taken := false
		_, err := in.timely(func(context.Context, time.Time) (bool, error) { taken = true; return false, nil })(t.Context(), now())
		if taken != want || (err == nil) != want {
			t.Errorf("with a clock that is %v off: taken %v, error %v; want taken %v", -off, taken, err, want)
		}
	}
}

// A sweep goes on at once while batches are full, and rests when one was not: the
// few records that die while it works can wait for its next turn.
func TestSweepRests(t *testing.T) {
	in, err := open(t.Context(), filepath.Join(t.TempDir(), databaseFile), "https://login.example", store.Options{}, []keyring.Master{keyring.NewMaster()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	const dead = 2*sweepBatch + 3
	at := now()
	var w splitpin.Writes
	for range dead {
		number, err := in.store.NextNumber(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w.Create = append(w.Create, &splitpin.AuditEvent{Number: number, At: at.Add(-time.Hour), Kind: "session_opened"})
	}
	if err := in.store.Change(t.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) { return w, nil }); err != nil {
		t.Fatal(err)
	}
	step := in.sweep(time.Minute)
	for turn, want := range []bool{true, true, false} {
		more, err := step(t.Context(), at)
		if err != nil || more != want {
			t.Errorf("turn %d: more %v (error %v), want %v", turn, more, err, want)
		}
	}
	left, err := in.store.AuditEvents(t.Context(), splitpin.AuditFilter{}, 10)
	if err != nil || len(left) != 0 {
		t.Errorf("%d events are left (error %v)", len(left), err)
	}
}
