// Package socialtest is a provider to sign in with, for tests: it speaks real OpenID Connect
// with keys of its own, and the OAuth 2 of GitHub. It tells the truth, and lies where a
// test tells it to. With a browser it shows a page where one chooses who one is.
package socialtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// What the provider knows its one client by.
const (
	ClientID     = "client-1"
	ClientSecret = "the client's secret"
)

// A Person has an account at the provider.
type Person struct {
	Subject, Username, Email string
	Number                   int64 // what GitHub calls the subject
}

// Ada is who signs in where nobody else is named.
var Ada = Person{Subject: "ada-at-theirs", Username: "ada-l", Email: "ada@example.org", Number: 20483939}

// A Provider serves any host name, so that it can stand for the large ones too.
type Provider struct {
	*httptest.Server
	Issuer string

	// Lies. Nil: the truth.
	Claims   func(map[string]any)
	Signed   func(payload []byte) string // instead of an honest signature
	UserInfo map[string]any
	Serve    map[string]http.HandlerFunc // instead of what stands at a path
	Document map[string]any              // more of the discovery document

	t      testing.TB
	now    func() time.Time
	mu     sync.Mutex
	people []Person          // whom its page offers
	keys   []jose.JSONWebKey // the last signs
	codes  map[string]request
	asked  map[string]int // by path
}

// A request is what came with a browser.
type request struct {
	client, redirect, nonce, challenge string
	person                             Person
}

// New starts a provider that is reached over TLS, with httptest's certificate.
func New(t testing.TB, now func() time.Time) *Provider { return begin(t, now, httptest.NewTLSServer) }

// NewPlain starts one without TLS, for programs and browsers on this machine.
func NewPlain(t testing.TB, now func() time.Time) *Provider {
	return begin(t, now, httptest.NewServer)
}

func begin(t testing.TB, now func() time.Time, serve func(http.Handler) *httptest.Server) *Provider {
	p := &Provider{people: []Person{Ada}, t: t, now: now, codes: map[string]request{}, asked: map[string]int{}, Serve: map[string]http.HandlerFunc{}}
	p.NewKey("first")
	p.Server = serve(p)
	t.Cleanup(p.Server.Close)
	p.Issuer = p.URL
	return p
}

// NewKey makes the provider sign with another key from now on.
func (p *Provider) NewKey(id string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = append(p.keys, jose.JSONWebKey{Key: key, KeyID: id, Algorithm: "ES256", Use: "sig"})
}

// Offer lets one more person choose themselves on the provider's page.
func (p *Provider) Offer(who Person) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.people = append(p.people, who)
}

func (p *Provider) offered() []Person {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.people)
}

// Break makes a path answer that status and nothing else, until it is called with 0.
func (p *Provider) Break(path string, status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.Serve, path)
	if status != 0 {
		p.Serve[path] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
	}
}

// SignIn is a person who signs in there, Ada or whoever is named: it returns the code that
// the browser brings back.
func (p *Provider) SignIn(location string, as ...Person) (code, state string) {
	p.t.Helper()
	u, err := url.Parse(location)
	if err != nil || !strings.HasPrefix(p.URL, u.Scheme+"://") {
		p.t.Fatalf("the browser was sent to %q", location)
	}
	q := u.Query()
	if q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || len(q.Get("nonce")) != 43 || q.Get("client_id") != ClientID {
		p.t.Errorf("the browser was sent with %v", q)
	}
	who := Ada
	if len(as) > 0 {
		who = as[0]
	}
	return p.code(q, who), q.Get("state")
}

func (p *Provider) code(q url.Values, who Person) string {
	code := rand.Text()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.codes[code] = request{q.Get("client_id"), q.Get("redirect_uri"), q.Get("nonce"), q.Get("code_challenge"), who}
	return code
}

// Times is how often a path was asked for.
func (p *Provider) Times(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[path]
}

func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked[r.URL.Path]++
	lie := p.Serve[r.URL.Path]
	p.mu.Unlock()
	if lie != nil {
		lie(w, r)
		return
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration", "/common/v2.0/.well-known/openid-configuration":
		document := map[string]any{"issuer": p.Issuer, "authorization_endpoint": p.base() + "/authorize", "token_endpoint": p.base() + "/token",
			"jwks_uri": p.base() + "/keys", "userinfo_endpoint": p.base() + "/userinfo", "id_token_signing_alg_values_supported": []string{"ES256", "HS256", "none"}}
		maps.Copy(document, p.Document)
		write(w, document)
	case "/keys":
		p.mu.Lock()
		defer p.mu.Unlock()
		write(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{p.keys[len(p.keys)-1].Public()}})
	case "/token", "/login/oauth/access_token":
		p.Token(w, r)
	case "/authorize", "/login/oauth/authorize":
		p.page(w, r)
	case "/answer":
		p.answer(w, r)
	case "/userinfo", "/api/v3/user", "/api/v3/user/emails":
		who, ok := p.bearer(r)
		if !ok {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		switch {
		case r.URL.Path == "/api/v3/user":
			write(w, map[string]any{"id": who.Number, "login": who.Username})
		case r.URL.Path == "/api/v3/user/emails":
			write(w, []map[string]any{{"email": who.Email, "primary": true, "verified": true}})
		default:
			info := p.UserInfo
			if info == nil {
				info = who.claims()
			}
			write(w, info)
		}
	default:
		http.NotFound(w, r)
	}
}

// base is where the provider is, whatever it says it is.
func (p *Provider) base() string {
	if u, err := url.Parse(p.Issuer); err == nil && strings.HasPrefix(p.Issuer, "https://") {
		return "https://" + u.Host
	}
	return p.URL
}

var chooser = template.Must(template.New("").Parse(`<!doctype html><html lang="en"><title>Theirs</title>
<h1>Theirs</h1>
{{range $i, $p := .People}}<p><a id="{{$p.Username}}" href="/answer?person={{$i}}&amp;{{$.Query}}">Continue as {{$p.Username}}</a></p>
{{end}}<p><a id="cancel" href="/answer?{{.Query}}">Cancel</a></p>`))

// page lets a person choose who they are.
func (p *Provider) page(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := chooser.Execute(w, map[string]any{"People": p.offered(), "Query": template.URL(r.URL.RawQuery)}); err != nil {
		p.t.Error(err)
	}
}

var posted = template.Must(template.New("").Parse(`<!doctype html><html lang="en"><title>Theirs</title>
<form method="post" action="{{.To}}">{{range $name, $values := .Answer}}<input type="hidden" name="{{$name}}" value="{{index $values 0}}">{{end}}</form>
<script>document.forms[0].submit()</script>`))

// answer sends the browser back: by GET or, where that was asked for, by POST as Apple does.
func (p *Provider) answer(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	answer := url.Values{"state": {q.Get("state")}}
	if i, err := strconv.Atoi(q.Get("person")); err == nil && i < len(p.offered()) {
		answer.Set("code", p.code(q, p.offered()[i]))
	} else {
		answer.Set("error", "access_denied")
	}
	if q.Get("response_mode") != "form_post" {
		http.Redirect(w, r, q.Get("redirect_uri")+"?"+answer.Encode(), http.StatusFound)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := posted.Execute(w, map[string]any{"To": template.URL(q.Get("redirect_uri")), "Answer": answer}); err != nil {
		p.t.Error(err)
	}
}

// claims are what the provider says of a person.
func (who Person) claims() map[string]any {
	claims := map[string]any{"sub": who.Subject, "preferred_username": who.Username}
	if who.Email != "" {
		claims["email"], claims["email_verified"] = who.Email, true
	}
	return claims
}

// tokenOf is the access token of a person.
func tokenOf(who Person) string {
	if who == Ada {
		return "their-token"
	}
	return "their-token-of-" + who.Subject
}

// bearer is whose access token a request shows.
func (p *Provider) bearer(r *http.Request) (Person, bool) {
	for _, who := range p.offered() {
		if r.Header.Get("Authorization") == "Bearer "+tokenOf(who) {
			return who, true
		}
	}
	return Person{}, false
}

// Token is the endpoint where codes are traded.
func (p *Provider) Token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	asked, known := p.codes[r.FormValue("code")]
	delete(p.codes, r.FormValue("code"))
	p.mu.Unlock()
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	if !known || r.FormValue("client_secret") != ClientSecret || r.FormValue("redirect_uri") != asked.redirect ||
		base64.RawURLEncoding.EncodeToString(sum[:]) != asked.challenge {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":"invalid_grant"}`)
		return
	}
	claims := asked.person.claims()
	maps.Copy(claims, map[string]any{"iss": p.Issuer, "aud": asked.client, "nonce": asked.nonce, "iat": p.now().Unix(), "exp": p.now().Add(time.Hour).Unix()})
	if p.Claims != nil {
		p.Claims(claims)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		p.t.Error(err)
	}
	sign := p.Sign
	if p.Signed != nil {
		sign = p.Signed
	}
	write(w, map[string]any{"access_token": tokenOf(asked.person), "token_type": "bearer", "scope": "openid email", "expires_in": 3600,
		"refresh_token": "their-refresh", "id_token": sign(payload)})
}

// Sign signs as the provider does.
func (p *Provider) Sign(payload []byte) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return SignWith(p.t, jose.ES256, p.keys[len(p.keys)-1], payload)
}

// SignWith signs with any key.
func SignWith(t testing.TB, alg jose.SignatureAlgorithm, key any, payload []byte) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, nil)
	if err != nil {
		t.Error(err)
		return ""
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Error(err)
		return ""
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Error(err)
	}
	return text
}

func write(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}
