package signin_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/signin"
)

const networkPeriod = 5 * time.Minute

// counting is a store that counts what could hold others up: steps, which take the
// writer's time, and charges, which are a round trip where the store is far.
type counting struct {
	splitpin.Store
	changes, takes atomic.Int64
}

func (c *counting) Change(ctx context.Context, reads splitpin.Reads, decide func(*splitpin.Records) (splitpin.Writes, error)) error {
	c.changes.Add(1)
	return c.Store.Change(ctx, reads, decide)
}

func (c *counting) Take(ctx context.Context, now time.Time, charges ...splitpin.Charge) (int, time.Duration, error) {
	c.takes.Add(1)
	return c.Store.Take(ctx, now, charges...)
}

// counted has the store count from now on.
func (h *house) counted() *counting {
	c := &counting{Store: h.db.Store}
	h.db.Store, h.db.once = c, true
	return c
}

// A network that goes on starting is refused without the store, until its wait is
// over, or its limits changed.
func TestRefusedStartsCostNoCharge(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	for i := range signin.DefaultStartsPerNetwork {
		v.start(fmt.Sprintf("somebody%d@example.org", i))
	}
	store := h.counted()
	var wait time.Duration
	for i := range 500 {
		_, err := v.Start(t.Context(), v.request(fmt.Sprintf("another%d@example.org", i)))
		got := splitpin.ErrorOf(err)
		if got == nil || got.Code != signin.ErrChallenge.Code || got.Challenge == "" {
			t.Fatalf("start %d: got %v, want a puzzle", i, err)
		}
		wait = got.RetryAfter
	}
	if n := store.takes.Load(); n != 2 {
		t.Errorf("%d charges, want 2: one that refused, and one question about puzzles", n)
	}
	equal(t, "steps", store.changes.Load(), 0)

	neighbour := h.visitor("203.0.113.8")
	neighbour.start("cleo@example.org")
	h.clock.wait(wait - time.Microsecond)
	if _, err := v.Start(t.Context(), v.request("dan@example.org")); err == nil {
		t.Error("a start was admitted before its time")
	}
	h.clock.wait(time.Microsecond)
	v.start("dan@example.org")

	if _, err := v.Start(t.Context(), v.request("eve@example.org")); err == nil {
		t.Error("a start was admitted beyond the limit")
	}
	v.project = h.set(h.shop, func(s *splitpin.Settings) { s.Limits.StartsPerNetwork = 40 })
	h.clock.wait(networkPeriod / 40) // four times as soon as before
	v.start("eve@example.org")
}

// What was given back is not remembered as refused.
func TestRefusalsAreForgottenWithWhatIsGivenBack(t *testing.T) {
	h := newHouse(t)
	h.shop = h.set(h.shop, func(s *splitpin.Settings) { s.Limits.MessagesPerAddress = 2 })
	v := h.visitor("203.0.113.7")
	o := v.start(ada)
	h.clock.wait(31 * time.Second)
	// The attempt is answered while its message is asked for again, by which the
	// lane is spent for a moment; a start that comes then is refused.
	h.db.meanwhile(func() {
		_, err := v.Start(t.Context(), v.request(ada))
		refused(t, "a start while the lane is spent", err, signin.ErrManyMessages)
		o.mustAnswer()
	})
	_, err := v.Resend(t.Context(), o.handle, "")
	refused(t, "asking again for a message of an answered attempt", err, signin.ErrOver)
	v.start(ada)
}
