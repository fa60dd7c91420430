package server

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/api"
	"github.com/splitpin/splitpin/api/apitest"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/project"
	"github.com/splitpin/splitpin/server/edge"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/signin/code"
	"github.com/splitpin/splitpin/signin/link"
	"github.com/splitpin/splitpin/signin/social"
	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/store/enginetest"
	"github.com/splitpin/splitpin/token"
)

const (
	shop    = "https://shop.example"
	inboxTo = "token-of-this-run"
)

// A house is a server with a real store, two projects and an inbox that the
// outbox is stepped into by hand.
type house struct {
	t           testing.TB
	server      *Server
	engine      *signin.Engine
	store       store.Database
	outbox      *delivery.Outbox
	inbox       *delivery.Inbox
	people      *account.Directory
	log         *bytes.Buffer
	first, next *splitpin.Project
	secret      string // of first
	description *apitest.Description
}

func newHouse(t testing.TB) *house {
	t.Helper()
	ctx := t.Context()
	db := enginetest.Open(t)
	ring, err := keyring.Open(ctx, db, time.Now(), keyring.NewMaster())
	if err != nil {
		t.Fatal(err)
	}
	public := &url.URL{Scheme: "https", Host: "login.example"}
	h := &house{t: t, store: db, inbox: &delivery.Inbox{}, log: &bytes.Buffer{}}
	tokens := token.New(db, ring, public.String(), time.Now)
	admin := &project.Admin{Store: db, Tokens: tokens, Clock: time.Now}
	first, secret, err := admin.Create(ctx, project.Draft{Settings: splitpin.Settings{Name: "Shop", Origins: []string{shop, "shopapp://"}}})
	if err != nil {
		t.Fatal(err)
	}
	next, _, err := admin.Create(ctx, project.Draft{Settings: splitpin.Settings{Name: "Other", Origins: []string{"https://other.example", "*"}}})
	if err != nil {
		t.Fatal(err)
	}
	h.secret = secret.Reveal()
	h.engine, err = signin.New(ctx, signin.Options{Store: db, Ring: ring, Tokens: tokens, Methods: []signin.Method{&social.Method{Ring: ring, PublicURL: "https://login.example"}, code.Email{}, link.Email("https://login.example"),
		code.SMS{Senders: func() []splitpin.Channel { return []splitpin.Channel{splitpin.SMSChannel, splitpin.WhatsAppChannel} }}}, PublicURL: public.String()})
	if err != nil {
		t.Fatal(err)
	}
	h.first, _ = h.engine.Project(first.ID)
	h.next, _ = h.engine.Project(next.ID)
	h.people = &account.Directory{Store: db, Ring: ring, Clock: time.Now}
	h.outbox = &delivery.Outbox{Store: db, Senders: map[splitpin.Channel]delivery.Sender{splitpin.EmailChannel: h.inbox},
		Fill: func(_ context.Context, _ *splitpin.Message, a *splitpin.Attempt) (delivery.Values, error) {
			c, err := h.engine.Secret(a)
			return delivery.Values{Code: c.Code, Link: c.Link, Project: "Shop"}, err
		}, Receipt: h.engine.Receipt, ReadReceipt: h.engine.ReadReceipt}
	h.server = New(Options{
		Edge: &edge.Edge{Engine: h.engine, PublicURL: public, Clock: time.Now, Log: slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
			Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
		Tokens: tokens, People: h.people,
		Ready: func(ctx context.Context) error { _, err := db.Version(ctx); return err },
		Inbox: h.inbox, InboxToken: inboxTo, Report: h.outbox.Report,
		LinkHistory: func(_ context.Context, attempt int64) ([]string, error) {
			return []string{fmt.Sprint("of attempt ", attempt)}, nil
		},
	})
	if h.description, err = apitest.Load(); err != nil {
		t.Fatal(err)
	}
	return h
}

// change changes the settings of the first project, as an operator does.
func (h *house) change(alter func(*splitpin.Settings)) {
	h.t.Helper()
	admin := &project.Admin{Store: h.store, Tokens: h.server.tokens, Clock: h.server.Clock}
	if _, err := admin.Change(h.t.Context(), h.first.ID, func(p *splitpin.Project) error { alter(&p.Settings); return nil }); err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.engine.Step(h.t.Context(), h.server.Clock()); err != nil {
		h.t.Fatal(err)
	}
}

// An ask is one request. Zero fields leave out what they stand for.
type ask struct {
	method, path string
	body         any // string: as it is; else as JSON
	header       map[string]string
	host         string
	from         string // peer address
}

// do asks, and holds every answer of /v1 against the description.
func (h *house) do(a ask) *httptest.ResponseRecorder {
	h.t.Helper()
	var body io.Reader
	switch b := a.body.(type) {
	case nil:
	case string:
		body = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			h.t.Fatal(err)
		}
		body = bytes.NewReader(text)
	}
	r := httptest.NewRequest(a.method, a.path, body)
	r.Host = "login.example"
	if a.host != "" {
		r.Host = a.host
	}
	if a.from != "" {
		r.RemoteAddr = a.from
	}
	if a.body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range a.header {
		r.Header.Set(name, value)
		if value == "" {
			r.Header.Del(name)
		}
	}
	w := httptest.NewRecorder()
	h.server.ServeHTTP(w, r)
	if strings.Contains(r.URL.Path, "/v1/") && a.method != "OPTIONS" && w.Code != http.StatusMisdirectedRequest {
		err := h.description.Check(a.method, r.URL.Path, w.Code, w.Header(), w.Body.Bytes())
		if err != nil && !strings.Contains(a.path, "nothing-here") {
			h.t.Errorf("%v\n%s", err, w.Body)
		}
	}
	return w
}

func into[T any](t testing.TB, w *httptest.ResponseRecorder, status int) T {
	t.Helper()
	var v T
	if w.Code != status {
		t.Fatalf("got status %d, want %d: %s", w.Code, status, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("answer is no JSON: %v: %s", err, w.Body)
	}
	return v
}

// refused wants a problem with a code.
func (h *house) refused(w *httptest.ResponseRecorder, status int, code string) api.Problem {
	h.t.Helper()
	p := into[api.Problem](h.t, w, status)
	if p.Code != code || p.Status != status || p.RequestID == "" {
		h.t.Fatalf("got problem %+v, want code %s and status %d", p, code, status)
	}
	return p
}

const verifier = "a-verifier-of-at-least-forty-three-characters-0123"

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (h *house) start(base, address string) api.StartResponse {
	h.t.Helper()
	return into[api.StartResponse](h.t, h.do(ask{method: "POST", path: base + "/v1/attempts", body: api.StartRequest{
		Method: "email_code", Identifier: address, CodeChallenge: challenge(), Origin: shop,
	}}), http.StatusCreated)
}

func (h *house) read(address string) string {
	h.t.Helper()
	if _, err := h.outbox.Step(h.t.Context(), time.Now()); err != nil {
		h.t.Fatal(err)
	}
	list := h.inbox.Messages(address)
	if len(list) == 0 {
		h.t.Fatalf("no message came to %s", address)
	}
	return list[0].Code
}

func (h *house) signIn(base, address string) api.Tokens {
	h.t.Helper()
	s := h.start(base, address)
	g := into[api.Granted](h.t, h.do(ask{method: "POST", path: base + "/v1/attempts/" + s.Attempt.ID + "/answer",
		body: api.AnswerRequest{Code: h.read(address)}, header: map[string]string{api.AttemptSecretHeader: s.Secret}}), 200)
	return into[api.Tokens](h.t, h.do(ask{method: "POST", path: base + "/v1/token", body: api.TokenRequest{
		GrantType: "authorization_code", Code: g.AuthorizationCode, CodeVerifier: verifier, ChallengeID: &g.ChallengeID, RedirectURL: shop,
	}}), 200)
}

func bearer(token string) map[string]string {
	return map[string]string{"Authorization": "Bearer " + token}
}

func TestEveryRouteIsDescribed(t *testing.T) {
	h := newHouse(t)
	var routes []string
	for _, r := range h.server.v1() {
		routes = append(routes, r.pattern)
	}
	slices.Sort(routes)
	if described := h.description.Operations(); !slices.Equal(routes, described) {
		t.Errorf("routes and description differ:\nroutes      %q\ndescription %q", routes, described)
	}
}

func TestSignInThroughV1(t *testing.T) {
	h := newHouse(t)
	for _, base := range []string{"", "/p/" + h.first.ID} {
		t.Run("base "+base, func(t *testing.T) {
			tokens := h.signIn(base, "ada@example.org")
			if tokens.User == nil || tokens.User.Identifier != "ada@example.org" || !tokens.User.Proved {
				t.Errorf("got user %+v, want ada@example.org, proved", tokens.User)
			}
			u := into[api.User](t, h.do(ask{method: "GET", path: base + "/v1/user", header: bearer(tokens.AccessToken)}), 200)
			if u.ID != tokens.User.ID {
				t.Errorf("got user %s, want %s", u.ID, tokens.User.ID)
			}
			fresh := into[api.Tokens](t, h.do(ask{method: "POST", path: base + "/v1/token",
				body: api.TokenRequest{GrantType: "refresh_token", RefreshToken: tokens.RefreshToken}}), 200)
			if fresh.RefreshToken == tokens.RefreshToken {
				t.Error("the refresh token did not rotate")
			}
			if w := h.do(ask{method: "POST", path: base + "/v1/logout", body: api.LogoutRequest{RefreshToken: fresh.RefreshToken}}); w.Code != 204 {
				t.Errorf("logout: got %d, want 204", w.Code)
			}
			h.refused(h.do(ask{method: "POST", path: base + "/v1/token",
				body: api.TokenRequest{GrantType: "refresh_token", RefreshToken: fresh.RefreshToken}}), 400, "refresh_invalid")
			h.refused(h.do(ask{method: "GET", path: base + "/v1/user", header: bearer(tokens.AccessToken)}), 401, "unauthenticated")
		})
	}
}

func TestSessionsOfAUser(t *testing.T) {
	h := newHouse(t)
	one, two := h.signIn("", "ada@example.org"), h.signIn("", "ada@example.org")
	other := h.signIn("", "bob@example.org")
	list := into[api.Sessions](t, h.do(ask{method: "GET", path: "/v1/sessions", header: bearer(two.AccessToken)}), 200).Sessions
	if len(list) != 2 || !list[0].Current || list[1].Current {
		t.Fatalf("got %+v, want two sessions, the newest current", list)
	}
	into[api.User](t, h.do(ask{method: "GET", path: "/v1/user", header: bearer(one.AccessToken)}), 200) // seen before, from now on
	h.refused(h.do(ask{method: "DELETE", path: "/v1/sessions/" + list[1].ID, header: bearer(other.AccessToken)}), 404, "not_found")
	h.refused(h.do(ask{method: "DELETE", path: "/v1/sessions/nobody", header: bearer(two.AccessToken)}), 404, "not_found")
	into[api.Ended](t, h.do(ask{method: "DELETE", path: "/v1/sessions/" + list[1].ID, header: bearer(two.AccessToken)}), 200)
	h.refused(h.do(ask{method: "GET", path: "/v1/user", header: bearer(one.AccessToken)}), 401, "unauthenticated")
	three := h.signIn("", "ada@example.org")
	if got := into[api.Ended](t, h.do(ask{method: "DELETE", path: "/v1/sessions?keep=current", header: bearer(three.AccessToken)}), 200); got.Ended != 1 {
		t.Errorf("ended %d sessions, want 1", got.Ended)
	}
	into[api.User](t, h.do(ask{method: "GET", path: "/v1/user", header: bearer(three.AccessToken)}), 200)
}

func TestBackendCalls(t *testing.T) {
	h := newHouse(t)
	made := into[api.User](t, h.do(ask{method: "POST", path: "/v1/users", header: bearer(h.secret),
		body: api.UserRequest{Identifier: "Ada@Example.org", ClientUserID: "1014"}}), 201)
	if made.Proved || made.Identifier != "ada@example.org" {
		t.Errorf("got %+v, want ada@example.org, not proved", made)
	}
	h.refused(h.do(ask{method: "POST", path: "/v1/users", header: bearer(h.secret), body: api.UserRequest{Identifier: "ada@example.org"}}), 409, "user_exists")
	for _, id := range []string{made.ID, "1014"} {
		if u := into[api.User](t, h.do(ask{method: "GET", path: "/v1/users/" + id, header: bearer(h.secret)}), 200); u.ID != made.ID {
			t.Errorf("got user %s for %s, want %s", u.ID, id, made.ID)
		}
	}
	h.refused(h.do(ask{method: "GET", path: "/v1/users/" + splitpin.NewUUID().String(), header: bearer(h.secret)}), 404, "not_found")
	tokens := h.signIn("", "ada@example.org")
	if tokens.User.ID != made.ID {
		t.Errorf("the first sign-in made user %s, want %s kept", tokens.User.ID, made.ID)
	}
	if got := into[api.Sessions](t, h.do(ask{method: "GET", path: "/v1/users/" + made.ID + "/sessions", header: bearer(h.secret)}), 200); len(got.Sessions) != 1 {
		t.Errorf("got %d sessions, want 1", len(got.Sessions))
	}
	if got := into[api.Ended](t, h.do(ask{method: "DELETE", path: "/v1/users/" + made.ID + "/sessions", header: bearer(h.secret)}), 200); got.Ended != 1 {
		t.Errorf("ended %d, want 1", got.Ended)
	}
	if got := into[api.Users](t, h.do(ask{method: "GET", path: "/v1/users", header: bearer(h.secret)}), 200); len(got.Users) != 1 || got.NextPage != nil {
		t.Errorf("got %+v, want one user on the last page", got)
	}
	for _, q := range []string{"ADA@example.org", "nobody@example.org", "not an address@"} {
		got := into[api.Users](t, h.do(ask{method: "GET", path: "/v1/users?identifier=" + url.QueryEscape(q), header: bearer(h.secret)}), 200)
		if want := strings.HasPrefix(q, "ADA"); (len(got.Users) == 1) != want {
			t.Errorf("found %d users for %q", len(got.Users), q)
		}
	}
	h.refused(h.do(ask{method: "GET", path: "/v1/users?page=-1", header: bearer(h.secret)}), 400, "invalid_request")

	t.Run("without the secret", func(t *testing.T) {
		for _, secret := range []string{"", "wrong", tokens.AccessToken} {
			h.refused(h.do(ask{method: "GET", path: "/v1/users", header: bearer(secret)}), 401, "unauthenticated")
			h.refused(h.do(ask{method: "POST", path: "/v1/users", header: bearer(secret), body: api.UserRequest{Identifier: "x@example.org"}}), 401, "unauthenticated")
		}
	})
	t.Run("of another project", func(t *testing.T) {
		h.refused(h.do(ask{method: "GET", path: "/p/" + h.next.ID + "/v1/users", header: bearer(h.secret)}), 401, "unauthenticated")
	})
	t.Run("from a browser", func(t *testing.T) {
		header := bearer(h.secret)
		header["Origin"] = shop
		h.refused(h.do(ask{method: "GET", path: "/v1/users", header: header}), 403, "forbidden")
		events, err := h.store.AuditEvents(t.Context(), splitpin.AuditFilter{Kind: "server_secret_in_browser"}, 10)
		if err != nil || len(events) != 1 {
			t.Errorf("got %d audit events and %v, want 1", len(events), err)
		}
	})
}

func TestForeignTokens(t *testing.T) {
	h := newHouse(t)
	tokens := h.signIn("", "ada@example.org")
	for name, token := range map[string]string{"the id token": tokens.IDToken, "the refresh token": tokens.RefreshToken, "nothing": "", "garbage": "a.b.c"} {
		t.Run(name, func(t *testing.T) {
			h.refused(h.do(ask{method: "GET", path: "/v1/user", header: bearer(token)}), 401, "unauthenticated")
		})
	}
	h.refused(h.do(ask{method: "GET", path: "/p/" + h.next.ID + "/v1/user", header: bearer(tokens.AccessToken)}), 401, "unauthenticated")
	h.refused(h.do(ask{method: "POST", path: "/p/" + h.next.ID + "/v1/token",
		body: api.TokenRequest{GrantType: "refresh_token", RefreshToken: tokens.RefreshToken}}), 400, "refresh_invalid")
	into[api.Tokens](t, h.do(ask{method: "POST", path: "/v1/token",
		body: api.TokenRequest{GrantType: "refresh_token", RefreshToken: tokens.RefreshToken}}), 200)
}

func TestBadRequests(t *testing.T) {
	h := newHouse(t)
	good := api.StartRequest{Method: "email_code", Identifier: "ada@example.org", CodeChallenge: challenge(), Origin: shop}
	with := func(change func(*api.StartRequest)) api.StartRequest { r := good; change(&r); return r }
	tests := []struct {
		name   string
		body   any
		header map[string]string
		status int
		code   string
		field  string
	}{
		{name: "no JSON", body: "{", status: 400, code: "invalid_request"},
		{name: "two objects", body: "{}{}", status: 400, code: "invalid_request"},
		{name: "a list", body: "[]", status: 400, code: "invalid_request"},
		{name: "a number for text", body: `{"identifier":7}`, status: 400, code: "invalid_request", field: "identifier"},
		{name: "a form", body: "a=b", header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, status: 415, code: "unsupported_media_type"},
		{name: "no type", body: "{}", header: map[string]string{"Content-Type": ""}, status: 415, code: "unsupported_media_type"},
		{name: "too large", body: `{"identifier":"` + strings.Repeat("a", 70<<10) + `"}`, status: 413, code: "too_large"},
		{name: "no method", body: `{"methd":"email_code"}`, status: 400, code: "invalid_request", field: "method"},
		{name: "unknown method", body: with(func(r *api.StartRequest) { r.Method = "telepathy" }), status: 400, code: "method_unknown", field: "method"},
		{name: "no address", body: with(func(r *api.StartRequest) { r.Identifier = "ada" }), status: 400, code: "invalid_identifier", field: "identifier"},
		{name: "a phone", body: with(func(r *api.StartRequest) { r.Identifier = "+12025550123" }), status: 400, code: "invalid_identifier", field: "identifier"},
		{name: "a plain challenge", body: with(func(r *api.StartRequest) { r.CodeChallenge = "secret" }), status: 400, code: "invalid_request", field: "code_challenge"},
		{name: "a purpose of later", body: with(func(r *api.StartRequest) { r.Purpose = "link" }), status: 400, code: "invalid_request", field: "purpose"},
		{name: "a foreign origin", body: with(func(r *api.StartRequest) { r.Origin = "https://evil.example" }), status: 403, code: "origin_not_allowed", field: "origin"},
		{name: "an origin with a path", body: with(func(r *api.StartRequest) { r.Origin = shop + "/x" }), status: 403, code: "origin_not_allowed", field: "origin"},
		{name: "a foreign redirect", body: with(func(r *api.StartRequest) { r.RedirectURL = "https://evil.example/cb" }), status: 403, code: "redirect_not_allowed", field: "redirect_url"},
		{name: "nowhere to go", body: with(func(r *api.StartRequest) { r.Origin = "" }), status: 403, code: "redirect_not_allowed", field: "redirect_url"},
		{name: "another project in the header", body: good, header: map[string]string{"API_KEY_ID": h.next.ID}, status: 401, code: "unknown_project"},
		{name: "no such project in the header", body: good, header: map[string]string{"API_KEY_ID": splitpin.NewUUID().String()}, status: 401, code: "unknown_project"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := h.refused(h.do(ask{method: "POST", path: "/v1/attempts", body: test.body, header: test.header}), test.status, test.code)
			if p.Field != test.field {
				t.Errorf("got field %q, want %q", p.Field, test.field)
			}
		})
	}
	h.refused(h.do(ask{method: "GET", path: "/p/" + splitpin.NewUUID().String() + "/v1/project"}), 401, "unknown_project")
	h.refused(h.do(ask{method: "GET", path: "/v1/nothing-here"}), 404, "not_found")
}

// An address that is there says which methods it takes.
func TestMethodsOfAnAddress(t *testing.T) {
	h := newHouse(t)
	for _, base := range []string{"", "/p/" + h.first.ID} {
		for _, test := range []struct{ method, path, allow string }{
			{"PUT", "/v1/attempts", "POST, OPTIONS"},
			{"DELETE", "/v1/attempts/x", "GET, HEAD, OPTIONS"},
			{"PATCH", "/v1/sessions", "GET, HEAD, DELETE, OPTIONS"},
			{"GET", "/v1/token", "POST, OPTIONS"},
			{"POST", "/v1/keys", "GET, HEAD, OPTIONS"},
		} {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(test.method, base+test.path, nil)
			r.Host = "login.example"
			h.server.ServeHTTP(w, r)
			if p := into[api.Problem](t, w, 405); p.Code != "method_not_allowed" || w.Header().Get("Allow") != test.allow {
				t.Errorf("%s %s: got %s, Allow %q; want %q", test.method, base+test.path, p.Code, w.Header().Get("Allow"), test.allow)
			}
		}
	}
}

// A key set is answered before the routes are looked at. An escaped letter sends the
// same request through them: the answer, and what is told of it, must be the same.
func TestKeySetIsAnsweredAsByItsRoute(t *testing.T) {
	h := newHouse(t)
	var seen edge.Visit
	h.server.observe = func(ctx context.Context, _ *http.Request, v *edge.Visit) (context.Context, func()) {
		return ctx, func() { seen = *v }
	}
	type got struct {
		Status int
		Header http.Header
		Body   string
		Visit  edge.Visit
	}
	ask := func(method, base, path, host string, header http.Header) got {
		w, r := httptest.NewRecorder(), httptest.NewRequest(method, base+path, nil)
		r.Host, r.Header = host, header.Clone()
		h.server.ServeHTTP(w, r)
		id := w.Header().Get("X-Request-Id")
		w.Header().Del("X-Request-Id")
		if id == "" || id != seen.ID {
			t.Errorf("%s %s: the answer is called %q, the visit %q", method, base+path, id, seen.ID)
		}
		seen.ID = ""
		return got{w.Code, w.Header(), strings.ReplaceAll(w.Body.String(), id, "ID"), seen}
	}
	_, etag, err := h.server.tokens.KeySet(h.first)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, method, base, host string
		header                   http.Header
		status                   int
	}{
		{name: "at the root", status: 200},
		{name: "of a project", base: "/p/" + h.first.ID, status: 200},
		{name: "of another project", base: "/p/" + h.next.ID, status: 200},
		{name: "of no project", base: "/p/nobody", status: 401},
		{name: "below a project", base: "/p/" + h.first.ID + "/x", status: 404},
		{name: "elsewhere", base: "/x", status: 404},
		{name: "the head", method: "HEAD", status: 200},
		{name: "another method", method: "POST", status: 405},
		{name: "before a call", method: "OPTIONS", header: http.Header{"Origin": {shop}, "Access-Control-Request-Method": {"GET"}}, status: 204},
		{name: "from a page", header: http.Header{"Origin": {"https://anyone.example"}}, status: 200},
		{name: "known already", header: http.Header{"If-None-Match": {`"a"`, "W/" + etag}}, status: 304},
		{name: "another known", header: http.Header{"If-None-Match": {`"a"`}}, status: 200},
		{name: "the project named twice", header: http.Header{"Api_key_id": {h.first.ID}}, status: 200},
		{name: "another project named", header: http.Header{"Api_key_id": {h.next.ID}}, status: 401},
		{name: "a host that is not ours", host: "evil.example", status: 421},
	} {
		t.Run(test.name, func(t *testing.T) {
			method, host := cmp.Or(test.method, "GET"), cmp.Or(test.host, "login.example")
			if test.header == nil {
				test.header = http.Header{}
			}
			at, through := ask(method, test.base, "/v1/keys", host, test.header), ask(method, test.base, "/v1/%6Beys", host, test.header)
			if at.Status != test.status {
				t.Errorf("got status %d, want %d", at.Status, test.status)
			}
			if diff := gocmp.Diff(through, at); diff != "" {
				t.Errorf("by its route (-) and before (+):\n%s", diff)
			}
		})
	}
	if _, pattern := h.server.mux.Handler(httptest.NewRequest("GET", "/v1/%6Beys", nil)); pattern != "GET /v1/keys" {
		t.Errorf("the escaped address goes to %q", pattern)
	}
	if got := ask("GET", "", "/v1%2Fkeys", "login.example", http.Header{}); got.Status != 404 {
		t.Errorf("an escaped slash: got status %d, want 404", got.Status)
	}
}

// The log names the host that a proxy sent, whatever a stranger puts there.
func TestForeignHostIsLogged(t *testing.T) {
	h := newHouse(t)
	h.do(ask{method: "GET", path: "/v1/project", host: "evil.example\n" + strings.Repeat("x", 500)})
	if got := h.log.String(); !strings.Contains(got, `host=evil.example?`+strings.Repeat("x", 87)) || strings.Contains(got, strings.Repeat("x", 88)) {
		t.Errorf("the log says %s", got)
	}
}

func TestAttemptNeedsItsSecret(t *testing.T) {
	h := newHouse(t)
	s, other := h.start("", "ada@example.org"), h.start("", "bob@example.org")
	right := h.read("ada@example.org")
	for name, header := range map[string]map[string]string{
		"no secret":    nil,
		"wrong secret": {api.AttemptSecretHeader: "x"},
		"another's":    {api.AttemptSecretHeader: other.Secret},
	} {
		t.Run(name, func(t *testing.T) {
			path := "/v1/attempts/" + s.Attempt.ID
			h.refused(h.do(ask{method: "GET", path: path, header: header}), 404, "attempt_unknown")
			h.refused(h.do(ask{method: "POST", path: path + "/resend", header: header}), 404, "attempt_unknown")
			h.refused(h.do(ask{method: "POST", path: path + "/answer", body: api.AnswerRequest{Code: right}, header: header}), 404, "attempt_unknown")
		})
	}
	own := map[string]string{api.AttemptSecretHeader: s.Secret}
	a := into[api.Attempt](t, h.do(ask{method: "GET", path: "/v1/attempts/" + s.Attempt.ID, header: own}), 200)
	if a.TriesLeft != 5 || a.State != "open" {
		t.Errorf("got %+v: strangers spent tries", a)
	}
	wrong := h.refused(h.do(ask{method: "POST", path: "/v1/attempts/" + s.Attempt.ID + "/answer", body: api.AnswerRequest{Code: "nothing"}, header: own}), 401, "wrong_code")
	if wrong.TriesLeft == nil || *wrong.TriesLeft != 4 {
		t.Errorf("got tries left %v, want 4", wrong.TriesLeft)
	}
	soon := h.do(ask{method: "POST", path: "/v1/attempts/" + s.Attempt.ID + "/resend", header: own})
	if h.refused(soon, 429, "resend_too_soon").RetryAfter == 0 || soon.Header().Get("Retry-After") == "" {
		t.Error("the refusal does not say when to come back")
	}
}

func TestHosts(t *testing.T) {
	h := newHouse(t)
	tests := []struct {
		host, path string
		status     int
	}{
		{"login.example", "/v1/project", 200},
		{"LOGIN.example:443", "/v1/project", 200},
		{"evil.example", "/v1/project", 421},
		{"login.example.evil.example", "/signin", 421},
		{"localhost", "/inbox", 421},
		{"10.0.0.7", "/healthz", 200}, // a prober asks by address
		{"10.0.0.7", "/readyz", 200},
	}
	for _, test := range tests {
		if w := h.do(ask{method: "GET", path: test.path, host: test.host}); w.Code != test.status {
			t.Errorf("%s%s: got %d, want %d", test.host, test.path, w.Code, test.status)
		}
	}
	for path, key := range map[string]string{"/api/v0/user": "msg", "/p/x/api/v0/user": "msg", "/v1/user": "code"} {
		w := h.do(ask{method: "GET", path: path, host: "evil.example"})
		if body := into[map[string]any](t, w, 421); body[key] == nil {
			t.Errorf("%s: got %v, want the error in the shape of its face", path, body)
		}
	}
	h.server.Drain()
	if w := h.do(ask{method: "GET", path: "/readyz"}); w.Code != 503 {
		t.Errorf("a draining server is ready: %d", w.Code)
	}
}

// We are no proxy: a CONNECT is refused before its path is looked at.
func TestConnect(t *testing.T) {
	h := newHouse(t)
	for path, key := range map[string]string{"/p//v1/nothing-here": "code", "/p//api/v0/user": "msg", "/v1/nothing-here": "code"} {
		w := h.do(ask{method: "CONNECT", path: path})
		if body := into[map[string]any](t, w, 404); body[key] == nil {
			t.Errorf("%s: got %v, want the error in the shape of its face", path, body)
		}
	}
}

func TestLoopbackHosts(t *testing.T) {
	e := &edge.Edge{PublicURL: &url.URL{Scheme: "http", Host: "localhost:8080"}, Loopback: true}
	for host, want := range map[string]bool{"localhost:8080": true, "127.0.0.1:8080": true, "[::1]:8080": true,
		"localhost": true, "rebound.evil.example:8080": false, "127.0.0.1.evil.example": false, "0.0.0.0:8080": false, "": false} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = host
		if got := e.Hosted(r); got != want {
			t.Errorf("Host %q: got %v, want %v", host, got, want)
		}
	}
}

func TestForwardedAddresses(t *testing.T) {
	e := &edge.Edge{Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/64")}}
	tests := []struct {
		name, peer, forwarded, want string
	}{
		{"no proxy", "198.51.100.4:1", "", "198.51.100.4"},
		{"a stranger who claims", "198.51.100.4:1", "203.0.113.9", "198.51.100.4"},
		{"a proxy", "192.0.2.1:1", "203.0.113.9", "203.0.113.9"},
		{"a claim through a proxy", "192.0.2.1:1", "127.0.0.1, 203.0.113.9", "203.0.113.9"},
		{"two proxies", "192.0.2.1:1", "203.0.113.9, 192.0.2.2", "203.0.113.9"},
		{"garbage left of a proxy", "192.0.2.1:1", "x, 192.0.2.2", "192.0.2.2"},
		{"garbage alone", "192.0.2.1:1", "x", "192.0.2.1"},
		{"only proxies", "192.0.2.1:1", "192.0.2.3", "192.0.2.3"},
		{"with a port", "192.0.2.1:1", "203.0.113.9:4711", "203.0.113.9"},
		{"six with a port", "192.0.2.1:1", "[2001:db8:1::5]:4711", "2001:db8:1::5"},
		{"six", "[2001:db8::1]:1", "2001:db8:1::5", "2001:db8:1::5"},
		{"four in six", "[::ffff:192.0.2.1]:1", "::ffff:203.0.113.9", "203.0.113.9"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = test.peer
			if test.forwarded != "" {
				r.Header.Set("X-Forwarded-For", test.forwarded)
			}
			if got := e.Addr(r).String(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestCORS(t *testing.T) {
	h := newHouse(t)
	tests := []struct {
		name, base, origin string
		allow, credentials bool
	}{
		{"listed", "", shop, true, true},
		{"listed, under the base path", "/p/" + h.first.ID, shop, true, true},
		{"another project's", "", "https://other.example", false, false},
		{"a stranger", "", "https://evil.example", false, false},
		{"null", "", "null", false, false},
		{"a longer name", "", shop + ".evil.example", false, false},
		{"another scheme", "", "http://shop.example", false, false},
		{"a host of a scheme that is listed as a whole", "", "shopapp://evil", false, false},
		{"matched by * while * is off", "/p/" + h.next.ID, "https://evil.example", false, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, method := range []string{"OPTIONS", "POST"} {
				header := map[string]string{"Origin": test.origin}
				if method == "OPTIONS" {
					header["Access-Control-Request-Method"] = "POST"
				}
				w := h.do(ask{method: method, path: test.base + "/v1/token", body: "{}", header: header})
				if got := w.Header().Get("Access-Control-Allow-Origin") == test.origin; got != test.allow {
					t.Errorf("%s: allowed %v, want %v", method, got, test.allow)
				}
				if got := w.Header().Get("Access-Control-Allow-Credentials") == "true"; got != test.credentials {
					t.Errorf("%s: credentials %v, want %v", method, got, test.credentials)
				}
				if !strings.Contains(w.Header().Get("Vary"), "Origin") {
					t.Errorf("%s: the answer varies and does not say so", method)
				}
			}
		})
	}
	h.server.AnyOrigin = true
	if w := h.do(ask{method: "GET", path: "/app?api_key=" + h.next.ID + "&code_challenge=" + challenge() + "&redirect_url=https://other.example/"}); w.Code != 400 {
		t.Errorf("/app of a project that admits every site: got %d, want 400", w.Code)
	}
	w := h.do(ask{method: "POST", path: "/p/" + h.next.ID + "/v1/token", body: "{}", header: map[string]string{"Origin": "https://anyone.example"}})
	if w.Header().Get("Access-Control-Allow-Origin") != "https://anyone.example" || w.Header().Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("an origin that only * matches: got %v, want allowed without credentials", w.Header())
	}
}

func TestPages(t *testing.T) {
	h := newHouse(t)
	q := func(pairs ...string) string {
		v := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		return "?" + v.Encode()
	}
	framed := map[string]string{"Sec-Fetch-Dest": "iframe", "Accept": "text/html"}
	signup := func(change ...string) string {
		return "/signup" + q(append([]string{"challenge", challenge(), "type", "EMAIL", "domain", shop, "api_key", h.first.ID,
			"redirect_url", "undefined", "state", "s", "id", "abc"}, change...)...)
	}
	passkeys := func(change ...string) string {
		return "/webauthn" + q(append([]string{"type", "REGISTRATION", "domain", shop, "api_key", h.first.ID, "identifier", "ada@example.org", "id", "abc"}, change...)...)
	}
	tests := []struct {
		name, path string
		header     map[string]string
		status     int
		form       bool   // the sign-in form or the window of passkeys, not an explanation
		ancestors  string // who may frame it
	}{
		{"form", signup(), framed, 200, true, shop},
		{"form on its own", signup(), map[string]string{"Sec-Fetch-Dest": "document"}, 403, false, "'none'"},
		{"form of a stranger", signup("domain", "https://evil.example"), framed, 403, false, "*"},
		{"form of nobody", signup("domain", ""), framed, 403, false, "*"},
		{"form that leads elsewhere", signup("redirect_url", "https://evil.example"), framed, 403, false, "*"},
		{"form of no project", signup("api_key", "nobody"), framed, 404, false, "*"},
		{"form without a challenge", signup("challenge", ""), framed, 400, false, "*"},
		{"form with a challenge that is none", signup("challenge", challenge()+"A"), framed, 400, false, "*"},
		{"form for phones, which are not there", signup("type", "PHONE"), framed, 400, false, shop},
		{"window of passkeys", passkeys(), framed, 200, true, shop},
		{"window of passkeys on its own", passkeys(), map[string]string{"Sec-Fetch-Dest": "document"}, 403, false, "'none'"},
		{"window of passkeys of a stranger", passkeys("domain", "https://evil.example"), framed, 403, false, "*"},
		{"window of passkeys of a script", passkeys("domain", "javascript:alert(1)"), framed, 403, false, "*"},
		{"window of passkeys of nobody", passkeys("domain", ""), framed, 403, false, "*"},
		{"window of passkeys of no project", passkeys("api_key", "nobody"), framed, 404, false, "*"},
		{"app", "/app" + q("api_key", h.first.ID, "type", "EMAIL", "code_challenge", challenge(), "state", "s", "redirect_url", "shopapp://auth"), nil, 200, true, "'none'"},
		{"app that leads elsewhere", "/app" + q("api_key", h.first.ID, "code_challenge", challenge(), "redirect_url", "evil://auth"), nil, 403, false, "'none'"},
		{"app without a challenge", "/app" + q("api_key", h.first.ID, "redirect_url", "shopapp://auth"), nil, 400, false, "'none'"},
		{"app with a challenge that is none", "/app" + q("api_key", h.first.ID, "code_challenge", "abc", "redirect_url", "shopapp://auth"), nil, 400, false, "'none'"},
		// 43 characters, but the last one has bits that no 32 bytes leave.
		{"signin with a challenge that is not canonical", "/signin" + q("project", h.first.ID, "code_challenge", strings.Repeat("A", 42)+"B", "redirect_url", shop+"/cb"), nil, 400, false, "'none'"},
		{"root", "/", map[string]string{"Accept": "text/html"}, 200, false, "'none'"},
		{"signin", "/signin" + q("project", h.first.ID, "code_challenge", challenge(), "redirect_url", shop+"/cb"), nil, 200, true, "'none'"},
		{"signin to a script", "/signin" + q("code_challenge", challenge(), "redirect_url", "javascript:alert(1)"), nil, 403, false, "'none'"},
		{"signin matched by * only", "/signin" + q("project", h.next.ID, "code_challenge", challenge(), "redirect_url", "https://anyone.example/"), nil, 403, false, "'none'"},
		{"nothing here", "/nowhere", map[string]string{"Accept": "text/html"}, 404, false, "'none'"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := h.do(ask{method: "GET", path: test.path, header: test.header})
			if w.Code != test.status {
				t.Errorf("got status %d, want %d", w.Code, test.status)
			}
			if got := strings.Contains(w.Body.String(), `id="config"`); got != test.form {
				t.Errorf("form shown: %v, want %v", got, test.form)
			}
			csp := w.Header().Get("Content-Security-Policy")
			if !strings.Contains(csp, "frame-ancestors "+test.ancestors+";") || !strings.Contains(csp, "default-src 'none'") {
				t.Errorf("got policy %s, want frame-ancestors %s", csp, test.ancestors)
			}
			if w.Header().Get("X-Frame-Options") != "" || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("got headers %v", w.Header())
			}
		})
	}
}

// The sign-in page offers what the project has, whatever that is, and says to its owner what
// it has where that is not what was asked for.
func TestSignInPageOffersWhatThereIs(t *testing.T) {
	h := newHouse(t)
	country := splitpin.PhoneSettings{Countries: []string{"DE"}, BudgetDay: 100_000_000}
	for _, test := range []struct {
		name    string
		methods []string
		query   string
		method  string // that the form starts with
		other   string // of the switch; empty: there is none
		refused string
	}{
		{"codes", []string{"email_code"}, "", "email_code", "", ""},
		{"links alone", []string{"email_link"}, "", "email_link", "", ""},
		{"codes and links", []string{"email_code", "email_link"}, "", "email_code", "", ""},
		{"a link that is asked for", []string{"email_code", "email_link"}, "&auth_method=MAGIC_LINK", "email_link", "", ""},
		{"phones alone", []string{"sms_code"}, "", "sms_code", "", ""},
		{"phones besides", []string{"email_code", "sms_code"}, "&login_hint=ada@example.org", "email_code", "type=PHONE", ""},
		{"phones first", []string{"email_code", "sms_code"}, "&type=PHONE", "sms_code", "type=EMAIL", ""},
		{"no phones", []string{"email_code", "email_link"}, "&type=PHONE", "", "", "offers email_code, email_link."},
	} {
		h.change(func(s *splitpin.Settings) { s.Methods, s.Phone = test.methods, country })
		w := h.do(ask{method: "GET", path: "/signin?state=s&project=" + h.first.ID + "&code_challenge=" + challenge() + "&redirect_url=" + url.QueryEscape(shop+"/cb") + test.query})
		body := html.UnescapeString(w.Body.String())
		if test.refused != "" {
			if w.Code != 400 || !strings.Contains(body, test.refused) || !strings.Contains(body, "splitpin project set --method") {
				t.Errorf("%s: status %d, and the page says %s", test.name, w.Code, body)
			}
			continue
		}
		if !strings.Contains(body, `"method":"`+test.method+`"`) {
			t.Errorf("%s: status %d, and the form starts with another than %s", test.name, w.Code, test.method)
		}
		_, link, _ := strings.Cut(body, `id="address-other" href="`)
		link, _, _ = strings.Cut(link, `"`)
		to, err := url.Parse(link)
		if err != nil {
			t.Fatal(err)
		}
		q := to.Query()
		if got := q.Get("type"); test.other != "" && "type="+got != test.other || test.other == "" && link != "" {
			t.Errorf("%s: the switch leads to %q", test.name, link)
		}
		if link != "" && (to.Path != "/signin" || q.Get("state") != "s" || q.Get("redirect_url") != shop+"/cb" || q.Has("login_hint")) {
			t.Errorf("%s: the switch leads to %q", test.name, link)
		}
	}
}

func TestInboxNeedsItsToken(t *testing.T) {
	h := newHouse(t)
	h.start("", "ada@example.org")
	h.read("ada@example.org")
	for _, path := range []string{"/inbox/api/messages", "/inbox/api/messages?token=wrong", "/inbox/api/wait?timeout=0s"} {
		if w := h.do(ask{method: "GET", path: path}); w.Code != 401 || strings.Contains(w.Body.String(), "ada") {
			t.Errorf("%s: got %d %s, want 401", path, w.Code, w.Body)
		}
	}
	list := into[[]map[string]any](t, h.do(ask{method: "GET", path: "/inbox/api/messages?to=ada@example.org", header: map[string]string{InboxTokenHeader: inboxTo}}), 200)
	if len(list) != 1 {
		t.Fatalf("got %d messages, want 1", len(list))
	}
	for _, key := range []string{"id", "to", "channel", "subject", "text", "html", "code", "link", "at"} {
		if _, ok := list[0][key].(string); !ok {
			t.Errorf("the message has no text %q: %v", key, list[0])
		}
	}
	m := into[delivery.InboxMessage](t, h.do(ask{method: "GET", path: "/inbox/api/wait?to=ada@example.org&timeout=1s&token=" + inboxTo}), 200)
	h.refused(h.do(ask{method: "GET", path: "/inbox/api/wait?to=ada@example.org&timeout=0s&after=" + m.ID + "&token=" + inboxTo}), 404, "no_message")
	h.refused(h.do(ask{method: "GET", path: "/inbox/api/wait?timeout=2h&token=" + inboxTo}), 400, "invalid_request")
	if w := h.do(ask{method: "GET", path: "/inbox"}); w.Code != 200 || strings.Contains(w.Body.String(), m.Code) {
		t.Errorf("the page itself must hold no message: %d", w.Code)
	}
}

// Nothing that identifies or admits anybody may reach the log.
func TestLogHoldsNoSecrets(t *testing.T) {
	h := newHouse(t)
	tokens := h.signIn("", "ada@example.org")
	h.do(ask{method: "GET", path: "/signin?redirect_url=https://evil.example&state=a-state&login_hint=ada@example.org&code_challenge=" + challenge()})
	h.do(ask{method: "GET", path: "/v1/users?identifier=ada@example.org", header: bearer(h.secret)})
	for _, secret := range []string{"ada@example.org", "ada%40", tokens.AccessToken, tokens.RefreshToken, h.secret, "a-state", h.inbox.Messages("")[0].Code, verifier} {
		if strings.Contains(h.log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
	if !strings.Contains(h.log.String(), "POST /v1/token") {
		t.Errorf("the log does not name the routes:\n%s", h.log)
	}
}

// The link of a mail about a new passkey: opening it changes nothing, and only a choice
// that was made takes the passkey back.
func TestUndoPage(t *testing.T) {
	h := newHouse(t)
	page := func(method, path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Host = "login.example"
		if body != "" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		w := httptest.NewRecorder()
		h.server.ServeHTTP(w, r)
		return w
	}
	u, err := h.people.Create(t.Context(), h.next.Number, "ada@example.org", "", true)
	if err != nil {
		t.Fatal(err)
	}
	c := &splitpin.Credential{Number: 77, Project: h.next.Number, User: u.Number, Kind: splitpin.PasskeyCredential, Key: [32]byte{7}, Device: "Firefox on Linux", CreatedAt: time.Now()}
	err = h.store.Change(t.Context(), splitpin.Reads{User: u.Number}, func(*splitpin.Records) (splitpin.Writes, error) {
		return splitpin.Writes{Create: []splitpin.Record{c}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	link, err := h.engine.UndoLink(c)
	if err != nil {
		t.Fatal(err)
	}
	path := link.Reveal()
	path = path[strings.Index(path, "/undo/"):]
	left := func() int {
		list, err := h.engine.Credentials(t.Context(), u)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	for _, test := range []struct {
		name, method, path, body string
		status, left             int
		says                     string
	}{
		{"opened", "GET", path, "", 200, 1, "Was this you?"},
		{"looked at", "HEAD", path, "", 200, 1, ""},
		{"sent without a choice", "POST", path, "choice=", 200, 1, "Please choose"},
		{"it was me", "POST", path, "choice=keep", 200, 1, "Nothing has changed"},
		{"another link", "POST", path[:len(path)-2] + "AA", "choice=undo", 404, 1, "nothing to take back"},
		{"it was not me", "POST", path, "choice=undo", 200, 0, "It is gone"},
		{"once more", "POST", path, "choice=undo", 404, 0, "nothing to take back"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := page(test.method, test.path, test.body)
			if w.Code != test.status || !strings.Contains(w.Body.String(), test.says) {
				t.Errorf("got %d, want %d and %q: %s", w.Code, test.status, test.says, w.Body)
			}
			if !strings.Contains(w.Header().Get("Content-Security-Policy"), "form-action 'self'") || strings.Contains(w.Body.String(), "<script") {
				t.Error("the page needs its form, and no script")
			}
			if n := left(); n != test.left {
				t.Errorf("the person has %d passkeys, want %d", n, test.left)
			}
		})
	}
}

// A form learns which providers there are, and of the method only where there is one.
func TestProjectShowsProviders(t *testing.T) {
	h := newHouse(t)
	shown := func() api.Project { return into[api.Project](t, h.do(ask{method: "GET", path: "/v1/project"}), 200) }
	if p := shown(); len(p.Providers) > 0 || slices.Contains(p.Methods, "social") {
		t.Errorf("a project without providers shows %v and %v", p.Methods, p.Providers)
	}
	h.change(func(s *splitpin.Settings) {
		s.Providers = []splitpin.Provider{{Name: "GITHUB", Kind: "github", ClientID: "id", Sealed: []byte{1}}, {Name: "WORK", Kind: "oidc", Issuer: "https://login.example", ClientID: "id", Sealed: []byte{1}, Label: "Work"}}
	})
	want := []api.Provider{{Name: "GITHUB", Label: "GitHub"}, {Name: "WORK", Label: "Work"}}
	if p := shown(); !slices.Equal(p.Providers, want) || !slices.Contains(p.Methods, "social") {
		t.Errorf("shown are %v and %v, want %v", p.Methods, p.Providers, want)
	}
	h.change(func(s *splitpin.Settings) { s.Methods = []string{"email_code"} })
	if p := shown(); len(p.Providers) > 0 || slices.Contains(p.Methods, "social") {
		t.Errorf("a project with codes only shows %v and %v", p.Methods, p.Providers)
	}
}

// A form learns over which channels it may offer to send, as the project has them.
func TestProjectShowsChannels(t *testing.T) {
	h := newHouse(t)
	shown := func() api.Project { return into[api.Project](t, h.do(ask{method: "GET", path: "/v1/project"}), 200) }
	if p := shown(); len(p.Channels) > 0 || slices.Contains(p.Methods, "sms_code") {
		t.Errorf("a project without countries shows %v and %v", p.Methods, p.Channels)
	}
	h.change(func(s *splitpin.Settings) {
		s.Phone.Countries, s.Phone.Channels = []string{"DE"}, []splitpin.Channel{splitpin.WhatsAppChannel, splitpin.SMSChannel}
	})
	if got := shown().Channels; len(got) != 1 || !slices.Equal(got["sms_code"], []string{"whatsapp", "sms"}) {
		t.Errorf("shown is %v, want both channels of sms_code", got)
	}
}
