package signin_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/signin"
)

// Every row changes one thing about a collection. Whether the code was spent is
// seen by collecting rightly afterwards.
func TestCollect(t *testing.T) {
	long := "https://shop.example/account?next=%2F#done"
	app := "shop://auth"
	wrongID := int32(77)
	tests := []struct {
		name        string
		destination *string // of the attempt; the page's origin otherwise
		change      func(*house, *signin.CollectRequest)
		wait        time.Duration
		want        *splitpin.Error
		spends      bool
		events      string // after attempt_started attempt_proved
	}{
		{name: "right", spends: true, events: "session_opened"},
		{name: "right, without a challenge id", change: func(_ *house, r *signin.CollectRequest) { r.ChallengeID = nil }, spends: true},
		{name: "in the last moment", wait: 5*time.Minute - time.Microsecond, spends: true},
		{name: "expired", wait: 5 * time.Minute, want: signin.ErrGrant},
		{name: "a wrong verifier", change: func(_ *house, r *signin.CollectRequest) { r.Verifier = "x" + r.Verifier },
			want: signin.ErrGrant, spends: true, events: "grant_mismatch"},
		{name: "something that is no verifier", change: func(_ *house, r *signin.CollectRequest) { r.Verifier = "short" },
			want: signin.ErrVerifier},
		{name: "a verifier with a line end", change: func(_ *house, r *signin.CollectRequest) { r.Verifier += "\n" }, want: signin.ErrVerifier},
		{name: "another project", change: func(h *house, r *signin.CollectRequest) { r.Project = h.club },
			want: signin.ErrGrant, spends: true, events: "grant_mismatch"},
		{name: "another challenge id", change: func(_ *house, r *signin.CollectRequest) { r.ChallengeID = &wrongID },
			want: signin.ErrGrant, spends: true, events: "grant_mismatch"},
		{name: "another origin", change: func(_ *house, r *signin.CollectRequest) { r.Destination = clubOrigin },
			want: signin.ErrGrant, spends: true, events: "grant_mismatch"},
		{name: "another scheme", change: func(_ *house, r *signin.CollectRequest) { r.Destination = "http://shop.example" },
			want: signin.ErrGrant, spends: true},
		{name: "another port", change: func(_ *house, r *signin.CollectRequest) { r.Destination = shopOrigin + ":8443" },
			want: signin.ErrGrant, spends: true},
		{name: "a host that begins alike", change: func(_ *house, r *signin.CollectRequest) { r.Destination = shopOrigin + ".evil.example" },
			want: signin.ErrGrant, spends: true},
		{name: "the page's whole address", change: func(_ *house, r *signin.CollectRequest) { r.Destination = shopOrigin + "/cart" }, spends: true},
		{name: "a listed destination, by itself", destination: &long, change: func(_ *house, r *signin.CollectRequest) { r.Destination = long }, spends: true},
		{name: "a listed destination, by its origin", destination: &long, spends: true},
		{name: "a destination that is left out", destination: &long,
			change: func(_ *house, r *signin.CollectRequest) { r.Destination = "" }, want: signin.ErrGrant, spends: true},
		{name: "an app, by its exact address", destination: &app, change: func(_ *house, r *signin.CollectRequest) { r.Destination = app }, spends: true},
		{name: "an app, by another path", destination: &app,
			change: func(_ *house, r *signin.CollectRequest) { r.Destination = app + "/x" }, want: signin.ErrGrant, spends: true},
		{name: "an unknown code", change: func(_ *house, r *signin.CollectRequest) { r.Code = other(r.Code, 20) }, want: signin.ErrGrant},
		{name: "an unknown attempt", change: func(_ *house, r *signin.CollectRequest) { r.Code = other(r.Code, 2) }, want: signin.ErrGrant},
		{name: "a code with a line end", change: func(_ *house, r *signin.CollectRequest) { r.Code += "\n" }, want: signin.ErrGrant},
		{name: "no code", change: func(_ *house, r *signin.CollectRequest) { r.Code = "" }, want: signin.ErrGrant},
		{name: "a person taken off the list meanwhile", change: func(h *house, r *signin.CollectRequest) {
			r.Project = h.set(h.shop, func(s *splitpin.Settings) {
				s.Forms = map[string]splitpin.AllowList{"": {Identifiers: []string{"bob@example.org"}}}
			})
		}, want: signin.ErrNotAdmitted, spends: true, events: "grant_not_admitted"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			v := h.visitor("203.0.113.7")
			req := v.request(ada)
			if test.destination != nil {
				req.Destination = *test.destination
			}
			s, err := h.Start(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			o := v.opened(s)
			collect := o.collection(o.mustAnswer())
			right := collect
			if test.destination != nil {
				right.Destination = *test.destination
			}
			if test.change != nil {
				test.change(h, &collect)
			}
			h.clock.wait(test.wait)
			c, err := h.Collect(t.Context(), collect)
			switch {
			case test.want != nil:
				refused(t, "collecting", err, test.want)
			case err != nil:
				t.Fatalf("collecting: %v", err)
			default:
				equal(t, "session's user", c.User.Identifier, ada)
			}
			h.clock.wait(31 * time.Second) // beyond the repetition of the same collector
			_, err = h.Collect(t.Context(), right)
			switch expired := test.wait >= 4*time.Minute; {
			case test.spends || expired:
				refused(t, "collecting rightly afterwards", err, signin.ErrGrant)
			case err != nil:
				t.Errorf("collecting rightly afterwards: %v", err)
			}
			if test.events != "" {
				equal(t, "events", h.events(ada), "attempt_started attempt_proved "+test.events)
			}
		})
	}
}

// other replaces the character at i by another of base64url.
func other(s string, i int) string {
	c := byte('A')
	if s[i] == 'A' {
		c = 'B'
	}
	return s[:i] + string(c) + s[i+1:]
}

func TestCollectTwice(t *testing.T) {
	tests := []struct {
		name   string
		wait   time.Duration
		change func(*signin.CollectRequest)
		before func(*house, *signin.Collected)
		want   *splitpin.Error
	}{
		{name: "at once"},
		{name: "after 30 seconds", wait: 30 * time.Second},
		{name: "a moment later", wait: 30*time.Second + time.Microsecond, want: signin.ErrGrant},
		{name: "with another verifier", change: func(r *signin.CollectRequest) { r.Verifier = "x" + r.Verifier }, want: signin.ErrGrant},
		{name: "for another destination", change: func(r *signin.CollectRequest) { r.Destination = clubOrigin }, want: signin.ErrGrant},
		{name: "when the session was ended", want: signin.ErrGrant, before: func(h *house, c *signin.Collected) {
			if err := h.EndSession(h.t.Context(), c.User, c.Session.Number, signin.Caller{}); err != nil {
				h.t.Fatal(err)
			}
		}},
		{name: "when the user was deleted", want: signin.ErrGrant, before: func(h *house, c *signin.Collected) { h.erase(c.User) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			o := h.visitor("203.0.113.7").start(ada)
			req := o.collection(o.mustAnswer())
			first, err := h.Collect(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			if test.before != nil {
				test.before(h, first)
			}
			if test.change != nil {
				test.change(&req)
			}
			h.clock.wait(test.wait)
			second, err := h.Collect(t.Context(), req)
			if test.want != nil {
				refused(t, "collecting again", err, test.want)
				return
			}
			if err != nil {
				t.Fatalf("collecting again: %v", err)
			}
			equal(t, "session", second.Session.Number, first.Session.Number)
			equal(t, "refresh token", second.Tokens.RefreshToken.Reveal(), first.Tokens.RefreshToken.Reveal())
			sessions, err := h.Sessions(t.Context(), first.User)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "sessions", len(sessions), 1)
		})
	}
}

func (h *house) erase(u *splitpin.User) {
	h.t.Helper()
	people := &account.Directory{Store: h.db, Ring: h.ring, Clock: h.clock.now}
	if err := people.Delete(h.t.Context(), u); err != nil {
		h.t.Fatal(err)
	}
}

func TestCollectAtOnce(t *testing.T) {
	h := newHouse(t)
	o := h.visitor("203.0.113.7").start(ada)
	req := o.collection(o.mustAnswer())
	var mu sync.Mutex
	sessions := map[int64]int{}
	h.together(16, func(ctx context.Context, _ int) {
		c, err := h.Collect(ctx, req)
		if err != nil {
			t.Errorf("one of many collectors: %v", err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		sessions[c.Session.Number]++
	})
	equal(t, "different sessions given", len(sessions), 1)
	equal(t, "events", h.events(ada), "attempt_started attempt_proved session_opened")
}

// One of many thieves at once may be quicker than the owner; nobody gets more
// than the code is worth.
func TestCollectAtOnceWithWrongVerifiers(t *testing.T) {
	h := newHouse(t)
	o := h.visitor("203.0.113.7").start(ada)
	req := o.collection(o.mustAnswer())
	h.together(8, func(ctx context.Context, i int) {
		thief := req
		thief.Verifier = string('a'+rune(i)) + req.Verifier
		_, err := h.Collect(ctx, thief)
		refused(t, "a thief", err, signin.ErrGrant)
	})
	_, err := h.Collect(t.Context(), req)
	refused(t, "the owner, whose code was spent", err, signin.ErrGrant)
	equal(t, "events", h.events(ada), "attempt_started attempt_proved grant_mismatch")
}

// A user who is erased between the proof and the collection stays erased.
func TestDeletionBetweenProofAndCollection(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	o := v.start(ada)
	g := o.mustAnswer()
	u := h.load(splitpin.Reads{Name: splitpin.Name{Project: h.shop.Number, Identifier: ada}}).User
	h.erase(u)
	_, err := v.Collect(t.Context(), o.collection(g))
	refused(t, "collecting for nobody", err, signin.ErrGrant)

	// And in the midst of the collection.
	o = v.start(ada)
	g = o.mustAnswer()
	u2 := h.load(splitpin.Reads{Name: splitpin.Name{Project: h.shop.Number, Identifier: ada}}).User
	if u2.ID == u.ID || u2.Number == u.Number {
		t.Error("an id was used again")
	}
	h.db.meanwhile(func() { h.erase(u2) })
	_, err = v.Collect(t.Context(), o.collection(g))
	refused(t, "collecting while the user is erased", err, signin.ErrGrant)

	// A later sign-in makes a new person, and the old code gives nothing.
	c := v.signIn(ada)
	if c.User.ID == u2.ID {
		t.Error("an id was used again")
	}
	_, err = v.Collect(t.Context(), o.collection(g))
	refused(t, "collecting an old code for the new person", err, signin.ErrGrant)
}

// What published clients send as a verifier (contract 5.4).
func TestVerifiers(t *testing.T) {
	h := newHouse(t)
	for i, verifier := range []string{
		"f6eb75ce000102030405060708090a0b0c0d0e0f1011121314151617", // web: 56 hex characters
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8+/w==",         // React Native: standard base64
		"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", // iOS, Python: 43 characters
	} {
		v := h.visitor("203.0.113." + string('1'+rune(i)))
		v.verifier = verifier
		v.signIn(string('a'+rune(i)) + "@example.org")
	}
}

// The origin of a request is input until it is a name that the project lists.
func TestOriginOfASession(t *testing.T) {
	h := newHouse(t)
	listed := h.shop.Settings.Origins[0]
	for given, want := range map[string]string{listed: listed, "": "", "https://evil.example": "", "<script>": "", listed + "/x": ""} {
		o := h.visitor("203.0.113.7").start(ada)
		req := o.collection(o.mustAnswer())
		req.Origin = given
		c, err := h.Collect(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "origin kept of "+given, h.load(splitpin.Reads{Session: c.Session.Number}).Session.Origin, want)
		h.clock.wait(10 * time.Minute)
	}
}
