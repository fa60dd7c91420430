package signin_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/token"
)

// claim reads one claim of a token, as JSON; empty where it has none.
func claim(t *testing.T, text splitpin.Secret, name string) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(text.Reveal(), ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]json.RawMessage
	if err := json.Unmarshal(raw, &claims); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return string(claims[name])
}

func (v *visitor) claims(text, refresh splitpin.Secret, claims string) signin.ClaimsRequest {
	return signin.ClaimsRequest{Project: v.project, Token: text, Refresh: refresh, Claims: json.RawMessage(claims), By: v.by}
}

func (v *visitor) mustAddClaims(text, refresh splitpin.Secret, claims string) *signin.Extended {
	v.t.Helper()
	out, err := v.AddClaims(v.t.Context(), v.claims(text, refresh, claims))
	if err != nil {
		v.t.Fatalf("adding %s: %v", claims, err)
	}
	return out
}

// Claims added with a refresh token stay, through every refresh, until somebody
// takes them away.
func TestClaimsStayWithTheSession(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	c := v.signIn(ada)
	out := v.mustAddClaims(c.Tokens.AccessToken, c.Tokens.RefreshToken, `{"role":"admin","user_id":125}`)
	equal(t, "role in the token that was shown", claim(t, out.Token, "role"), `"admin"`)
	if out.RefreshToken == "" || out.RefreshToken == c.Tokens.RefreshToken {
		t.Errorf("the refresh token: got %q, want the next one", out.RefreshToken.Reveal())
	}
	refresh := out.RefreshToken
	for range 3 {
		h.clock.wait(time.Hour)
		r := v.mustRefresh(refresh)
		refresh = r.Tokens.RefreshToken
		equal(t, "role in the access token", claim(t, r.Tokens.AccessToken, "role"), `"admin"`)
		equal(t, "user_id in the id token", claim(t, r.Tokens.IDToken, "user_id"), `125`)
		if _, _, err := h.Authenticate(t.Context(), h.shop, r.Tokens.AccessToken); err != nil {
			t.Errorf("the access token: %v", err)
		}
	}
	r := v.mustRefresh(refresh)
	out = v.mustAddClaims(r.Tokens.IDToken, r.Tokens.RefreshToken, `{"role":null,"team":["a"]}`)
	equal(t, "role in the id token that was shown", claim(t, out.Token, "role"), "")
	equal(t, "its type", claim(t, out.Token, "type"), `"client_id_token"`)
	r = v.mustRefresh(out.RefreshToken)
	equal(t, "role", claim(t, r.Tokens.AccessToken, "role"), "")
	equal(t, "team", claim(t, r.Tokens.AccessToken, "team"), `["a"]`)
	equal(t, "user_id", claim(t, r.Tokens.AccessToken, "user_id"), `125`)
	if log := h.events(ada); !strings.HasSuffix(log, "claims_added claims_added") {
		t.Errorf("the log: %s", log)
	}
}

// Without a refresh token only the token that was shown has them.
func TestClaimsOfOneToken(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	c := v.signIn(ada)
	out := v.mustAddClaims(c.Tokens.AccessToken, "", `{"role":"admin"}`)
	equal(t, "role", claim(t, out.Token, "role"), `"admin"`)
	equal(t, "refresh token", out.RefreshToken, "")
	out = v.mustAddClaims(out.Token, "", `{"team":"a"}`)
	equal(t, "role, after another was added", claim(t, out.Token, "role"), `"admin"`)
	r := v.mustRefresh(c.Tokens.RefreshToken)
	equal(t, "role after a refresh", claim(t, r.Tokens.AccessToken, "role"), "")
}

// A token keeps its end: who adds claims over and over gets no longer life.
func TestClaimsDoNotProlong(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	c := v.signIn(ada)
	h.clock.wait(30 * time.Minute)
	out := v.mustAddClaims(c.Tokens.AccessToken, "", `{"role":"admin"}`)
	equal(t, "exp", claim(t, out.Token, "exp"), claim(t, c.Tokens.AccessToken, "exp"))
	h.clock.wait(30 * time.Minute)
	_, err := v.AddClaims(t.Context(), v.claims(out.Token, "", `{"role":"admin"}`))
	refused(t, "a token that has expired", err, signin.ErrToken)
}

func TestClaimsRefused(t *testing.T) {
	full := `{"a":"` + strings.Repeat("x", token.MaxCustom-8) + `"}`
	tests := []struct {
		name    string
		request func(h *house, v *visitor, c *signin.Collected) signin.ClaimsRequest
		want    *splitpin.Error
		revoked bool
	}{
		{name: "a claim of ours", want: token.ErrClaims, request: func(_ *house, v *visitor, c *signin.Collected) signin.ClaimsRequest {
			return v.claims(c.Tokens.AccessToken, c.Tokens.RefreshToken, `{"sub":"somebody else"}`)
		}},
		{name: "more than there may be, with what is there", want: token.ErrClaims, request: func(_ *house, v *visitor, c *signin.Collected) signin.ClaimsRequest {
			out := v.mustAddClaims(c.Tokens.AccessToken, c.Tokens.RefreshToken, full)
			return v.claims(c.Tokens.AccessToken, out.RefreshToken, `{"b":1}`)
		}},
		{name: "a token of another project", want: signin.ErrToken, request: func(h *house, v *visitor, c *signin.Collected) signin.ClaimsRequest {
			r := v.claims(c.Tokens.AccessToken, c.Tokens.RefreshToken, `{"a":1}`)
			r.Project = h.club
			return r
		}},
		{name: "a token of a session that ended", want: signin.ErrToken, revoked: true, request: func(h *house, v *visitor, c *signin.Collected) signin.ClaimsRequest {
			h.logOut(v, c.Tokens.RefreshToken)
			return v.claims(c.Tokens.AccessToken, "", `{"a":1}`)
		}},
		{name: "a refresh token of another session", want: signin.ErrOtherSession, request: func(h *house, v *visitor, c *signin.Collected) signin.ClaimsRequest {
			return v.claims(c.Tokens.AccessToken, h.visitor("198.51.100.4").signIn("bob@example.org").Tokens.RefreshToken, `{"a":1}`)
		}},
		{name: "a forged refresh token", want: signin.ErrRefresh, request: func(_ *house, v *visitor, c *signin.Collected) signin.ClaimsRequest {
			text := c.Tokens.RefreshToken.Reveal()
			return v.claims(c.Tokens.AccessToken, splitpin.Secret(other(text, len(text)-5)), `{"a":1}`)
		}},
		{name: "a refresh token that somebody copied", want: signin.ErrRefresh, revoked: true, request: func(h *house, v *visitor, c *signin.Collected) signin.ClaimsRequest {
			v.mustRefresh(c.Tokens.RefreshToken)
			h.clock.wait(token.Grace)
			return v.claims(c.Tokens.AccessToken, c.Tokens.RefreshToken, `{"a":1}`)
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			v := h.visitor("203.0.113.7")
			c := v.signIn(ada)
			request := test.request(h, v, c)
			before := h.load(splitpin.Reads{Session: c.Session.Number}).Session
			_, err := v.AddClaims(t.Context(), request)
			refused(t, test.name, err, test.want)
			after := h.load(splitpin.Reads{Session: c.Session.Number}).Session
			equal(t, "claims of the session", after.Claims, before.Claims)
			equal(t, "counter of the session", after.Counter, before.Counter)
			equal(t, "the session ended", !after.RevokedAt.IsZero(), test.revoked)
		})
	}
}

// The successor that a tab and a backend race for is one and the same.
func TestClaimsWhileATabRefreshes(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	c := v.signIn(ada)
	var tab *signin.Refreshed
	h.db.meanwhile(func() { tab = v.mustRefresh(c.Tokens.RefreshToken) })
	out := v.mustAddClaims(c.Tokens.AccessToken, c.Tokens.RefreshToken, `{"role":"admin"}`)
	equal(t, "the refresh token", out.RefreshToken, tab.Tokens.RefreshToken)
	equal(t, "role", claim(t, v.mustRefresh(out.RefreshToken).Tokens.AccessToken, "role"), `"admin"`)
}

func TestSetClaims(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	c := v.signIn(ada)
	v.mustAddClaims(c.Tokens.AccessToken, c.Tokens.RefreshToken, `{"role":"admin"}`)
	s, err := h.SetClaims(t.Context(), c.User, c.Session.Number, json.RawMessage(`{"team":"a"}`), v.by)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "claims", s.Claims, `{"team":"a"}`)
	r := v.mustRefresh(c.Tokens.RefreshToken) // within the grace
	equal(t, "team", claim(t, r.Tokens.AccessToken, "team"), `"a"`)
	equal(t, "role", claim(t, r.Tokens.AccessToken, "role"), "")
	if _, err := h.SetClaims(t.Context(), c.User, c.Session.Number, json.RawMessage(`{}`), v.by); err != nil {
		t.Fatal(err)
	}
	equal(t, "team, taken away", claim(t, v.mustRefresh(r.Tokens.RefreshToken).Tokens.AccessToken, "team"), "")

	_, err = h.SetClaims(t.Context(), c.User, c.Session.Number, json.RawMessage(`{"exp":1}`), v.by)
	refused(t, "a claim of ours", err, token.ErrClaims)
	bob := h.visitor("198.51.100.4").signIn("bob@example.org")
	_, err = h.SetClaims(t.Context(), bob.User, c.Session.Number, json.RawMessage(`{"team":"b"}`), v.by)
	refused(t, "a session of somebody else", err, signin.ErrNoSession)
	h.logOut(v, r.Tokens.RefreshToken)
	_, err = h.SetClaims(t.Context(), c.User, c.Session.Number, json.RawMessage(`{"team":"b"}`), v.by)
	refused(t, "a session that ended", err, signin.ErrNoSession)
}
