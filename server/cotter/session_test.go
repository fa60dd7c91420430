package cotter_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/token"
)

// What iOS and Flutter decode is mandatory there: one key that is missing or null
// loses the sign-in (contract 2.1, 2.2, 6.1).
func TestGetIdentityForStrictDecoders(t *testing.T) {
	s := newSite(t)
	for _, client := range []struct {
		name string
		got  map[string]any
	}{
		{"web", s.signIn("ada@example.org")},
		{"app without oauth_token=true", s.signInApp("bob@example.org")},
	} {
		t.Run(client.name, func(t *testing.T) {
			for _, path := range []string{
				"identifier.ID", "identifier.created_at", "identifier.update_at", "identifier.updated_at",
				"identifier.identifier", "identifier.identifier_type", "identifier.public_key",
				"identifier.device_type", "identifier.device_name", "identifier.expiry", "identifier.timestamp",
				"token.identifier_id", "token.identifier", "token.identifier_type", "token.receiver",
				"token.timestamp", "token.expire_at", "token.signature",
				"oauth_token.access_token", "oauth_token.id_token", "oauth_token.refresh_token",
				"oauth_token.token_type", "oauth_token.auth_method",
				"user.ID", "user.created_at", "user.updated_at", "user.update_at", "user.deleted_at",
				"user.issuer", "user.client_user_id", "user.identifier",
			} {
				if text(t, client.got, path) == "" && path != "identifier.public_key" {
					t.Errorf("%s is empty", path)
				}
			}
			for _, path := range []string{"identifier.deleted_at", "user.default_method", "user.identifiers"} {
				if got := at(t, client.got, path); got != nil {
					t.Errorf("%s: got %v, want null", path, got)
				}
			}
			if got := at(t, client.got, "oauth_token.expires_in"); got != json.Number("3600") {
				t.Errorf("expires_in: got %v, want 3600", got)
			}
			if got, ok := at(t, client.got, "user.enrolled").([]any); !ok || len(got) != 0 {
				t.Errorf("enrolled: got %v, want []", at(t, client.got, "user.enrolled"))
			}
			for path, n := range map[string]int{"oauth_token": 6, "token": 7, "user": 11, "identifier": 12} {
				if got := len(at(t, client.got, path).(map[string]any)); got != n {
					t.Errorf("%s has %d keys, want %d", path, got, n)
				}
			}
			for _, path := range []string{"user.created_at", "user.update_at", "identifier.created_at", "identifier.expiry", "identifier.timestamp"} {
				at, err := time.Parse("2006-01-02T15:04:05.000000Z", text(t, client.got, path))
				if err != nil || at.IsZero() {
					t.Errorf("%s: got %q, want RFC 3339 in UTC with a fraction", path, text(t, client.got, path))
				}
			}
		})
	}
}

func TestGetIdentitySaysWhatWasProved(t *testing.T) {
	s := newSite(t)
	got := s.signIn("ada@example.org")
	for path, want := range map[string]string{
		"identifier.identifier": "ada@example.org", "identifier.identifier_type": "EMAIL",
		"identifier.device_type": "BROWSER", "identifier.timestamp": "2026-03-02T10:11:12.131415Z",
		"identifier.expiry": "2026-04-01T10:11:12.131415Z",
		"token.receiver":    idA, "token.identifier": "ada@example.org", "token.identifier_type": "EMAIL",
		"oauth_token.token_type": "Bearer", "oauth_token.auth_method": "OTP",
		"user.issuer": idA, "user.identifier": "ada@example.org", "user.client_user_id": text(t, got, "user.ID"),
		"user.created_at": "2026-03-02T10:11:12.131415Z", "user.deleted_at": "0001-01-01T00:00:00Z",
	} {
		if got := text(t, got, path); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	claims, err := s.tokens.Verify(s.a, text(t, got, "oauth_token.access_token"))
	if err != nil {
		t.Fatalf("the access token does not verify: %v", err)
	}
	if claims.Subject.String() != text(t, got, "user.ID") || claims.Identifier != "ada@example.org" {
		t.Errorf("the access token names %s %s, want the user", claims.Subject, claims.Identifier)
	}

	// The identity token verifies with the published key, as an old backend would
	// check it (contract 4.5).
	published := s.do(ask{method: "GET", path: "/api/v0/token/ed25519"}).object(t)
	key, err := base64.StdEncoding.DecodeString(text(t, published, "public_key"))
	if err != nil || len(key) != ed25519.PublicKeySize {
		t.Fatalf("public_key: got %q, want 32 bytes of base64", text(t, published, "public_key"))
	}
	signature, err := base64.StdEncoding.DecodeString(text(t, got, "token.signature"))
	if err != nil || len(signature) != ed25519.SignatureSize {
		t.Fatalf("signature: got %q, want 64 bytes of base64", text(t, got, "token.signature"))
	}
	signed := text(t, got, "token.identifier") + text(t, got, "token.identifier_type") + text(t, got, "token.receiver") + text(t, got, "token.expire_at")
	if !ed25519.Verify(key, []byte(signed), signature) {
		t.Error("the identity token does not verify with the published key")
	}
}

func TestGetIdentityRefusals(t *testing.T) {
	tests := []struct {
		name   string
		change func(a *ask, p proof)
		status int
	}{
		{name: "as the web SDK asks", change: func(*ask, proof) {}, status: 200},
		{name: "challenge id as text", change: func(a *ask, p proof) {
			a.body = strings.Replace(a.body, fmt.Sprint(`"challenge_id":`, p.challengeID), fmt.Sprintf(`"challenge_id":"%d"`, p.challengeID), 1)
		}, status: 200},
		{name: "no challenge id", change: func(a *ask, p proof) {
			a.body = strings.Replace(a.body, fmt.Sprint(`"challenge_id":`, p.challengeID), `"challenge_id":null`, 1)
		}, status: 200},
		{name: "the method of the query is a hint", change: func(a *ask, _ proof) { a.path += "&auth_method=SOCIAL_LOGIN" }, status: 200},
		{name: "below its own base", change: func(a *ask, _ proof) { a.path = "/p/" + idA + a.path }, status: 200},
		{name: "other challenge id", change: func(a *ask, p proof) {
			a.body = strings.Replace(a.body, fmt.Sprint(`"challenge_id":`, p.challengeID), fmt.Sprint(`"challenge_id":`, p.challengeID^1), 1)
		}, status: 400},
		{name: "challenge id of 32 bits", change: func(a *ask, p proof) {
			a.body = strings.Replace(a.body, fmt.Sprint(`"challenge_id":`, p.challengeID), `"challenge_id":2147483648`, 1)
		}, status: 400},
		{name: "other verifier", change: func(a *ask, _ proof) { a.body = strings.Replace(a.body, verifier, verifier[:55]+"e", 1) }, status: 400},
		{name: "short verifier", change: func(a *ask, _ proof) { a.body = strings.Replace(a.body, verifier, "short", 1) }, status: 400},
		{name: "other site", change: func(a *ask, _ proof) { a.body = strings.Replace(a.body, shop, "https://evil.example", 1) }, status: 400},
		{name: "no redirect URL, as the form had none", change: func(a *ask, _ proof) { a.body = strings.Replace(a.body, shop, "", 1) }, status: 200},
		{name: "unknown code", change: func(a *ask, p proof) {
			flipped := "A"
			if p.code[20] == 'A' {
				flipped = "B"
			}
			a.body = strings.Replace(a.body, p.code, p.code[:20]+flipped+p.code[21:], 1)
		}, status: 400},
		{name: "no JSON", change: func(a *ask, _ proof) { a.body = "code=1" }, status: 400},
		{name: "a form", change: func(a *ask, _ proof) { a.media = "application/x-www-form-urlencoded" }, status: 415},
		{name: "too large", change: func(a *ask, _ proof) { a.body = `{"code_verifier":"` + strings.Repeat("a", 70<<10) + `"}` }, status: 413},
		{name: "unknown project", change: func(a *ask, _ proof) { a.key = "ffffffff-0a53-4d0e-8d8e-2f6c0e5f7a11" }, status: 401},
		{name: "other project at the root", change: func(a *ask, _ proof) { a.key = idB }, status: 401},
		{name: "path and header disagree", change: func(a *ask, _ proof) { a.path, a.key = "/p/"+idA+a.path, idB }, status: 401},
		{name: "at the other project", change: func(a *ask, _ proof) { a.path, a.key = "/p/"+idB+a.path, idB }, status: 400},
		{name: "at a base that is not there", change: func(a *ask, _ proof) { a.path, a.key = "/p/nobody"+a.path, "" }, status: 401},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t)
			p := s.prove(s.a, "ada@example.org", "", shop)
			a := getIdentity("", p)
			test.change(&a, p)
			got := s.do(a)
			if test.status == http.StatusOK {
				got.object(t)
				return
			}
			got.refused(t, test.status)
			if c := cookieOf(t, got); c != nil {
				t.Errorf("a refusal sets the cookie %v", c)
			}
		})
	}
}

func TestCodeOpensOneSession(t *testing.T) {
	s := newSite(t)
	p := s.prove(s.a, "ada@example.org", "", shop)
	first := s.do(getIdentity("", p)).object(t)
	again := s.do(getIdentity("", p)).object(t) // the answer was lost
	if a, b := text(t, first, "oauth_token.refresh_token"), text(t, again, "oauth_token.refresh_token"); a != b {
		t.Errorf("the same code opened another session")
	}
	s.wait(31 * time.Second)
	s.do(getIdentity("", p)).refused(t, 400)

	q := s.prove(s.a, "bob@example.org", "", shop)
	wrong := getIdentity("", q)
	wrong.body = strings.Replace(wrong.body, verifier, verifier[:55]+"e", 1)
	s.do(wrong).refused(t, 400)
	s.do(getIdentity("", q)).refused(t, 400) // the mismatch spent it
}

func TestCookie(t *testing.T) {
	const upper = "0D0C6B3E-0A53-4D0E-8D8E-2F6C0E5F7A11"
	tests := []struct {
		name   string
		base   string
		key    string
		origin string
		path   string // empty: no cookie
	}{
		{name: "at the root", key: idA, origin: shop, path: "/api/v0/token/" + idA},
		{name: "below the project", base: "/p/" + idA, key: idA, origin: shop, path: "/p/" + idA + "/api/v0/token/" + idA},
		{name: "as the client spells its key", key: upper, origin: shop, path: "/api/v0/token/" + upper},
		{name: "a proxy dropped the header", origin: shop, path: "/api/v0/token/" + idA},
		{name: "no page", key: idA},
		{name: "a page that is not listed", key: idA, origin: "https://evil.example"},
		{name: "a sandboxed page", key: idA, origin: "null"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t)
			a := getIdentity(test.base, s.prove(s.a, "ada@example.org", "", shop))
			a.key, a.origin = test.key, test.origin
			got := s.do(a)
			token := text(t, got.object(t), "oauth_token.refresh_token")
			if test.path == "" {
				if c := cookieOf(t, got); c != nil {
					t.Errorf("got cookie %v, want none", c)
				}
				return
			}
			want := "__Secure-rft=" + token + "; Path=" + test.path + "; Max-Age=2592000; HttpOnly; Secure; SameSite=None; Partitioned"
			if got := got.header.Get("Set-Cookie"); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestRefresh(t *testing.T) {
	keyed, bare := "/api/v0/token/"+idA, "/api/v0/token"
	tests := []struct {
		name   string
		path   string
		body   string // %s is the token
		cookie bool
		origin string
		key    string
		status int
		final  bool // the words that end the session for the web SDK
	}{
		{name: "web with its token", path: keyed, body: refreshBody("%s"), origin: shop, key: idA, status: 200},
		{name: "path-less", path: bare, body: refreshBody("%s"), key: idA, status: 200},
		{name: "below the project", path: "/p/" + idA + keyed, body: refreshBody("%s"), origin: shop, key: idA, status: 200},
		{name: "by cookie alone", path: keyed, body: `{"grant_type":"refresh_token"}`, cookie: true, origin: shop, key: idA, status: 200},
		{name: "by cookie beside undefined", path: keyed, body: refreshBody("undefined"), cookie: true, origin: shop, key: idA, status: 200},
		{name: "by cookie beside null", path: keyed, body: `{"grant_type":"refresh_token","refresh_token":null}`, cookie: true, origin: shop, key: idA, status: 200},
		{name: "by cookie beside nothing", path: keyed, body: refreshBody(""), cookie: true, origin: shop, key: idA, status: 200},
		{name: "body before cookie", path: keyed, body: refreshBody("1:x"), cookie: true, origin: shop, key: idA, status: 400, final: true},
		{name: "cookie from a page that is not listed", path: keyed, body: `{"grant_type":"refresh_token"}`, cookie: true, origin: "https://evil.example", key: idA, status: 403},
		{name: "cookie from a sandboxed page", path: keyed, body: `{"grant_type":"refresh_token"}`, cookie: true, origin: "null", key: idA, status: 403},
		{name: "cookie from nowhere", path: keyed, body: `{"grant_type":"refresh_token"}`, cookie: true, key: idA, status: 403},
		{name: "nobody logged in", path: keyed, body: `{"grant_type":"refresh_token"}`, origin: shop, key: idA, status: 400, final: true},
		{name: "undefined and no cookie", path: keyed, body: refreshBody("undefined"), origin: shop, key: idA, status: 400, final: true},
		{name: "forged", path: keyed, body: refreshBody("1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), origin: shop, key: idA, status: 400, final: true},
		{name: "other project's header", path: keyed, body: refreshBody("%s"), origin: shop, key: idB, status: 401},
		{name: "other project's path", path: "/api/v0/token/" + idB, body: refreshBody("%s"), origin: shop, key: idA, status: 401},
		{name: "at the other project", path: "/p/" + idB + "/api/v0/token/" + idB, body: refreshBody("%s"), key: idB, status: 400, final: true},
		{name: "identity token", path: bare, body: `{"grant_type":"identity_token","identity_token":{}}`, key: idA, status: 401},
		{name: "event token", path: bare, body: `{"grant_type":"event_token","event_token":{}}`, key: idA, status: 400},
		{name: "no grant", path: bare, body: `{}`, key: idA, status: 400},
		{name: "no JSON", path: keyed, body: `refresh`, origin: shop, key: idA, status: 400},
		{name: "two objects", path: keyed, body: `{} {}`, origin: shop, key: idA, status: 400},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t)
			token := text(t, s.signIn("ada@example.org"), "oauth_token.refresh_token")
			a := ask{method: "POST", path: test.path, body: strings.Replace(test.body, "%s", token, 1), key: test.key, origin: test.origin}
			if test.cookie {
				a.cookie = token
			}
			got := s.do(a)
			if test.status == http.StatusOK {
				o := got.object(t)
				if len(o) != 6 || text(t, o, "refresh_token") == token || text(t, o, "refresh_token") == "" {
					t.Errorf("got %d keys and the refresh token %s, want six and a new token", len(o), text(t, o, "refresh_token"))
				}
				if _, err := s.tokens.Verify(s.a, text(t, o, "access_token")); err != nil {
					t.Errorf("the access token does not verify: %v", err)
				}
				if c := cookieOf(t, got); (c != nil) != (test.origin == shop) || c != nil && c.Value != text(t, o, "refresh_token") {
					t.Errorf("got cookie %v for origin %q", c, test.origin)
				}
				return
			}
			msg := got.refused(t, test.status)
			if strings.Contains(msg, "not valid") != test.final {
				t.Errorf("msg %q: says not valid: %v, want %v", msg, !test.final, test.final)
			}
			if test.final && msg != "Refresh token is not valid" {
				t.Errorf("got msg %q", msg)
			}
			// Whatever was wrong with it, it did the session no harm.
			s.do(ask{method: "POST", path: keyed, body: refreshBody(token), key: idA, origin: shop}).object(t)
		})
	}
}

func TestRefreshRotatesAndNoticesReuse(t *testing.T) {
	s := newSite(t)
	refresh := func(presented string) reply {
		return s.do(ask{method: "POST", path: "/api/v0/token/" + idA, body: refreshBody(presented), key: idA, origin: shop})
	}
	first := text(t, s.signIn("ada@example.org"), "oauth_token.refresh_token")
	second := text(t, refresh(first).object(t), "refresh_token")
	for range 2 { // three tabs raced
		if got := text(t, refresh(first).object(t), "refresh_token"); got != second {
			t.Errorf("inside the grace the superseded token gave %q, want the same successor %q", got, second)
		}
	}
	s.wait(token.Grace)
	if msg := refresh(first).refused(t, 400); msg != "Refresh token is not valid" {
		t.Errorf("got msg %q", msg)
	}
	refresh(second).refused(t, 400) // the session ended: one of the two was stolen
}

func TestDeadCookieIsDropped(t *testing.T) {
	s := newSite(t)
	token := text(t, s.signIn("ada@example.org"), "oauth_token.refresh_token")
	s.wait(31 * 24 * time.Hour)
	got := s.do(ask{method: "POST", path: "/api/v0/token/" + idA, body: `{"grant_type":"refresh_token"}`, key: idA, origin: shop, cookie: token})
	got.refused(t, 400)
	if c := cookieOf(t, got); c == nil || c.MaxAge >= 0 || c.Value != "" || c.Path != "/api/v0/token/"+idA {
		t.Errorf("got cookie %v, want it to end", c)
	}
}

// iOS keeps its first refresh token for ever, so an app's session must not
// rotate, and such a token must be worth nothing in a browser (security 19).
func TestStaticSessions(t *testing.T) {
	tests := []struct {
		name     string
		query    string
		origin   string
		redirect string // empty: appURL
		static   bool
	}{
		{name: "iOS and Android", static: true},
		{name: "a program with a web server of its own", redirect: "http://localhost:9000/callback"},
		{name: "React Native and Flutter ask for tokens", query: "?oauth_token=true"},
		{name: "a page that pretends to be an app", origin: shop},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t, func(a, _ *splitpin.Project) { a.Settings.Origins = append(a.Settings.Origins, "http://localhost:9000") })
			if test.redirect == "" {
				test.redirect = appURL
			}
			p := s.prove(s.a, "ada@example.org", test.redirect, "")
			collected := s.do(ask{method: "POST", path: "/api/v0/verify/get_identity" + test.query, key: idA, origin: test.origin,
				body: fmt.Sprintf(`{"code_verifier":%q,"authorization_code":%q,"challenge_id":%d,"redirect_url":%q}`, verifier, p.code, p.challengeID, test.redirect)})
			first := text(t, collected.object(t), "oauth_token.refresh_token")
			if c := cookieOf(t, collected); c != nil && test.static {
				t.Errorf("an app got the cookie %v", c)
			}
			for _, path := range []string{"/api/v0/token", "/api/v0/token/" + idA} {
				next := text(t, s.do(ask{method: "POST", path: path, body: refreshBody(first), key: idA}).object(t), "refresh_token")
				if (next == first) != test.static {
					t.Errorf("POST %s: the token stayed the same: %v, want %v", path, next == first, test.static)
				}
			}
			s.wait(61 * time.Second)
			a := ask{method: "POST", path: "/api/v0/token", body: refreshBody(first), key: idA}
			if !test.static {
				s.do(a).refused(t, 400)
				return
			}
			s.do(a).object(t)
			a.origin = shop
			s.do(a).refused(t, 400)
			a.origin = ""
			s.do(a).object(t) // the copy in a page cost the app nothing
		})
	}
}

// An app's code shown once more, by a page: the repeated answer is the same
// session, and its token must not become a cookie.
func TestStaticTokenIsNoCookie(t *testing.T) {
	s := newSite(t)
	p := s.prove(s.a, "ada@example.org", appURL, "")
	a := ask{method: "POST", path: "/api/v0/verify/get_identity", key: idA,
		body: fmt.Sprintf(`{"code_verifier":%q,"authorization_code":%q,"challenge_id":%d,"redirect_url":%q}`, verifier, p.code, p.challengeID, appURL)}
	s.do(a).object(t)
	a.origin = shop
	again := s.do(a)
	again.object(t)
	if c := cookieOf(t, again); c != nil {
		t.Errorf("a static token became the cookie %v", c)
	}
}

func TestRefreshLimitMayPass(t *testing.T) {
	s := newSite(t)
	token := text(t, s.signIn("ada@example.org"), "oauth_token.refresh_token")
	a := ask{method: "POST", path: "/api/v0/token/" + idA, body: refreshBody("1:x"), key: idA, origin: shop}
	var got reply
	for range 61 {
		got = s.do(a)
	}
	if msg := got.refused(t, 429); strings.Contains(msg, "not valid") {
		t.Errorf("msg %q ends the session for the web SDK", msg)
	}
	if got.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	a.body = refreshBody(token)
	s.do(a).object(t) // a genuine token is not kept out by others' garbage
}

func TestStoreAwayMayPass(t *testing.T) {
	s := newSite(t)
	token := text(t, s.signIn("ada@example.org"), "oauth_token.refresh_token")
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	refresh := s.do(ask{method: "POST", path: "/api/v0/token/" + idA, body: refreshBody(token), key: idA, origin: shop})
	if msg := refresh.refused(t, 503); strings.Contains(msg, "not valid") {
		t.Errorf("msg %q ends the session for the web SDK", msg)
	}
	if refresh.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	// The session could not be ended: saying that it was would be untrue.
	logout := s.do(ask{method: "DELETE", path: "/api/v0/token/" + idA, key: idA, origin: shop, cookie: token})
	logout.refused(t, 503)
	if c := cookieOf(t, logout); c != nil {
		t.Errorf("the cookie of a live session went away: %v", c)
	}
}

func TestLogout(t *testing.T) {
	tests := []struct {
		name   string
		base   string
		cookie string // %s is the token
		origin string
		ended  bool
		drops  bool
	}{
		{name: "by cookie", cookie: "%s", origin: shop, ended: true, drops: true},
		{name: "below the project", base: "/p/" + idA, cookie: "%s", origin: shop, ended: true, drops: true},
		{name: "nothing to end", origin: shop, drops: true},
		{name: "garbage", cookie: "1:x", origin: shop, drops: true},
		{name: "from a page that is not listed", cookie: "%s", origin: "https://evil.example"},
		{name: "from nowhere", cookie: "%s"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t)
			token := text(t, s.signIn("ada@example.org"), "oauth_token.refresh_token")
			got := s.do(ask{method: "DELETE", path: test.base + "/api/v0/token/" + idA, key: idA, origin: test.origin,
				cookie: strings.Replace(test.cookie, "%s", token, 1)})
			if o := got.object(t); at(t, o, "success") != true {
				t.Errorf("got %s", got.body)
			}
			c := cookieOf(t, got)
			if (c != nil) != test.drops {
				t.Errorf("got cookie %v, want it to end: %v", c, test.drops)
			}
			if c != nil && (c.MaxAge >= 0 || c.Value != "" || c.Path != test.base+"/api/v0/token/"+idA || !c.Partitioned) {
				t.Errorf("got cookie %v, want the one that was set to end", c)
			}
			refresh := s.do(ask{method: "POST", path: "/api/v0/token", body: refreshBody(token), key: idA})
			if (refresh.status != 200) != test.ended {
				t.Errorf("the session ended: %v, want %v", refresh.status != 200, test.ended)
			}
		})
	}
}

// The older token becomes a token set, once and for backends only: contract 7.3.
func TestIdentityTokenExchange(t *testing.T) {
	s := newSite(t)
	got := s.signIn("ada@example.org")
	body := func(kind string) string {
		identity, err := json.Marshal(at(t, got, "token"))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf(`{"grant_type":"%s_token","%[1]s_token":%s}`, kind, identity)
	}
	exchange := ask{method: "POST", path: "/api/v0/token", key: idA, secret: secretA, body: body("identity")}
	for name, change := range map[string]func(*ask){
		"no secret":                   func(a *ask) { a.secret = "" },
		"the key that ships in apps":  func(a *ask) { a.secret = appKeyA },
		"another project's own users": func(a *ask) { a.path, a.key = "/p/"+idB+a.path, idB },
	} {
		a := exchange
		change(&a)
		if msg := s.do(a).refused(t, 401); !strings.Contains(msg, "server secret") {
			t.Errorf("%s: got %q", name, msg)
		}
	}
	page := exchange
	page.origin = shop
	s.do(page).refused(t, 403)

	events := exchange
	events.body = body("event")
	if msg := s.do(events).refused(t, 400); !strings.Contains(msg, "events of devices") {
		t.Errorf("an event token: got %q", msg)
	}

	set := s.do(exchange).object(t)
	if len(set) != 6 || text(t, set, "auth_method") != "OTP" || text(t, set, "token_type") != "Bearer" {
		t.Errorf("got %v, want the six keys of a token set", set)
	}
	claims, err := s.tokens.Verify(s.a, text(t, set, "access_token"))
	if err != nil || claims.Identifier != "ada@example.org" {
		t.Errorf("the access token: got %+v, %v", claims, err)
	}
	if msg := s.do(exchange).refused(t, 400); strings.Contains(msg, "not valid") {
		t.Errorf("a second time: got %q, with the words that are for refresh tokens", msg)
	}
}
