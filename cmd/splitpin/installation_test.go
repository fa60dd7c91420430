package main

import (
	"context"
	"testing"
	"time"

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
