package signin_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/token"
)

// identity is the older token of a sign-in, as get_identity hands it out.
func (v *visitor) identity(c *signin.Collected) token.IdentityToken {
	v.t.Helper()
	signed, err := v.tokens.Identity(v.project, c.User, c.Session.AuthAt)
	if err != nil {
		v.t.Fatal(err)
	}
	return signed
}

func TestExchange(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	c := v.signIn(ada)
	h.clock.wait(9 * time.Minute)
	out, err := h.Exchange(t.Context(), h.shop, v.identity(c), h.visitor("198.51.100.4").by)
	if err != nil {
		t.Fatal(err)
	}
	if out.Session.Number == c.Session.Number || out.User.ID != c.User.ID {
		t.Errorf("got session %d of %s, want another of %s", out.Session.Number, out.User.ID, c.User.ID)
	}
	equal(t, "method", out.Tokens.AuthMethod, "OTP")
	equal(t, "moment of the proof", out.Session.AuthAt, c.Session.AuthAt)
	equal(t, "device", out.Session.Device, c.Session.Device)
	if _, _, err := h.Authenticate(t.Context(), h.shop, out.Tokens.AccessToken); err != nil {
		t.Errorf("the access token: %v", err)
	}
	v.mustRefresh(out.Tokens.RefreshToken)
	v.mustRefresh(c.Tokens.RefreshToken) // the sign-in goes on
	if log := h.events(ada); !strings.HasSuffix(log, "identity_exchanged") {
		t.Errorf("the log: %s", log)
	}
	_, err = h.Exchange(t.Context(), h.shop, v.identity(c), v.by)
	refused(t, "the same token again", err, signin.ErrIdentity)
}

// Every row alters what is exchanged ten minutes after the proof at the latest.
func TestExchangeRefused(t *testing.T) {
	tests := []struct {
		name  string
		alter func(h *house, v *visitor, c *signin.Collected, shown *token.IdentityToken)
		ok    bool
	}{
		{name: "as it was", alter: func(*house, *visitor, *signin.Collected, *token.IdentityToken) {}, ok: true},
		{name: "ten minutes later", ok: true, alter: func(h *house, _ *visitor, _ *signin.Collected, _ *token.IdentityToken) {
			h.clock.wait(10 * time.Minute)
		}},
		{name: "later than that", alter: func(h *house, _ *visitor, _ *signin.Collected, _ *token.IdentityToken) {
			h.clock.wait(10*time.Minute + time.Microsecond)
		}},
		{name: "with a time that nobody signed", alter: func(h *house, _ *visitor, _ *signin.Collected, shown *token.IdentityToken) {
			h.clock.wait(time.Hour)
			shown.Timestamp = strconv.FormatInt(h.clock.now().Unix(), 10)
		}},
		// The signature covers no sign-in: whoever got hold of one from years ago could
		// not make it younger, and neither may our own key for a time at which nobody
		// proved anything.
		{name: "of a time at which nobody signed in", alter: func(h *house, v *visitor, c *signin.Collected, shown *token.IdentityToken) {
			signed, err := h.tokens.Identity(h.shop, c.User, c.Session.AuthAt.Add(-2*time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			*shown = signed
		}},
		{name: "with another identifier", alter: func(h *house, _ *visitor, _ *signin.Collected, shown *token.IdentityToken) {
			h.visitor("198.51.100.4").signIn("bob@example.org")
			shown.Identifier = "bob@example.org"
		}},
		// The signature has no borders between its parts.
		{name: "with a letter of the address in its type", alter: func(h *house, _ *visitor, _ *signin.Collected, shown *token.IdentityToken) {
			other := h.visitor("198.51.100.4").signIn(strings.TrimSuffix(ada, "g"))
			shown.IdentifierType = "g" + shown.IdentifierType
			shown.Identifier, shown.IdentifierID = other.User.Identifier, token.IdentifierID(other.User)
		}},
		{name: "with another id", alter: func(h *house, _ *visitor, _ *signin.Collected, shown *token.IdentityToken) {
			shown.IdentifierID = token.IdentifierID(h.visitor("198.51.100.4").signIn("bob@example.org").User)
		}},
		{name: "with a signature of zeros", alter: func(_ *house, _ *visitor, _ *signin.Collected, shown *token.IdentityToken) {
			shown.Signature = base64.StdEncoding.EncodeToString(make([]byte, 64))
		}},
		{name: "in another project", alter: func(h *house, v *visitor, _ *signin.Collected, shown *token.IdentityToken) {
			there := *v
			there.project, there.origin = h.club, clubOrigin
			*shown = there.identity(there.signIn(ada)) // made for the club, shown to the shop
		}},
		{name: "after signing out", alter: func(h *house, v *visitor, c *signin.Collected, _ *token.IdentityToken) {
			h.logOut(v, c.Tokens.RefreshToken)
		}},
		{name: "of the session that an exchange opened", alter: func(h *house, v *visitor, c *signin.Collected, shown *token.IdentityToken) {
			out, err := h.Exchange(t.Context(), h.shop, *shown, v.by)
			if err != nil {
				t.Fatal(err)
			}
			*shown = v.identity(&signin.Collected{User: out.User, Session: out.Session})
		}},
		{name: "nothing", alter: func(_ *house, _ *visitor, _ *signin.Collected, shown *token.IdentityToken) {
			*shown = token.IdentityToken{}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			v := h.visitor("203.0.113.7")
			c := v.signIn(ada)
			shown := v.identity(c)
			test.alter(h, v, c, &shown)
			_, err := h.Exchange(t.Context(), h.shop, shown, v.by)
			if test.ok {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			refused(t, test.name, err, signin.ErrIdentity)
		})
	}
}

// Whoever comes at once with one token: one session comes of it.
func TestExchangeAtOnce(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	shown := v.identity(v.signIn(ada))
	var mu sync.Mutex
	given, not := 0, 0
	h.together(4, func(ctx context.Context, _ int) {
		_, err := h.Exchange(ctx, h.shop, shown, v.by)
		mu.Lock()
		defer mu.Unlock()
		switch known := splitpin.ErrorOf(err); {
		case err == nil:
			given++
		case known != nil && known.Code == signin.ErrIdentity.Code:
			not++
		default:
			t.Errorf("a caller: %v", err)
		}
	})
	if got := fmt.Sprint(given, " ", not); got != "1 3" {
		t.Errorf("given and refused: %s, want 1 3", got)
	}
}
