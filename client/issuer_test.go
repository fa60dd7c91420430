package client_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/splitpin/splitpin/client"
)

const (
	project     = "0d0c6b3e-0a53-4d0e-8d8e-2f6c0e5f7a11"
	subject     = "5b1f3a52-0c57-4a8c-9a55-0f6f6a1c2d10"
	constantKid = "SPACE_JWT_PUBLIC:8028AAA3-EC2D-4BAA-BE7A-7C8359CCB9F9"
)

// A signingKey is one key pair of the issuer.
type signingKey struct {
	*ecdsa.PrivateKey
	kid string // RFC 7638 thumbprint
}

func newKey() signingKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	x, y := coordinates(key)
	sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, x, y))
	return signingKey{key, base64.RawURLEncoding.EncodeToString(sum[:])}
}

func coordinates(key *ecdsa.PrivateKey) (x, y string) {
	point, err := key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(point[1:33]), base64.RawURLEncoding.EncodeToString(point[33:])
}

// jwk returns the public key as the server publishes it.
func (k signingKey) jwk(kid string) string {
	x, y := coordinates(k.PrivateKey)
	return fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":"%s","y":"%s","kid":%q,"use":"sig","alg":"ES256"}`, x, y, kid)
}

type claims map[string]any

// sign makes a token of these parts, whatever they are.
func (k signingKey) sign(header, payload any) string {
	encode := func(part any) string {
		text, ok := part.(string)
		if !ok {
			b, err := json.Marshal(part)
			if err != nil {
				panic(err)
			}
			text = string(b)
		}
		return base64.RawURLEncoding.EncodeToString([]byte(text))
	}
	signed := encode(header) + "." + encode(payload)
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, k.PrivateKey, sum[:])
	if err != nil {
		panic(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// issuer stands for the sign-in server: it publishes keys and signs tokens as the
// contract has them.
type issuer struct {
	*httptest.Server
	key signingKey

	mu      sync.Mutex
	time    time.Time
	set     string // the key set as it is served
	cache   string // its Cache-Control
	status  int    // in place of 200
	fetches int
	gate    chan struct{} // when not nil, a fetch waits for it to be closed
}

func newIssuer() *issuer {
	s := &issuer{key: newKey(), time: time.Date(2026, 3, 2, 10, 11, 12, 0, time.UTC), cache: "public, max-age=300"}
	s.publish(s.key)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/p/"+project+"/v1/keys" {
			http.NotFound(w, r)
			return
		}
		s.mu.Lock()
		s.fetches++
		set, cache, status, gate := s.set, s.cache, s.status, s.gate
		s.mu.Unlock()
		if gate != nil {
			<-gate
		}
		w.Header().Set("Cache-Control", cache)
		if status != 0 {
			w.Header().Set("Location", s.URL+"/p/"+project+"/v1/keys?again")
			w.WriteHeader(status)
		}
		fmt.Fprint(w, set)
	}))
	return s
}

// publish serves these keys: the first one also under the constant kid.
func (s *issuer) publish(keys ...signingKey) {
	set := `{"keys":[` + keys[0].jwk(keys[0].kid) + "," + keys[0].jwk(constantKid)
	for _, k := range keys[1:] {
		set += "," + k.jwk(k.kid)
	}
	s.change(func() { s.set = set + "]}" })
}

func (s *issuer) change(how func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	how()
}

func (s *issuer) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.time
}

func (s *issuer) pass(d time.Duration) { s.change(func() { s.time = s.time.Add(d) }) }

func (s *issuer) fetched() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetches
}

func (s *issuer) header() claims { return claims{"alg": "ES256", "kid": s.key.kid, "typ": "JWT"} }

// claims returns those of a good token, with changes; nil removes one.
func (s *issuer) claims(changes claims) claims {
	now := s.now().Unix()
	c := claims{
		"sub": subject, "client_user_id": subject, "authentication_method": "OTP", "identifier": "ada@example.org",
		"type": "client_access_token", "scope": "access", "aud": project, "iss": s.URL,
		"iat": now, "exp": now + 3600, "jti": "0b0e3c83-9d8e-4b5e-8f38-5b0d1f9f4a10",
	}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// token signs a good token, with changes.
func (s *issuer) token(changes claims) string { return s.key.sign(s.header(), s.claims(changes)) }

func (s *issuer) config() client.Config {
	return client.Config{ServerURL: s.URL, ProjectID: project, Now: s.now, Log: slog.New(slog.DiscardHandler)}
}

// start is newIssuer and a verifier of its tokens, for a test.
func start(t testing.TB) (*issuer, *client.Verifier) {
	t.Helper()
	s := newIssuer()
	t.Cleanup(s.Close)
	v, err := client.New(s.config())
	if err != nil {
		t.Fatal(err)
	}
	return s, v
}
