package signin_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/token"
)

func (v *visitor) mustRefresh(text splitpin.Secret) *signin.Refreshed {
	v.t.Helper()
	r, err := v.refresh(text)
	if err != nil {
		v.t.Fatalf("refreshing: %v", err)
	}
	return r
}

func TestRefreshRotates(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	c := v.signIn(ada)
	text := c.Tokens.RefreshToken
	for range 5 {
		h.clock.wait(time.Hour)
		r := v.mustRefresh(text)
		if r.Tokens.RefreshToken == text {
			t.Fatal("the refresh token did not change")
		}
		equal(t, "session", r.Session.Number, c.Session.Number)
		text = r.Tokens.RefreshToken
		if _, _, err := h.Authenticate(t.Context(), h.shop, r.Tokens.AccessToken); err != nil {
			t.Errorf("the new access token: %v", err)
		}
	}
	equal(t, "counter", h.load(splitpin.Reads{Session: c.Session.Number}).Session.Counter, 6)
}

// Three tabs wake at once with the same token: all get the same successor, and
// nobody is signed out.
func TestThreeTabs(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	c := v.signIn(ada)
	h.clock.wait(time.Hour)
	var mu sync.Mutex
	given := map[splitpin.Secret]int{}
	h.together(3, func(ctx context.Context, _ int) {
		r, err := h.Refresh(ctx, signin.RefreshRequest{Project: h.shop, Token: c.Tokens.RefreshToken, By: v.by})
		if err != nil {
			t.Errorf("a tab: %v", err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		given[r.Tokens.RefreshToken]++
	})
	equal(t, "different successors", len(given), 1)
	equal(t, "counter", h.load(splitpin.Reads{Session: c.Session.Number}).Session.Counter, 2)
}

// Every row shows some refresh token; the rest says what comes of it and what
// of the session.
func TestRefresh(t *testing.T) {
	tests := []struct {
		name    string
		wait    time.Duration // since the rotation
		show    func(h *house, v *visitor, first, second splitpin.Secret) (*visitor, splitpin.Secret)
		want    *splitpin.Error
		revoked bool
		events  string // at the end of the log
	}{
		{name: "the current one", show: second},
		{name: "the one before, within the grace", wait: token.Grace - time.Microsecond, show: first},
		{name: "the one before, after the grace", wait: token.Grace, show: first, want: signin.ErrRefresh, revoked: true, events: "session_opened refresh_reused"},
		{name: "the one before, after the clock went back", wait: -time.Hour, show: first},
		{name: "a forged one", wait: time.Hour, want: signin.ErrRefresh, show: func(h *house, v *visitor, _, text splitpin.Secret) (*visitor, splitpin.Secret) {
			return v, splitpin.Secret(other(text.Reveal(), len(text)-5))
		}},
		{name: "a forged counter", wait: time.Hour, want: signin.ErrRefresh, show: func(h *house, v *visitor, _, text splitpin.Secret) (*visitor, splitpin.Secret) {
			s := h.load(splitpin.Reads{Session: number(h, text)}).Session
			s.Counter, s.Salt[0] = 1, s.Salt[0]+1 // what somebody with the data key, but without the database, could make
			forged, err := h.tokens.RefreshToken(s)
			if err != nil {
				t.Fatal(err)
			}
			return v, forged
		}},
		{name: "garbage", wait: time.Hour, want: signin.ErrRefresh, show: func(_ *house, v *visitor, _, _ splitpin.Secret) (*visitor, splitpin.Secret) {
			return v, "undefined"
		}},
		{name: "a session that never was", want: signin.ErrRefresh, show: func(_ *house, v *visitor, _, text splitpin.Secret) (*visitor, splitpin.Secret) {
			return v, "9" + text
		}},
		{name: "one from before a backup was restored", want: signin.ErrRefresh, events: "session_opened refresh_ahead",
			show: func(h *house, v *visitor, _, text splitpin.Secret) (*visitor, splitpin.Secret) {
				s := h.load(splitpin.Reads{Session: number(h, text)}).Session
				s.Counter += 3
				ahead, err := h.tokens.RefreshToken(s)
				if err != nil {
					t.Fatal(err)
				}
				return v, ahead
			}},
		{name: "in another project", want: signin.ErrRefresh, show: func(h *house, v *visitor, _, text splitpin.Secret) (*visitor, splitpin.Secret) {
			there := *v
			there.project = h.club
			return &there, text
		}},
		{name: "after logging out", want: signin.ErrRefresh, revoked: true, show: func(h *house, v *visitor, _, text splitpin.Secret) (*visitor, splitpin.Secret) {
			h.logOut(v, text)
			return v, text
		}},
		{name: "the one before, within the grace, after logging out", want: signin.ErrRefresh, revoked: true,
			show: func(h *house, v *visitor, text, second splitpin.Secret) (*visitor, splitpin.Secret) {
				h.logOut(v, second)
				return v, text
			}},
		{name: "after 30 idle days", wait: token.IdleLife, show: second, want: signin.ErrRefresh},
		{name: "on the 30th idle day", wait: token.IdleLife - time.Microsecond, show: second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			v := h.visitor("203.0.113.7")
			c := v.signIn(ada)
			h.clock.wait(time.Hour)
			next := v.mustRefresh(c.Tokens.RefreshToken)
			h.clock.wait(test.wait)
			by, text := test.show(h, v, c.Tokens.RefreshToken, next.Tokens.RefreshToken)
			r, err := by.refresh(text)
			switch {
			case test.want != nil:
				refused(t, "refreshing", err, test.want)
			case err != nil:
				t.Fatalf("refreshing: %v", err)
			default:
				equal(t, "session", r.Session.Number, c.Session.Number)
			}
			s := h.load(splitpin.Reads{Session: c.Session.Number}).Session
			equal(t, "session revoked", !s.RevokedAt.IsZero(), test.revoked)
			if test.want != nil && !test.revoked && test.wait < token.IdleLife {
				equal(t, "counter after a refusal", s.Counter, 2)
				if _, err := v.refresh(next.Tokens.RefreshToken); err != nil {
					t.Errorf("the current token after a refusal: %v", err)
				}
			}
			if test.events != "" {
				equal(t, "events", h.events(ada), "attempt_started attempt_proved "+test.events)
			}
		})
	}
}

func first(_ *house, v *visitor, first, _ splitpin.Secret) (*visitor, splitpin.Secret) {
	return v, first
}

func second(_ *house, v *visitor, _, second splitpin.Secret) (*visitor, splitpin.Secret) {
	return v, second
}

func number(h *house, text splitpin.Secret) int64 {
	h.t.Helper()
	p, err := token.ParseRefresh(text.Reveal())
	if err != nil {
		h.t.Fatal(err)
	}
	return p.Session
}

func (h *house) logOut(v *visitor, text splitpin.Secret) {
	h.t.Helper()
	if err := h.Logout(h.t.Context(), signin.RefreshRequest{Project: v.project, Token: text, By: v.by}); err != nil {
		h.t.Fatal(err)
	}
}

// Who guesses refresh tokens is slowed down, network by network; who holds a
// genuine one never notices.
func TestForgedTokensAreLimitedPerNetwork(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	text := v.signIn(ada).Tokens.RefreshToken
	forged := splitpin.Secret(other(text.Reveal(), len(text)-5))
	for i := range 60 {
		_, err := v.refresh(forged)
		if splitpin.ErrorOf(err) == nil || splitpin.ErrorOf(err).Code != signin.ErrRefresh.Code {
			t.Fatalf("forged token %d: %v", i, err)
		}
	}
	_, err := v.refresh(forged)
	wait := refused(t, "one forged token more", err, signin.ErrManyForged).RetryAfter
	equal(t, "wait", wait, 5*time.Second)
	_, err = h.visitor("203.0.113.8").refresh(forged)
	refused(t, "from the network beside it", err, signin.ErrRefresh)
	v.mustRefresh(text)
	h.clock.wait(wait)
	_, err = v.refresh(forged)
	refused(t, "after waiting as told", err, signin.ErrRefresh)
}

// A session of a client that cannot rotate keeps its token, which is worth
// nothing in a browser (security 19).
func TestStaticSession(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	o := v.start(ada)
	req := o.collection(o.mustAnswer())
	req.Static = true
	c, err := h.Collect(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		h.clock.wait(13 * 24 * time.Hour)
		equal(t, "token", v.mustRefresh(c.Tokens.RefreshToken).Tokens.RefreshToken, c.Tokens.RefreshToken)
	}
	page := *v
	page.by.Browser = true
	_, err = page.refresh(c.Tokens.RefreshToken)
	refused(t, "the token in a browser", err, signin.ErrRefresh)
	v.mustRefresh(c.Tokens.RefreshToken)
	h.clock.wait(token.StaticIdleLife)
	_, err = v.refresh(c.Tokens.RefreshToken)
	refused(t, "after 14 idle days", err, signin.ErrRefresh)
}

func TestNoSessionOutlivesNinetyDays(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	text := v.signIn(ada).Tokens.RefreshToken
	for range 4 {
		h.clock.wait(22 * 24 * time.Hour)
		text = v.mustRefresh(text).Tokens.RefreshToken
	}
	h.clock.wait(2 * 24 * time.Hour)
	_, err := v.refresh(text)
	refused(t, "on the 90th day", err, signin.ErrRefresh)
}

func TestLogout(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	tests := []struct {
		name   string
		show   func(c *signin.Collected) (*splitpin.Project, splitpin.Secret)
		ends   bool
		reason string
	}{
		{name: "the current token", ends: true, reason: "logged_out",
			show: func(c *signin.Collected) (*splitpin.Project, splitpin.Secret) {
				return h.shop, c.Tokens.RefreshToken
			}},
		{name: "the token before, in the grace", ends: true, reason: "logged_out",
			show: func(c *signin.Collected) (*splitpin.Project, splitpin.Secret) {
				v.mustRefresh(c.Tokens.RefreshToken)
				return h.shop, c.Tokens.RefreshToken
			}},
		{name: "a token that was copied long ago", ends: true, reason: "refresh_reused",
			show: func(c *signin.Collected) (*splitpin.Project, splitpin.Secret) {
				v.mustRefresh(c.Tokens.RefreshToken)
				h.clock.wait(time.Hour)
				return h.shop, c.Tokens.RefreshToken
			}},
		{name: "a forged token", show: func(c *signin.Collected) (*splitpin.Project, splitpin.Secret) {
			return h.shop, splitpin.Secret(other(c.Tokens.RefreshToken.Reveal(), len(c.Tokens.RefreshToken)-5))
		}},
		{name: "garbage", show: func(*signin.Collected) (*splitpin.Project, splitpin.Secret) { return h.shop, "x" }},
		{name: "in another project", show: func(c *signin.Collected) (*splitpin.Project, splitpin.Secret) {
			return h.club, c.Tokens.RefreshToken
		}},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			who := string('a'+rune(i)) + "@example.org"
			c := v.signIn(who)
			p, text := test.show(c)
			for range 2 { // who logs out is logged out, however often
				if err := h.Logout(t.Context(), signin.RefreshRequest{Project: p, Token: text, By: v.by}); err != nil {
					t.Fatal(err)
				}
			}
			s := h.load(splitpin.Reads{Session: c.Session.Number}).Session
			equal(t, "ended", !s.RevokedAt.IsZero(), test.ends)
			want := "attempt_started attempt_proved session_opened"
			if test.ends {
				want += " " + test.reason
			}
			equal(t, "events", h.events(who), want)
		})
	}
}

func TestSessionsOfAUser(t *testing.T) {
	h := newHouse(t)
	v, w := h.visitor("203.0.113.7"), h.visitor("203.0.113.8")
	one := v.signIn(ada)
	h.clock.wait(20 * 24 * time.Hour)
	two := v.signIn(ada)
	three := w.signIn(ada)
	bob := w.signIn("bob@example.org")

	list := func() (numbers []int64) {
		sessions, err := h.Sessions(t.Context(), one.User)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range sessions {
			numbers = append(numbers, s.Number)
		}
		return numbers
	}
	equal(t, "sessions", len(list()), 3)
	h.clock.wait(11 * 24 * time.Hour) // the first was idle too long
	equal(t, "live sessions", len(list()), 2)

	refused(t, "ending one that is over", h.EndSession(t.Context(), one.User, one.Session.Number, signin.Caller{}), signin.ErrNoSession)
	refused(t, "ending somebody else's", h.EndSession(t.Context(), one.User, bob.Session.Number, signin.Caller{}), signin.ErrNoSession)
	refused(t, "ending none", h.EndSession(t.Context(), one.User, 1<<40, signin.Caller{}), signin.ErrNoSession)
	if err := h.EndSession(t.Context(), one.User, three.Session.Number, signin.Caller{}); err != nil {
		t.Fatal(err)
	}
	refused(t, "ending it again", h.EndSession(t.Context(), one.User, three.Session.Number, signin.Caller{}), signin.ErrNoSession)
	_, err := w.refresh(three.Tokens.RefreshToken)
	refused(t, "refreshing the one that was ended", err, signin.ErrRefresh)
	_, _, err = h.Authenticate(t.Context(), h.shop, three.Tokens.AccessToken)
	refused(t, "its access token, here", err, signin.ErrToken)

	four := v.signIn(ada)
	ended, err := h.EndSessions(t.Context(), one.User, four.Session.Number, signin.Caller{})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "ended of the others", ended, 1) // two; the first was over already
	if l := list(); len(l) != 1 || l[0] != four.Session.Number {
		t.Errorf("sessions left: %v, want only %d", l, four.Session.Number)
	}
	ended, err = h.EndSessions(t.Context(), one.User, 0, signin.Caller{})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "ended of all", ended, 1)
	_, err = v.refresh(two.Tokens.RefreshToken)
	refused(t, "refreshing one of those that ended", err, signin.ErrRefresh)
	w.mustRefresh(bob.Tokens.RefreshToken)
}
