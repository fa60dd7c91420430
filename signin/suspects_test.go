package signin_test

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/signin"
)

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

// Garbage of a network reaches a step ten times. After that it is looked up, and when the
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
	equal(t, "steps for forged tokens", store.changes.Load(), 10)
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
	equal(t, "steps for other garbage", store.changes.Load(), 10)
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

// Garbage from everywhere reaches a step some hundred times. The networks that sent
// one try each are served like others where a server has to choose.
func TestGarbageFromEverywhere(t *testing.T) {
	h := newHouse(t)
	session := h.visitor("203.0.113.7").signIn(ada)
	store := h.counted()
	for i := range 700 {
		v := h.visitor(fmt.Sprintf("198.18.%d.%d", i/250, i%250))
		_, err := v.refresh(forge(session.Tokens.RefreshToken))
		refused(t, "a forged token", err, signin.ErrRefresh)
	}
	if n := store.changes.Load(); n != 500 {
		t.Errorf("%d steps, want 500", n)
	}
	if h.Suspects(netip.MustParseAddr("198.18.0.1")) {
		t.Error("one try makes a network wait for others")
	}
	h.clock.wait(6 * time.Minute)
	_, err := h.visitor("198.18.0.1").refresh(forge(session.Tokens.RefreshToken))
	refused(t, "a forged token when that is over", err, signin.ErrRefresh)
	if n := store.changes.Load(); n != 501 {
		t.Errorf("%d steps after it was over, want 501", n)
	}
}

// People who come back to a session that was swept are no garbage, as long as they
// are few among those who are signed in: neither for their network, nor where each
// of many networks has one.
func TestSweptSessionsMakeNobodySuspect(t *testing.T) {
	h := newHouse(t)
	office := h.visitor("203.0.113.7")
	session := office.signIn(ada)
	returns := func(v *visitor) {
		t.Helper()
		_, err := v.refresh(forge(session.Tokens.RefreshToken))
		refused(t, "a token of nothing", err, signin.ErrRefresh)
	}
	stays := func(v *visitor) {
		t.Helper()
		fresh, err := v.refresh(session.Tokens.RefreshToken)
		if err != nil {
			t.Fatal(err)
		}
		session.Tokens = fresh.Tokens
	}
	store := h.counted()
	const n = 30
	for range n {
		returns(office)
		for range 5 {
			stays(office)
		}
	}
	equal(t, "steps", store.changes.Load(), 6*n)
	if h.Suspects(office.by.Addr) {
		t.Error("the office is suspect")
	}
	// Six hundred networks with one each, among three thousand requests.
	for i := range 600 {
		returns(h.visitor(fmt.Sprintf("198.18.%d.%d", i/250, i%250)))
		for range 5 {
			stays(office)
		}
	}
	equal(t, "steps", store.changes.Load(), 6*n+6*600)

	// Good requests do not open the door for garbage that outweighs them.
	h.clock.wait(6 * time.Minute)
	before := store.changes.Load()
	for range 8 {
		stays(office)
	}
	for range 50 {
		office.refresh(forge(session.Tokens.RefreshToken))
	}
	equal(t, "steps for garbage that outweighs", store.changes.Load()-before, 8+10)
	if !h.Suspects(office.by.Addr) {
		t.Error("a network of much garbage is not suspect")
	}
}

// One customer who holds a /48 is not everywhere: a bad token from each of its
// thousands of /64s makes it suspect, and nobody else.
func TestGarbageOfAWiderNetwork(t *testing.T) {
	h := newHouse(t)
	session := h.visitor("203.0.113.7").signIn(ada)
	store := h.counted()
	for i := range 700 {
		_, err := h.visitor(fmt.Sprintf("2001:db8:1:%x::1", i)).refresh(forge(session.Tokens.RefreshToken))
		if e := splitpin.ErrorOf(err); e == nil || e.Code != signin.ErrRefresh.Code && e.Code != signin.ErrManyForged.Code {
			t.Fatalf("a forged token gave %v", err)
		}
	}
	equal(t, "steps for one /48", store.changes.Load(), 40)
	if !h.Suspects(netip.MustParseAddr("2001:db8:1:ffff::1")) {
		t.Error("a /64 of the /48 that never asked is served like others")
	}
	_, err := h.visitor("2001:db8:2::1").refresh(forge(session.Tokens.RefreshToken))
	refused(t, "a forged token of somebody else", err, signin.ErrRefresh)
	equal(t, "steps with one of somebody else", store.changes.Load(), 41)
	if h.Suspects(netip.MustParseAddr("2001:db8:2::1")) {
		t.Error("somebody else is suspect")
	}
}
