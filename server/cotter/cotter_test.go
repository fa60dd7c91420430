package cotter_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/server/cotter"
	"github.com/splitpin/splitpin/server/edge"
	"github.com/splitpin/splitpin/server/page"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/signin/browser"
	"github.com/splitpin/splitpin/signin/code"
	"github.com/splitpin/splitpin/signin/passkey"
	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/store/enginetest"
	"github.com/splitpin/splitpin/token"
)

const (
	idA     = "0d0c6b3e-0a53-4d0e-8d8e-2f6c0e5f7a11" // the default project
	idB     = "b2b2b2b2-0a53-4d0e-8d8e-2f6c0e5f7a22"
	shop    = "https://shop.example" // listed by A
	other   = "https://other.example"
	appURL  = "cotter://auth" // what iOS always returns to; listed by A
	secretA = "server-secret-of-project-a-0123456789"
	appKeyA = "app-key-of-project-a-0123456789"

	verifier = "f6eb75ce4c7f4d1f9a52a3ad6ac4c1f2f6eb75ce4c7f4d1f9a52a3ad" // as the web SDK makes them
)

// A site is the face in front of a real store, with a clock of its own.
type site struct {
	t      *testing.T
	store  store.Database
	engine *signin.Engine
	tokens *token.Service
	people *account.Directory
	ring   *keyring.Ring
	edge   *edge.Edge
	pages  *page.Pages
	mux    *http.ServeMux
	a, b   *splitpin.Project

	tell func(context.Context, *splitpin.Project, cotter.FormCompleted) error

	mu  sync.Mutex
	now time.Time

	paused []time.Duration // for how long the engine waited
	during func()          // happens while it does, once
}

// pause is how the engine waits: the clock moves on instead.
func (s *site) pause(_ context.Context, d time.Duration) error {
	s.wait(d)
	s.mu.Lock()
	s.paused = append(s.paused, d)
	during := s.during
	s.during = nil
	s.mu.Unlock()
	if during != nil {
		during()
	}
	return nil
}

func (s *site) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *site) wait(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

func newSite(t *testing.T, change ...func(a, b *splitpin.Project)) *site {
	t.Helper()
	s := &site{t: t, now: time.Date(2026, 3, 2, 10, 11, 12, 131415000, time.UTC)}
	ctx := t.Context()
	s.store = enginetest.Open(t)
	ring, err := keyring.Open(ctx, s.store, s.now, keyring.NewMaster())
	if err != nil {
		t.Fatal(err)
	}
	s.ring = ring
	s.tokens = token.New(s.store, ring, "https://login.example", s.clock)
	s.a = &splitpin.Project{ID: idA, Default: true, Settings: splitpin.Settings{
		Name: "Shop", Origins: []string{shop, "cotter://"}, Lookup: splitpin.LookupMinimal,
	}, Secrets: []splitpin.ProjectSecret{
		{Hash: sha256.Sum256([]byte(secretA)), Kind: splitpin.ServerSecret, CreatedAt: s.now},
		{Hash: sha256.Sum256([]byte(appKeyA)), Kind: splitpin.AppKey, CreatedAt: s.now},
	}}
	s.b = &splitpin.Project{ID: idB, Settings: splitpin.Settings{Origins: []string{other}}}
	for _, c := range change {
		c(s.a, s.b)
	}
	for _, p := range []*splitpin.Project{s.a, s.b} {
		s.create(p)
	}
	s.engine, err = signin.New(ctx, signin.Options{Store: s.store, Ring: ring, Tokens: s.tokens,
		Methods: []signin.Method{code.Email{}, code.SMS{Senders: func() []splitpin.Channel { return []splitpin.Channel{splitpin.SMSChannel, splitpin.WhatsAppChannel} }}, passkey.Method{PublicURL: "https://login.example"}, browser.Method{PublicURL: "https://login.example"}, socialMethod(s)}, Clock: s.clock, Wait: s.pause, PublicURL: "https://login.example"})
	if err != nil {
		t.Fatal(err)
	}
	s.people = &account.Directory{Store: s.store, Ring: ring, Clock: s.clock}
	s.edge = &edge.Edge{Engine: s.engine, Clock: s.clock, PublicURL: &url.URL{Scheme: "https", Host: "login.example"},
		Log: slog.New(slog.DiscardHandler)}
	s.pages = &page.Pages{Edge: s.edge}
	s.mux = http.NewServeMux()
	cotter.New(cotter.Options{Edge: s.edge, Pages: s.pages, Tokens: s.tokens, People: s.people,
		Tell: func(ctx context.Context, p *splitpin.Project, c cotter.FormCompleted) error { return s.tell(ctx, p, c) }}).Register(s.mux, func(h http.Handler) http.Handler { return h })
	return s
}

func (s *site) create(p *splitpin.Project) {
	s.t.Helper()
	var err error
	if p.Number, err = s.store.NextNumber(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	p.CreatedAt, p.UpdatedAt = s.now, s.now
	keys, err := s.tokens.NewKeys(s.t.Context(), p, s.now)
	if err != nil {
		s.t.Fatal(err)
	}
	err = s.store.Change(s.t.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
		w := splitpin.Writes{Create: []splitpin.Record{p}}
		for _, k := range keys {
			w.Create = append(w.Create, k)
		}
		return w, nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// A proof is what a page hands to the SDK once a code was typed.
type proof struct {
	code        string
	challengeID int32
}

// prove takes an address through start, code and answer. Each has a network of
// its own, so that limits stay out of the way.
func (s *site) prove(p *splitpin.Project, address, destination, origin string) proof {
	s.t.Helper()
	ctx := s.t.Context()
	sum := sha256.Sum256([]byte(verifier))
	by := signin.Caller{Addr: netip.AddrFrom4([4]byte(sum[:4])), Device: "Chrome on Linux", Browser: true}
	started, err := s.engine.Start(ctx, signin.StartRequest{
		Project: p, Method: "email_code", Identifier: address,
		Challenge:   base64.RawURLEncoding.EncodeToString(sum[:]),
		Destination: destination, Origin: origin, By: by,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	typed, err := s.engine.Secret(started.Attempt)
	if err != nil {
		s.t.Fatal(err)
	}
	granted, err := s.engine.Answer(ctx, signin.Handle{Project: p, ID: started.Attempt.ID, Secret: started.Secret, By: by},
		json.RawMessage(fmt.Sprintf(`{"code":%q}`, typed.Code.Reveal())))
	if err != nil {
		s.t.Fatal(err)
	}
	return proof{granted.Code.Reveal(), granted.ChallengeID}
}

// An ask is one request. Headers without a value are left out.
type ask struct {
	method, path string
	body         string
	key          string // API_KEY_ID
	secret       string // API_SECRET_KEY
	origin       string
	cookie       string // the refresh token in the cookie
	media        string // Content-Type; empty: JSON where there is a body
	ifNoneMatch  string
	addr         string // of the client; empty: 192.0.2.1
	preflight    string // Access-Control-Request-Method
}

type reply struct {
	status int
	header http.Header
	body   string
}

func (s *site) do(a ask) reply {
	s.t.Helper()
	r := httptest.NewRequestWithContext(context.Background(), a.method, a.path, strings.NewReader(a.body))
	if a.addr == "" {
		a.addr = "192.0.2.1"
	}
	r.RemoteAddr = a.addr + ":4711"
	if a.media == "" && a.body != "" {
		a.media = "application/json;charset=utf-8"
	}
	set := func(name, value string) {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	set("API_KEY_ID", a.key)
	set("API_SECRET_KEY", a.secret)
	set("Origin", a.origin)
	set("Content-Type", a.media)
	set("If-None-Match", a.ifNoneMatch)
	set("Access-Control-Request-Method", a.preflight)
	if a.cookie != "" {
		r.AddCookie(&http.Cookie{Name: "__Secure-rft", Value: a.cookie})
	}
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r)
	return reply{w.Code, w.Header(), w.Body.String()}
}

// object decodes a reply that must be a success.
func (r reply) object(t *testing.T) map[string]any {
	t.Helper()
	if r.status != http.StatusOK {
		t.Fatalf("got status %d, want 200: %s", r.status, r.body)
	}
	if got := r.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("got Content-Type %q, want application/json", got)
	}
	return decode[map[string]any](t, r.body)
}

// refused checks that a reply is an error in the shape that clients parse, and
// returns its msg.
func (r reply) refused(t *testing.T, status int) string {
	t.Helper()
	if r.status != status {
		t.Errorf("got status %d, want %d: %s", r.status, status, r.body)
	}
	if got := r.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("got Content-Type %q, want application/json", got)
	}
	o := decode[map[string]any](t, r.body)
	msg, ok := o["msg"].(string)
	if kind, ok2 := o["type"].(string); !ok || !ok2 || msg == "" || kind != "" || len(o) != 2 {
		t.Errorf(`got body %s, want {"msg":"…","type":""}`, r.body)
	}
	return msg
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("the answer is no JSON: %v: %q", err, text)
	}
	if _, err := d.Token(); err != io.EOF {
		t.Fatalf("something follows the answer: %q", text)
	}
	return v
}

// at returns what stands at a dotted path of a decoded object.
func at(t *testing.T, o map[string]any, path string) any {
	t.Helper()
	var v any = o
	for _, name := range strings.Split(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			t.Fatalf("%s: %v is no object", path, v)
		}
		if v, ok = m[name]; !ok {
			t.Fatalf("%s is missing", path)
		}
	}
	return v
}

func text(t *testing.T, o map[string]any, path string) string {
	t.Helper()
	s, ok := at(t, o, path).(string)
	if !ok {
		t.Fatalf("%s: got %v, want a string", path, at(t, o, path))
	}
	return s
}

// getIdentity is the request of the web SDK.
func getIdentity(base string, p proof) ask {
	return ask{method: "POST", path: base + "/api/v0/verify/get_identity?oauth_token=true", key: idA, origin: shop,
		body: fmt.Sprintf(`{"code_verifier":%q,"authorization_code":%q,"challenge_id":%d,"redirect_url":%q}`,
			verifier, p.code, p.challengeID, shop)}
}

func refreshBody(token string) string {
	return fmt.Sprintf(`{"grant_type":"refresh_token","refresh_token":%q}`, token)
}

// signIn signs in from the shop's page and returns the answer of get_identity.
func (s *site) signIn(address string) map[string]any {
	s.t.Helper()
	return s.do(getIdentity("", s.prove(s.a, address, "", shop))).object(s.t)
}

// signInApp signs in as iOS does: its token never changes.
func (s *site) signInApp(address string) map[string]any {
	s.t.Helper()
	p := s.prove(s.a, address, appURL, "")
	return s.do(ask{method: "POST", path: "/api/v0/verify/get_identity", key: idA,
		body: fmt.Sprintf(`{"code_verifier":%q,"authorization_code":%q,"challenge_id":%d,"redirect_url":%q}`,
			verifier, p.code, p.challengeID, appURL)}).object(s.t)
}

func cookieOf(t *testing.T, r reply) *http.Cookie {
	t.Helper()
	all := (&http.Response{Header: r.header}).Cookies()
	if i := slices.IndexFunc(all, func(c *http.Cookie) bool { return c.Name == "__Secure-rft" }); i >= 0 {
		return all[i]
	}
	return nil
}
