package social_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// A double is a provider that speaks real OpenID Connect over TLS, and lies where a test
// tells it to. It serves any host name, so that it can stand for the large ones too.
type double struct {
	*httptest.Server
	t *testing.T

	mu    sync.Mutex
	keys  []jose.JSONWebKey // the last signs
	codes map[string]request
	asked map[string]int // by path

	// Lies. Nil: the truth.
	claims   func(map[string]any)
	signed   func(payload []byte) string // instead of an honest signature
	userinfo map[string]any
	serve    map[string]http.HandlerFunc // instead of what stands at a path
	document map[string]any              // more of the discovery document
	issuer   string
	now      func() time.Time
}

// A request is what came with a browser.
type request struct{ client, redirect, nonce, challenge string }

const (
	clientID     = "client-1"
	clientSecret = "the client's secret"
)

func newDouble(t *testing.T, now func() time.Time) *double {
	d := &double{t: t, now: now, codes: map[string]request{}, asked: map[string]int{}, serve: map[string]http.HandlerFunc{}}
	d.newKey("first")
	d.Server = httptest.NewTLSServer(d)
	t.Cleanup(d.Server.Close)
	d.issuer = d.URL
	return d
}

func (d *double) newKey(id string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		d.t.Fatal(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keys = append(d.keys, jose.JSONWebKey{Key: key, KeyID: id, Algorithm: "ES256", Use: "sig"})
}

// signIn is a person who signs in there: it returns the code that the browser brings back.
func (d *double) signIn(location string) (code, state string) {
	d.t.Helper()
	u, err := url.Parse(location)
	if err != nil || u.Scheme != "https" {
		d.t.Fatalf("the browser was sent to %q", location)
	}
	q := u.Query()
	if q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || len(q.Get("nonce")) != 43 || q.Get("client_id") != clientID {
		d.t.Errorf("the browser was sent with %v", q)
	}
	code = rand.Text()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.codes[code] = request{q.Get("client_id"), q.Get("redirect_uri"), q.Get("nonce"), q.Get("code_challenge")}
	return code, q.Get("state")
}

func (d *double) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	d.asked[r.URL.Path]++
	lie := d.serve[r.URL.Path]
	d.mu.Unlock()
	if lie != nil {
		lie(w, r)
		return
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration", "/common/v2.0/.well-known/openid-configuration":
		document := map[string]any{"issuer": d.issuer, "authorization_endpoint": d.base() + "/authorize", "token_endpoint": d.base() + "/token",
			"jwks_uri": d.base() + "/keys", "userinfo_endpoint": d.base() + "/userinfo", "id_token_signing_alg_values_supported": []string{"ES256", "HS256", "none"}}
		maps.Copy(document, d.document)
		d.write(w, document)
	case "/keys":
		d.mu.Lock()
		defer d.mu.Unlock()
		public := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{d.keys[len(d.keys)-1].Public()}}
		d.write(w, public)
	case "/token":
		d.token(w, r)
	case "/userinfo":
		if r.Header.Get("Authorization") != "Bearer their-token" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		d.write(w, d.userinfo)
	default:
		http.NotFound(w, r)
	}
}

// base is where the double is, whatever it says it is.
func (d *double) base() string {
	if u, err := url.Parse(d.issuer); err == nil && strings.HasPrefix(d.issuer, "https://") {
		return "https://" + u.Host
	}
	return d.URL
}

func (d *double) token(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	asked, known := d.codes[r.FormValue("code")]
	delete(d.codes, r.FormValue("code"))
	d.mu.Unlock()
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	if !known || r.FormValue("client_secret") != clientSecret || r.FormValue("redirect_uri") != asked.redirect ||
		base64.RawURLEncoding.EncodeToString(sum[:]) != asked.challenge {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":"invalid_grant"}`)
		return
	}
	claims := map[string]any{"iss": d.issuer, "sub": "ada-at-theirs", "aud": asked.client, "nonce": asked.nonce,
		"iat": d.now().Unix(), "exp": d.now().Add(time.Hour).Unix(), "email": "ada@example.org", "email_verified": true, "preferred_username": "ada-l"}
	if d.claims != nil {
		d.claims(claims)
	}
	payload, _ := json.Marshal(claims)
	sign := d.sign
	if d.signed != nil {
		sign = d.signed
	}
	d.write(w, map[string]any{"access_token": "their-token", "token_type": "bearer", "scope": "openid email", "expires_in": 3600,
		"refresh_token": "their-refresh", "id_token": sign(payload)})
}

func (d *double) sign(payload []byte) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return signWith(d.t, jose.ES256, d.keys[len(d.keys)-1], payload)
}

func signWith(t *testing.T, alg jose.SignatureAlgorithm, key any, payload []byte) string {
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

func (d *double) write(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

func (d *double) times(path string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[path]
}
