package signin_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
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

// forge returns what looks like the token and is not genuine.
func forge(text splitpin.Secret) splitpin.Secret {
	b := []byte(text.Reveal())
	last := &b[len(b)-1]
	if *last = 'A'; b[len(b)-2] == 'A' {
		b[len(b)-2] = 'B'
	} else {
		b[len(b)-2] = 'A'
	}
	return splitpin.Secret(b)
}

// Garbage of a network reaches a step once. After that it is looked up, and when the
// network's limit is spent not charged either; what is genuine passes all the same.
func TestGarbageCostsNoStep(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	session := v.signIn(ada)
	o := h.visitor("203.0.113.8").start("bob@example.org")
	granted := h.visitor("203.0.113.9").start("cleo@example.org")
	code := granted.mustAnswer()
	store := h.counted()

	const n = 200
	refreshes := 0
	for range n {
		_, err := v.refresh(forge(session.Tokens.RefreshToken))
		switch e := splitpin.ErrorOf(err); {
		case e == nil:
			t.Fatalf("a forged token gave %v", err)
		case e.Code == signin.ErrRefresh.Code:
			refreshes++
		}
	}
	equal(t, "forged tokens before the limit", refreshes, 60)
	equal(t, "steps for forged tokens", store.changes.Load(), 1)
	equal(t, "charges for forged tokens", store.takes.Load(), 61)

	// From the same network: unknown codes and attempts, and logouts of nobody.
	for range n {
		var b [40]byte
		rand.Read(b[7:])
		request := granted.collection(code)
		request.Code, request.By = base64.RawURLEncoding.EncodeToString(b[:]), v.by
		if _, err := v.Collect(t.Context(), request); err == nil {
			t.Fatal("an unknown code gave a session")
		}
		handle := o.handle
		handle.Secret, handle.By = "AAAAAAAAAAAAAAAAAAAAAA", v.by
		_, err := v.Answer(t.Context(), handle, said("123456"))
		refused(t, "answering an attempt of somebody else", err, signin.ErrUnknown)
		if err := v.Logout(t.Context(), signin.RefreshRequest{Project: v.project, Token: forge(session.Tokens.RefreshToken), By: v.by}); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "steps for other garbage", store.changes.Load(), 1)
	equal(t, "charges for other garbage", store.takes.Load(), 61)

	// Neighbours on that network are served.
	o.handle.By, granted.handle.By = v.by, v.by
	if _, err := o.answer(o.right()); err != nil {
		t.Errorf("answering from the network: %v", err)
	}
	request := granted.collection(code)
	request.By = v.by
	if _, err := v.Collect(t.Context(), request); err != nil {
		t.Errorf("collecting from the network: %v", err)
	}
	if _, err := v.refresh(session.Tokens.RefreshToken); err != nil {
		t.Errorf("refreshing from the network: %v", err)
	}
	if err := v.Logout(t.Context(), signin.RefreshRequest{Project: v.project, Token: session.Tokens.RefreshToken, By: v.by}); err != nil {
		t.Fatal(err)
	}
	if s := h.load(splitpin.Reads{Session: session.Session.Number}).Session; s.RevokedAt.IsZero() {
		t.Error("logging out from the network ended no session")
	}
	// The limit is over when it said so.
	h.clock.wait(networkPeriod / 60)
	_, err := v.refresh(forge(session.Tokens.RefreshToken))
	refused(t, "a forged token when the limit has room again", err, signin.ErrRefresh)
}

// Garbage from everywhere reaches a step some hundred times.
func TestGarbageFromEverywhere(t *testing.T) {
	h := newHouse(t)
	session := h.visitor("203.0.113.7").signIn(ada)
	store := h.counted()
	for i := range 700 {
		v := h.visitor(fmt.Sprintf("198.18.%d.%d", i/250, i%250))
		_, err := v.refresh(forge(session.Tokens.RefreshToken))
		refused(t, "a forged token", err, signin.ErrRefresh)
	}
	if n := store.changes.Load(); n != 501 {
		t.Errorf("%d steps, want 501", n)
	}
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
	_, err := v.Resend(t.Context(), o.handle)
	refused(t, "asking again for a message of an answered attempt", err, signin.ErrOver)
	v.start(ada)
}
