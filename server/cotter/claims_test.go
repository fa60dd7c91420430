package cotter_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

func tokenClaims(t *testing.T, token string) map[string]any {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	return decode[map[string]any](t, string(raw))
}

func customBody(token, attributes, refresh string) string {
	return fmt.Sprintf(`{"token":%q,"custom_attributes":%s,"refresh_token":%q}`, token, attributes, refresh)
}

// The example of Cotter's documentation: contract 7.5.
func TestCustomClaims(t *testing.T) {
	s := newSite(t)
	got := s.signIn("ada@example.org")
	access, refresh := text(t, got, "oauth_token.access_token"), text(t, got, "oauth_token.refresh_token")
	add := ask{method: "POST", path: "/api/v0/token/custom", key: idA, secret: secretA}

	add.body = fmt.Sprintf(`{"token":%q,"custom_attributes":{"role":"admin","user_id":125}}`, access)
	one := s.do(add).object(t)
	if claims := tokenClaims(t, text(t, one, "token")); claims["role"] != "admin" || len(one) != 1 {
		t.Errorf("without a refresh token: got %v with %v, want the token alone", one, claims)
	}
	if _, err := s.tokens.Verify(s.a, text(t, one, "token")); err != nil {
		t.Errorf("the new token: %v", err)
	}

	add.body = customBody(access, `{"role":"admin","user_id":125}`, refresh)
	both := s.do(add).object(t)
	next := text(t, both, "refresh_token")
	if next == refresh || next != text(t, both, "refresh_tokenn") || len(both) != 3 {
		t.Errorf("with a refresh token: got %v, want the next one under both keys", both)
	}
	for range 2 {
		set := s.do(ask{method: "POST", path: "/api/v0/token/" + idA, key: idA, origin: shop, body: refreshBody(next)}).object(t)
		next = text(t, set, "refresh_token")
		for _, token := range []string{"access_token", "id_token"} {
			if claims := tokenClaims(t, text(t, set, token)); claims["role"] != "admin" || fmt.Sprint(claims["user_id"]) != "125" {
				t.Errorf("%s after a refresh: got %v, want the custom claims", token, claims)
			}
		}
	}
}

// iOS keeps its refresh token for ever: adding claims must not take it away.
func TestCustomClaimsOfAnAppThatKeepsItsToken(t *testing.T) {
	s := newSite(t)
	got := s.signInApp("ada@example.org")
	refresh := text(t, got, "oauth_token.refresh_token")
	out := s.do(ask{method: "POST", path: "/api/v0/token/custom", key: idA, secret: secretA,
		body: customBody(text(t, got, "oauth_token.id_token"), `{"role":"admin"}`, refresh)}).object(t)
	if text(t, out, "refresh_token") != refresh {
		t.Errorf("the refresh token: got %v, want the same", out["refresh_token"])
	}
	set := s.do(ask{method: "POST", path: "/api/v0/token", key: idA, body: refreshBody(refresh)}).object(t)
	if claims := tokenClaims(t, text(t, set, "access_token")); claims["role"] != "admin" {
		t.Errorf("after a refresh: got %v, want the claim", claims)
	}
}

func TestCustomClaimsRefused(t *testing.T) {
	s := newSite(t)
	got := s.signIn("ada@example.org")
	access, refresh := text(t, got, "oauth_token.access_token"), text(t, got, "oauth_token.refresh_token")
	right := ask{method: "POST", path: "/api/v0/token/custom", key: idA, secret: secretA, body: customBody(access, `{"role":"admin"}`, refresh)}
	for _, test := range []struct {
		name   string
		change func(*ask)
		status int
		msg    string
	}{
		{"no secret", func(a *ask) { a.secret = "" }, 401, "server secret"},
		{"the key that ships in apps", func(a *ask) { a.secret = appKeyA }, 401, "server secret"},
		{"from a page", func(a *ask) { a.origin = shop }, 403, "never be used in a browser"},
		{"each reserved name", func(a *ask) { a.body = customBody(access, `{"Auth_Time":"1"}`, refresh) }, 400, "Auth_Time"},
		{"a name twice", func(a *ask) { a.body = customBody(access, `{"a":1,"a":2}`, refresh) }, 400, "twice"},
		{"too deep", func(a *ask) { a.body = customBody(access, `{"a":[[[[[1]]]]]}`, refresh) }, 400, "5 deep"},
		{"too long", func(a *ask) { a.body = customBody(access, `{"a":"`+strings.Repeat("x", 5000)+`"}`, refresh) }, 400, "4096"},
		{"no attributes", func(a *ask) { a.body = fmt.Sprintf(`{"token":%q}`, access) }, 400, "JSON object"},
		{"no token", func(a *ask) { a.body = customBody("", `{"role":"admin"}`, refresh) }, 401, "sign in"},
		{"a refresh token as the token", func(a *ask) { a.body = customBody(refresh, `{"role":"admin"}`, refresh) }, 401, "sign in"},
		{"a refresh token that never was", func(a *ask) { a.body = customBody(access, `{"role":"admin"}`, "garbage") }, 400, "Refresh token"},
		{"another project's base", func(a *ask) { a.path, a.key = "/p/"+idB+a.path, idB }, 401, "server secret"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := right
			test.change(&a)
			if msg := s.do(a).refused(t, test.status); !strings.Contains(msg, test.msg) {
				t.Errorf("got %q, want %q in it", msg, test.msg)
			}
		})
	}
	set := s.do(ask{method: "POST", path: "/api/v0/token/" + idA, key: idA, origin: shop, body: refreshBody(refresh)}).object(t)
	if claims := tokenClaims(t, text(t, set, "access_token")); claims["role"] != nil {
		t.Errorf("after all refusals: got %v, want no custom claim", claims)
	}
}
